"""Curves: accuracy over labels a class, losses over epochs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vaebench.core.files import read_json
from vaebench.plotting.style import FAINT, INK, REPRESENTATIONS, representation_title
from vaebench.runs.report.tables import BESIDE, accuracy_rows, label_counts, probe_names
from vaebench.runs.run import Run

APART = 0.45
"""Decades between the last number of labels and "all"."""
DODGE = 0.011
"""Share of the axis by which neighbouring representations are moved apart, so that their bars can be seen."""


def learning_curve(run: Run) -> Figure:
    """Test accuracy over labels a class: one panel a probe, the supervised network in each."""
    probes = [probe for probe in probe_names(run) if probe not in BESIDE] or [BESIDE[0]]
    columns = min(2, len(probes))
    rows = math.ceil(len(probes) / columns)
    figure = Figure(figsize=(9.2 if columns == 2 else 6.4, 4.9 * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, sharey=True, squeeze=False).flat)
    for ax, probe in zip(axes, probes, strict=False):
        _curve_panel(ax, run, probe)
    for ax in axes[len(probes) :]:
        ax.remove()
    seen: dict[str, Any] = {}
    for ax in figure.axes:
        seen |= {label: handle for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(seen.values(), seen.keys(), loc="outside lower center", ncols=4, borderaxespad=0.2)
    return figure


def _curve_panel(ax: Axes, run: Run, probe: str) -> None:
    counts = label_counts(run)
    places = _places(counts)
    rows = [row for row in accuracy_rows(run) if row["probe"] in (probe, *BESIDE)]
    features = [name for name in REPRESENTATIONS if any(row["features"] == name for row in rows)]
    width = max(places) - min(places) or 1.0
    for index, name in enumerate(features):
        shift = (index - (len(features) - 1) / 2) * DODGE * width
        _curve(ax, name, [row for row in rows if row["features"] == name], counts, [x + shift for x in places])
    _show_chance(ax, accuracy_rows(run), 100 / max(len(run.results["classes"]), 1))
    _count_axis(ax, counts, places)
    ax.set_title(f"{probe} on each representation" if probe not in BESIDE else "networks on images")
    ax.grid(axis="y")
    if ax.get_subplotspec().is_first_col():  # type: ignore[union-attr]
        ax.set_ylabel("test accuracy (%)")


def _show_chance(ax: Axes, rows: list[dict[str, Any]], chance: float) -> None:
    """Chance as a line; far below every score it is only named, so that the scores keep the room."""
    words = f"chance ({chance:.3g} %)"
    lowest = 100 * min(min(row["interval"] or [row["mean"]]) for row in rows)
    low, high = ax.get_ylim()
    ax.set_ylim(max(low, -2), min(high, 102))  # an interval of few draws may leave what can be
    if lowest - chance < 15:
        ax.axhline(chance, color=INK, linewidth=0.8, linestyle=(0, (1, 2)), label=words)
        return
    ax.set_ylim(bottom=lowest - 4)
    ax.plot([], [], color=INK, linewidth=0.8, linestyle=(0, (1, 2)), label=f"{words}, below the frame")


def _curve(ax: Axes, name: str, rows: list[dict[str, Any]], counts: list[int | str], places: Sequence[float]) -> None:
    """One representation: means joined by a line, "all" as a point apart, 95 % intervals as bars."""
    words, colour, marker = REPRESENTATIONS[name]
    strong = name in ("vae", "self-trained")
    by_count = {row["labels_per_class"]: row for row in rows}
    points = [(x, by_count[count]) for x, count in zip(places, counts, strict=True) if count in by_count]
    look: dict[str, Any] = {"color": colour, "zorder": 5 if strong else 3}
    numbered = [(x, row["mean"] * 100) for x, row in points if row["labels_per_class"] != "all"]
    ax.plot([x for x, _ in numbered], [y for _, y in numbered], linewidth=2.4 if strong else 1.2, **look)
    for x, row in points:
        if row["interval"] is not None:
            ax.vlines(x, *(100 * end for end in row["interval"]), linewidth=1.6 if strong else 0.9, **look)
    ax.plot(
        [x for x, _ in points],
        [row["mean"] * 100 for _, row in points],
        linestyle="none",
        marker=marker,
        markersize=6 if strong else 4.5,
        markeredgecolor="white",
        markeredgewidth=0.6,
        label=words,
        **look,
    )


def _places(counts: list[int | str]) -> list[float]:
    """Where each count stands: its logarithm, and "all" to the right of the last."""
    numbers = [math.log10(count) for count in counts if isinstance(count, int)]
    last = max(numbers, default=-APART)
    return numbers + [last + APART] * (len(counts) - len(numbers))


def _count_axis(ax: Axes, counts: list[int | str], places: list[float]) -> None:
    shown: list[int] = []
    least = 0.04 * (max(places) - min(places))
    for index, place in enumerate(places):
        if not shown or place - places[shown[-1]] >= least or counts[index] == "all":
            shown.append(index)
    ax.set_xticks([places[i] for i in shown], [f"{counts[i]}" for i in shown])
    if "all" in counts and len(counts) > 1:
        ax.axvline(places[-1] - APART / 2, color=FAINT, linewidth=0.8)
    margin = max(0.06 * (max(places) - min(places)), 0.1)
    ax.set_xlim(min(places) - margin, max(places) + margin)
    ax.set_xlabel("labels a class (logarithmic)")


PARTS = {"loss": "objective", "reconstruction": "reconstruction", "kl": "KL"}


def losses(run: Run) -> Figure:
    """The VAE's objective and its parts by epoch, best epoch marked."""
    return _loss_figure(read_json(run.path / "history.json"), "vae")


def autoencoder_losses(run: Run) -> Figure:
    """The plain autoencoder's loss by epoch, best epoch marked."""
    return _loss_figure(read_json(run.path / "autoencoder" / "history.json"), "autoencoder")


def _loss_figure(history: dict[str, Any], features: str) -> Figure:
    epochs = history["epochs"]
    parts = [part for part in PARTS if part in epochs[-1]]
    if features == "autoencoder":
        parts = ["reconstruction"]  # its objective is the reconstruction and nothing else
    figure = Figure(figsize=(3.4 * max(len(parts), 1.6), 3.2), layout="constrained")
    for ax, part in zip(figure.subplots(1, len(parts), squeeze=False).flat, parts, strict=True):
        _loss_panel(ax, epochs, part, history["best_epoch"], REPRESENTATIONS[features][1])
        if features == "autoencoder":
            ax.set_title(f"{representation_title(features)}: {PARTS[part]}")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, borderaxespad=0.2)
    return figure


def _loss_panel(ax: Axes, epochs: list[dict[str, Any]], part: str, best: int, colour: str) -> None:
    numbers = [record["epoch"] for record in epochs]
    marker = "o" if len(epochs) < 4 else None
    ax.plot(numbers, [r[part] for r in epochs], color=FAINT, marker=marker, label="training")
    if all(f"validation_{part}" in record for record in epochs):
        values = [record[f"validation_{part}"] for record in epochs]
        ax.plot(numbers, values, color=colour, marker=marker, label="validation")
        _leave_out_the_start(ax, [max(pair) for pair in zip(values, [r[part] for r in epochs], strict=True)])
    ax.axvline(best, color="#333333", linewidth=0.9, linestyle=(0, (4, 3)), label=f"best epoch ({best})")
    ax.set_title(PARTS[part])
    ax.set_xlabel("epoch")
    ax.set_ylabel("nats per image")
    ax.set_xlim(1 - min(0.5, 0.03 * len(epochs)), len(epochs) + max(0.5, 0.03 * len(epochs)))
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    ax.grid(axis="y")


def _leave_out_the_start(ax: Axes, values: list[float]) -> None:
    """Cut the first twentieth of the epochs off above the frame where it would flatten all that follows."""
    rest = values[math.ceil(len(values) / 20) :]
    low, high = ax.get_ylim()
    if len(values) >= 20 and (top := max(rest) + 0.06 * (max(rest) - low)) - low < 0.7 * (high - low):
        ax.set_ylim(low, top)
