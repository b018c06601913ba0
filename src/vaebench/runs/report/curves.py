"""Figures of curves: accuracy by labels per class, losses by epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vaebench.core.files import read_json
from vaebench.core.statistics import summary
from vaebench.evaluation.learning_curves import LabelCount
from vaebench.plotting.plots import Series
from vaebench.plotting.style import FAINT, INK, REPRESENTATIONS, representation_look, representation_title
from vaebench.runs.report.tables import (
    WITHOUT_PROBE,
    accuracy_rows,
    in_order,
    label_counts,
    probe_names,
    rows_of_probe,
    without_probe,
)
from vaebench.runs.rows import ResultRow
from vaebench.runs.run import Run

ALL_GAP = 0.45
"""Distance in decades between the largest label count and "all"."""
DODGE = 0.011
"""Horizontal offset between representations, as a fraction of the axis, so that their bars do not overlap."""


def learning_curve(run: Run) -> Figure:
    """Test accuracy by labels per class: one panel per probe, each with the methods that use no probe."""
    probes = [probe for probe in probe_names(run) if probe not in without_probe(run)] or [WITHOUT_PROBE[0]]
    columns = min(2, len(probes))
    rows = math.ceil(len(probes) / columns)
    figure = Figure(figsize=(9.2 if columns == 2 else 6.4, 4.9 * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, sharey=True, squeeze=False).flat)
    for ax, probe in zip(axes, probes, strict=False):
        _curve_panel(ax, run, probe)
    for ax in axes[len(probes) :]:
        ax.remove()
    legend: dict[str, Any] = {}
    for ax in figure.axes:
        legend |= {label: handle for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(legend.values(), legend.keys(), loc="outside lower center", ncols=4, borderaxespad=0.2)
    return figure


def _curve_panel(ax: Axes, run: Run, probe: str) -> None:
    counts = label_counts(run)
    places = _x_positions(counts)
    rows = list(rows_of_probe(run, probe).values())
    features = in_order(row["features"] for row in rows)
    width = max(places) - min(places) or 1.0
    for index, name in enumerate(features):
        shift = (index - (len(features) - 1) / 2) * DODGE * width
        by_count = {row["labels_per_class"]: row for row in rows if row["features"] == name}
        _curve(ax, name, by_count, [(x + shift, count) for x, count in zip(places, counts, strict=True)])
    _show_chance(ax, accuracy_rows(run), 100 / max(len(run.results["classes"]), 1))
    _count_axis(ax, counts, places)
    ax.set_title(f"{probe} on each representation" if probe not in WITHOUT_PROBE else "networks on images")
    ax.grid(axis="y")
    if ax.get_subplotspec().is_first_col():  # type: ignore[union-attr]
        ax.set_ylabel("test accuracy (%)")


def _show_chance(ax: Axes, rows: list[ResultRow], chance: float) -> None:
    """Draw the chance level as a line, or only a legend entry if it is far below every score."""
    label = f"chance ({chance:.3g} %)"
    lowest = 100 * min(min(row["interval"] or [row["mean"]]) for row in rows)
    low, high = ax.get_ylim()
    ax.set_ylim(max(low, -2), min(high, 102))  # intervals of few draws can exceed 0 and 100 %
    if lowest - chance < 15:
        ax.axhline(chance, color=INK, linewidth=0.8, linestyle=(0, (1, 2)), label=label)
        return
    ax.set_ylim(bottom=lowest - 4)
    ax.plot([], [], color=INK, linewidth=0.8, linestyle=(0, (1, 2)), label=f"{label}, below the axes")


def _curve(
    ax: Axes, name: str, by_count: Mapping[LabelCount, ResultRow], places: Sequence[tuple[float, LabelCount]]
) -> None:
    """Draw one representation: means joined by a line, "all" as a separate point, 95 % intervals as bars."""
    label, colour, marker = representation_look(name)
    strong = name in ("vae", "self-trained")
    points = [(x, by_count[count]) for x, count in places if count in by_count]
    x, y = [x for x, _ in points], [row["mean"] * 100 for _, row in points]
    numbered = sum(row["labels_per_class"] != "all" for _, row in points)
    look: dict[str, Any] = {"color": colour, "zorder": 5 if strong else 3}
    ax.plot(x[:numbered], y[:numbered], linewidth=2.4 if strong else 1.2, **look)
    for place, row in points:
        if row["interval"]:
            low, high = row["interval"]
            ax.vlines(place, 100 * low, 100 * high, linewidth=1.6 if strong else 0.9, **look)
    ax.plot(
        x,
        y,
        linestyle="none",
        marker=marker,
        markersize=6 if strong else 4.5,
        markeredgecolor="white",
        markeredgewidth=0.6,
        label=label,
        **look,
    )


def _x_positions(counts: Sequence[LabelCount]) -> list[float]:
    """Logarithms of the counts; "all" lies to the right of the largest."""
    numbers = [math.log10(count) for count in counts if isinstance(count, int)]
    last = max(numbers, default=-ALL_GAP)
    return numbers + [last + ALL_GAP] * (len(counts) - len(numbers))


def _count_axis(ax: Axes, counts: Sequence[LabelCount], places: list[float]) -> None:
    shown: dict[float, str] = {}
    low, high = min(places), max(places)
    for place, count in zip(places, counts, strict=True):
        if not shown or place - max(shown) >= 0.04 * (high - low) or count == "all":
            shown[place] = str(count)
    ax.set_xticks([*shown], [*shown.values()])
    if "all" in counts and len(counts) > 1:
        ax.axvline(high - ALL_GAP / 2, color=FAINT, linewidth=0.8)
    margin = max(0.06 * (high - low), 0.1)
    ax.set_xlim(low - margin, high + margin)
    ax.set_xlabel("labels per class (logarithmic)")


def mean_series(
    x: Sequence[float], values: Sequence[Sequence[float]], scale: float, bounds: tuple[float, float]
) -> Series:
    """Means of the values at each x, with 95 % intervals clipped to ``bounds``; both are multiplied by ``scale``."""
    statistics = [summary(list(each)) for each in values]
    means = [scale * each["mean"] for each in statistics]
    ends = [each["interval"] or (each["mean"], each["mean"]) for each in statistics]
    low, high = (np.clip([scale * end[side] for end in ends], *bounds).tolist() for side in (0, 1))
    return Series(x, means, low, high)


LOSSES = {"loss": "objective", "reconstruction": "reconstruction", "kl": "KL"}


def losses(run: Run, part: str = "") -> Figure:
    """The objective and its components by epoch, with the best epoch marked.

    Args:
        part: the folder of another training of the run: "autoencoder", or "pretrained" for the VAE that the model
            starts from.
    """
    history = read_json(run.path / part / "history.json")
    epochs, features = history["epochs"], "autoencoder" if part == "autoencoder" else "vae"
    # The autoencoder's objective has no other component.
    keys = ["reconstruction"] if part == "autoencoder" else [key for key in LOSSES if key in epochs[-1]]
    figure = Figure(figsize=(3.4 * max(len(keys), 1.6), 3.2), layout="constrained")
    for ax, key in zip(figure.subplots(1, len(keys), squeeze=False).flat, keys, strict=True):
        _loss_panel(ax, epochs, key, history["best_epoch"], REPRESENTATIONS[features][1])
        if part == "autoencoder":
            ax.set_title(f"{representation_title(features)}: {LOSSES[key]}")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, borderaxespad=0.2)
    return figure


def _loss_panel(ax: Axes, epochs: list[dict[str, Any]], key: str, best: int, colour: str) -> None:
    numbers = [record["epoch"] for record in epochs]
    marker = "o" if len(epochs) < 4 else None
    ax.plot(numbers, [r[key] for r in epochs], color=FAINT, marker=marker, label="training")
    if all(f"validation_{key}" in record for record in epochs):
        values = [record[f"validation_{key}"] for record in epochs]
        ax.plot(numbers, values, color=colour, marker=marker, label="validation")
        _crop_start(ax, [max(pair) for pair in zip(values, [r[key] for r in epochs], strict=True)])
    if np.ptp(ax.get_ylim()) < 1e-3:  # constant up to rounding
        ax.set_ylim(epochs[-1][key] - 1, epochs[-1][key] + 1)
    ax.axvline(best, color="#333333", linewidth=0.9, linestyle=(0, (4, 3)), label=f"best epoch ({best})")
    ax.set_title(LOSSES[key])
    ax.set_xlabel("epoch")
    ax.set_ylabel("nats per image")
    ax.set_xlim(1 - min(0.5, 0.03 * len(epochs)), len(epochs) + max(0.5, 0.03 * len(epochs)))
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    ax.grid(axis="y")


def _crop_start(ax: Axes, values: list[float]) -> None:
    """Crop the y axis if the first twentieth of the epochs would compress the rest."""
    rest = values[math.ceil(len(values) / 20) :]
    low, high = ax.get_ylim()
    if len(values) >= 20 and (top := max(rest) + 0.06 * (max(rest) - low)) - low < 0.7 * (high - low):
        ax.set_ylim(low, top)
