"""The beginning of speed.md: five sentences and a picture of ratios, both from the rows of speed.json."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from vaebench.core.files import write_bytes
from vaebench.plotting.plots import COLOURS
from vaebench.plotting.style import DPI, INK, STYLE, png

Row = dict[str, Any]
PICTURE = "speed/ratios.png"
CONVOLUTIONS, WIDE, SMALL = "32-64-64 convolutions", "784-500-500-10 MLP", "784-128-20 MLP"
LIMITS = 0.4, 40.0
"""Of the picture's axis."""


class Bar(NamedTuple):
    """A bar of the picture: its name, and how the titles of its rows begin and end; the row with the highest ratio on
    one thread counts, or on several if there is no other."""

    name: str
    begins: str
    ends: str = ""


BARS = (
    Bar("linear probe of latents, with encoding (the papers' code)", "a linear head, 10 epochs", "bf16"),
    Bar("35 linear probes together (one by one)", "35 few-label heads"),
    Bar("training to the same loss (pythae)", "", "validation loss they reach with every seed"),
    Bar("log p(x), 1,000 samples of z (pythae)", "log p(x), 1,000"),
    Bar(f"epoch, {WIDE} (pythae)", f"training, {WIDE},", "compared with pythae"),
    Bar(f"epoch, {SMALL} (pythae)", f"training, {SMALL},", "compared with pythae"),
    Bar(f"epoch, {CONVOLUTIONS} (pythae)", f"training, {CONVOLUTIONS},", "compared with pythae"),
    Bar("epoch from a file of 2 GB (from memory)", "training from a file of 2 GB"),
    Bar("predict, JPEG of 640 x 640 (onnxruntime)", "predict, 2,000 JPEG"),
    Bar("predict, PNG of 28 x 28 (onnxruntime)", "predict, 10,000 PNG"),
)  # fmt: skip


def find(rows: list[Row], begins: str, ends: str = "") -> Row | None:
    """The row with the fewest threads, and among those the highest ratio, whose title begins and ends so."""
    found = [row for row in rows if row["title"].startswith(begins) and row["title"].endswith(ends)]
    return max(found, key=lambda row: (-row["threads"], row["ratio"]), default=None)


def sentences(rows: list[Row]) -> list[str]:
    """What a user wants to know first; sentences whose rows were not measured are left out."""
    return [text for text in (_loss(rows), _training(rows), _evidence(rows), _probes(rows), _slower(rows)) if text]


def _bar_rows(rows: list[Row]) -> Iterator[tuple[Bar, Row]]:
    for bar in BARS:
        if row := find(rows, bar.begins, bar.ends):
            yield bar, row


def _row(rows: list[Row], start: str) -> Row | None:
    """Row of the bar whose name starts so."""
    return next((row for bar, row in _bar_rows(rows) if bar.name.startswith(start)), None)


def _loss(rows: list[Row]) -> str:
    row = _row(rows, "training to the same loss")
    if row is None:
        return ""
    epochs = row["title"].split()[0]
    return (
        f"A convolutional VAE reaches the validation loss of 20 epochs with pythae, at a constant learning rate, in "
        f"{epochs} epochs with every seed: {row['ours']:.0f} seconds instead of {row['other']:.0f}."
    )


def _training(rows: list[Row]) -> str:
    networks = {"convolutions": CONVOLUTIONS, "a small MLP": SMALL, "a wide MLP": WIDE}
    found = {name: _row(rows, f"epoch, {network}") for name, network in networks.items()}
    ratios = [f"{row['ratio']:.1f} times for {name}" for name, row in found.items() if row]
    if len(ratios) < len(networks):
        return ""
    return f"A single epoch, too, is faster than pythae's: on one thread {ratios[0]}, {ratios[1]} and {ratios[2]}."


def _evidence(rows: list[Row]) -> str:
    row = _row(rows, "log p(x)")
    if row is None:
        return ""
    ours, other = (f"{1000 / row[name]:.0f} ms" for name in ("ours", "other"))
    return f"Estimating log p(x) of an image with 1,000 samples of z takes {ours} on one thread, with pythae {other}."


def _probes(rows: list[Row]) -> str:
    one, many = _row(rows, "linear probe"), _row(rows, "35 linear probes")
    if one is None or many is None:
        return ""
    return (
        f"A linear probe on the latents of 55,000 images takes {one['ours']:.1f} seconds with encoding, and "
        f"{one['other']:.0f} with the code of the papers; 35 probes of few labels take {many['ours']:.1f} seconds "
        f"together, and {many['other']:.1f} one by one."
    )


def _slower(rows: list[Row]) -> str:
    png_files, jpeg, file = _row(rows, "predict, PNG"), _row(rows, "predict, JPEG"), _row(rows, "epoch from a file")
    if png_files is None or jpeg is None or file is None:
        return ""
    return (
        f"`vaebench predict` is slower than a few lines around onnxruntime: it has {png_files['ratio']:.2f} of their "
        f"speed for small PNG files and {jpeg['ratio']:.2f} for large JPEG files; training from a file of 2 GB has "
        f"{file['ratio']:.2f} of the speed from memory, and needs {file['megabytes_above_imports']:.0f} MB for it."
    )


def picture(rows: list[Row]) -> Figure:
    """Bars of the ratios on a logarithmic axis, with lines for the range over rounds."""
    bars = list(_bar_rows(rows))
    figure = Figure(figsize=(7.6, 0.32 * len(bars) + 1.0), layout="constrained")
    ax = figure.add_subplot()
    for place, (_, row) in enumerate(bars):
        ratio, (low, high) = row["ratio"], row["spread"]
        ax.barh(place, ratio - 1, left=1, height=0.68, color=COLOURS[1 if ratio >= 1 else 0])
        ax.plot([low, high], [place, place], color=INK, linewidth=1.2)
        ax.annotate(f"{ratio:.2f}", (max(1, high), place), (4, 0), textcoords="offset points", va="center")
    ax.set_yticks(range(len(bars)), [bar.name for bar, _ in bars])
    ax.set(xscale="log", xlim=LIMITS, ylim=(len(bars) - 0.4, -0.6))
    ticks = (0.5, 1, 2, 5, 10, 20)
    ax.xaxis.set_major_locator(FixedLocator(ticks))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.axvline(1, color=INK, linewidth=0.8)
    ax.grid(axis="x")
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("speed relative to the code in brackets")
    return figure


def write_picture(rows: list[Row], folder: Path) -> None:
    """Write the picture beside speed.md in ``folder``."""
    with matplotlib.rc_context(STYLE):
        write_bytes(folder / PICTURE, png(picture(rows), DPI))
