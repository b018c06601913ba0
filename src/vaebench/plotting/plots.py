"""PLOTS on plain arrays, shared by reports and papers: lines, bars, scatters by class, confusion matrices, sheets."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import matplotlib
import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from mpl_toolkits.mplot3d import Axes3D

from vaebench.plotting.palette import class_style
from vaebench.plotting.style import FAINT, INK, class_names

NUMBERED = 15
"""Classes up to which a confusion matrix has room for numbers."""
Place = Literal["outside right upper", "center right"]
LEGEND_ROW, LEGEND_COLUMN = 0.21, 1.3
"""Inches that a class takes in a legend."""
LEGEND_POINT = 36
"""Area of a marker in a legend, in square points, however small the points are."""
HIGH = 4.2
COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#333333", "#999999")
"""Okabe and Ito's colours, told apart by the colour-blind."""
DASHES: tuple[Any, ...] = ("solid", (0, (5, 2)), (0, (1, 1.5)))


class Series(NamedTuple):
    """One line of a plot; ``low`` and ``high`` bound an interval about it."""

    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None


class Panel(NamedTuple):
    """One set of axes with its lines by name."""

    title: str
    lines: Mapping[str, Series]
    x: str
    y: str
    log_x: bool = False
    log_y: bool = False
    limits: tuple[float, float] | None = None
    names: Sequence[str] = ()
    """Words for 1, 2, 3, ... on the x axis, where it has no numbers."""


def lines(panels: Sequence[Panel], columns: int = 3, size: tuple[float, float] = (3.4, 2.9)) -> Figure:
    """Panels of lines, one legend for all: the same name has the same colour in each."""
    columns = min(columns, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(max(4.6, size[0] * columns), size[1] * rows + 0.5), layout="constrained")
    names = list(dict.fromkeys(name for panel in panels for name in panel.lines))
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for ax, panel in zip(axes, panels, strict=False):
        _line_panel(ax, panel, names)
    for ax in axes[len(panels) :]:
        ax.remove()
    if len(names) > 1:
        entries = _in_order(figure.axes, names)
        figure.legend(**entries, loc="outside lower center", ncols=_across(figure, entries["labels"]))
    return figure


def _line_panel(ax: Axes, panel: Panel, names: list[str]) -> None:
    for name, line in panel.lines.items():
        index = names.index(name)
        look: dict[str, Any] = {"color": COLOURS[index % len(COLOURS)]}
        dash = DASHES[index // len(COLOURS) % len(DASHES)]
        marker = "o" if len(line.x) <= 12 else None
        ax.plot(line.x, line.y, label=name, marker=marker, markersize=3.5, linestyle=dash, **look)
        if line.low is not None and line.high is not None:
            if len(line.x) == 1:  # a band about one point has no width
                ax.vlines(line.x, line.low, line.high, linewidth=1.5, **look)
            else:
                ax.fill_between(line.x, line.low, line.high, alpha=0.18, linewidth=0, **look)
    ax.set_title(panel.title)
    ax.set_xlabel(panel.x)
    ax.set_ylabel(panel.y)
    if panel.names:
        ax.set_xticks(range(1, len(panel.names) + 1), panel.names)
    elif panel.log_x:
        ax.set_xscale("log")
        ticks = sorted({x for line in panel.lines.values() for x in line.x})
        if len(ticks) <= 9:
            ax.set_xticks(ticks, [_number(float(tick)) for tick in ticks])
            ax.set_xticks([], minor=True)
        else:
            _plain(ax.xaxis)
    elif all(float(x).is_integer() for line in panel.lines.values() for x in line.x):
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    if panel.log_y:
        ax.set_yscale("log")
        _plain(ax.yaxis)
    if panel.limits:
        ax.set_ylim(*panel.limits)
    ax.grid(axis="y")


def _across(figure: Figure, names: Sequence[str]) -> int:
    """How many entries of a legend fit side by side, each with its handle and the space to the next."""
    font = FontProperties(size=matplotlib.rcParams["legend.fontsize"])
    points = max(text_to_path.get_text_width_height_descent(name, font, False)[0] for name in names)
    room = (points + 4.8 * font.get_size_in_points()) / 72
    return max(1, min(len(names), int(figure.get_figwidth() / room)))


def _plain(axis: Axis) -> None:
    """Ticks of a logarithmic axis at 1, 2 and 5, as plain numbers: mathematical text is off."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: _number(float(value))))


def _number(value: float) -> str:
    """In full, never as a power of ten where it is large."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:g}"


def bars(names: Sequence[str], groups: Mapping[str, Sequence[float]], y: str, title: str = "") -> Figure:
    """Bars in groups: one cluster a name, one colour a group."""
    width = 0.8 / len(groups)
    figure = Figure(
        figsize=(float(np.clip(0.5 * len(names) * len(groups) ** 0.5 + 2, 4.6, 9.2)), 3.3), layout="constrained"
    )
    ax = figure.add_subplot()
    for index, (group, values) in enumerate(groups.items()):
        places = np.arange(len(names)) + (index - (len(groups) - 1) / 2) * width
        ax.bar(places, values, width=0.92 * width, color=COLOURS[index % len(COLOURS)], label=group)
    long = max(map(len, names)) * len(names) > 70
    ax.set_xticks(range(len(names)), names, rotation=35 if long else 0, ha="right" if long else "center")
    ax.tick_params(axis="x", length=0)
    ax.set_ylabel(y)
    ax.set_title(title)
    ax.grid(axis="y")
    if len(groups) > 1:
        across = _across(figure, list(groups))
        figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=across)
    return figure


class Estimate(NamedTuple):
    """A value and its interval."""

    value: float
    low: float
    high: float


def estimates(
    panels: Mapping[str, Mapping[str, Mapping[str, Estimate]]],
    x: str,
    columns: int | None = None,
    limits: tuple[float, float] | None = None,
) -> Figure:
    """Estimates beside 0 with their intervals: panels by title, all in one row if no number of columns is given; in
    each a colour a series and a line a name."""
    names = list(dict.fromkeys(name for panel in panels.values() for series in panel.values() for name in series))
    groups = list(dict.fromkeys(group for panel in panels.values() for group in panel))
    columns = columns or len(panels)
    rows = math.ceil(len(panels) / columns)
    size = 3.4 * columns + 1.6, rows * (0.22 * len(names) * len(groups) + 0.9) + 0.4
    figure = Figure(figsize=size, layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False, sharey=True).flat)
    for ax in axes[len(panels) :]:
        ax.remove()
    for ax, (title, panel) in zip(axes, panels.items(), strict=False):
        for group, series in panel.items():
            shift = 0.22 * (groups.index(group) - (len(groups) - 1) / 2)
            places = [names.index(name) + shift for name in series]
            values, low, high = np.array(list(series.values())).T
            look: dict[str, Any] = {"fmt": "o", "markersize": 4, "capsize": 2, "color": COLOURS[groups.index(group)]}
            ax.errorbar(values, places, xerr=[values - low, high - values], label=group, **look)
        if limits:
            ax.set_xlim(*limits)
        else:
            ax.axvline(0, color=INK, linewidth=0.8)
        ax.set_title(title)
        ax.set_xlabel(x)
        ax.set_yticks(range(len(names)), names)
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.grid(axis="x")
    if len(groups) > 1:
        figure.legend(**_in_order(figure.axes, groups), loc="outside lower center", ncols=_across(figure, groups))
    return figure


def _in_order(axes: Iterable[Axes], names: Sequence[str]) -> dict[str, Any]:
    """Handles and labels of a legend for all axes."""
    handles: dict[str, Any] = {}
    for ax in axes:
        handles |= {label: handle for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    ordered = [name for name in names if name in handles]
    return {"handles": [handles[name] for name in ordered], "labels": ordered}


def scatter(ax: Axes, points: Float[np.ndarray, "N K"], labels: Int[np.ndarray, " N"], classes: Sequence[str]) -> None:
    """The points (N, 2) or (N, 3), a colour and marker for each class; points without a label in grey."""
    size = float(np.clip(12000 / len(points), 5, 26))
    names = class_names(classes)
    for index in np.unique(labels):
        colour, marker = class_style(int(index)) if index >= 0 else (FAINT if names else "#3f6f9f", "o")
        look: dict[str, Any] = {"color": colour, "marker": marker, "alpha": 0.75, "linewidths": 0, "s": size}
        ax.scatter(*points[labels == index].T, label=names[index] if index >= 0 else "no label", **look)


class Cloud(NamedTuple):
    """Points (N, 2) with labels (N,), under a title."""

    title: str
    points: Float[np.ndarray, "N 2"]
    labels: Int[np.ndarray, " N"]


def scatter_2d(clouds: Sequence[Cloud], classes: Sequence[str], axes: tuple[str, str] = ("z0", "z1")) -> Figure:
    """2-D scatters side by side, with one colour bar of the classes."""
    figure = Figure(figsize=(3.6 * len(clouds) + 1.2, 3.9), layout="constrained")
    across = list(figure.subplots(1, len(clouds), squeeze=False).flat)
    for ax, cloud in zip(across, clouds, strict=True):
        scatter(ax, cloud.points, cloud.labels, classes)
        ax.set_title(cloud.title)
        ax.xaxis.set_major_locator(MaxNLocator(4))
        ax.yaxis.set_major_locator(MaxNLocator(5))
        ax.set_xlabel(axes[0])
        ax.set_ylabel(axes[1])
    names = class_names(classes, length=14)
    colours = ListedColormap([class_style(index)[0] for index in range(len(names))])
    ticks = (np.arange(len(names)) + 0.5) / len(names)
    bar = figure.colorbar(ScalarMappable(Normalize(0, 1), colours), ax=across, shrink=0.9, ticks=ticks)
    bar.ax.set_yticklabels(names)
    bar.ax.tick_params(length=0)
    return figure


def scatter_3d(
    points: Float[np.ndarray, "N 3"],
    labels: Int[np.ndarray, " N"],
    classes: Sequence[str],
    axes: Sequence[str],
) -> Figure:
    """Points in three dimensions, seen from two sides."""
    width = 9.4 + LEGEND_COLUMN * math.ceil(max(len(classes), 1) / (HIGH / LEGEND_ROW))
    figure = Figure(figsize=(width, HIGH))
    for left, azimuth in ((-0.2, -60), (4.7, 30)):
        ax = figure.add_axes((left / width, -0.07, 4.6 / width, 1.2), projection="3d")
        assert isinstance(ax, Axes3D)
        ax.view_init(elev=18, azim=azimuth)
        ax.patch.set_visible(False)  # or it would hide its neighbour's label
        scatter(ax, points, labels, classes)
        for name, axis in zip(axes, (ax.xaxis, ax.yaxis, ax.zaxis), strict=True):
            axis.set_label_text(name)
            axis.set_pane_color((1, 1, 1, 0))
            axis.set_major_locator(MaxNLocator(5, integer=True))
        ax.tick_params(labelsize="small", pad=0)
        ax.set_box_aspect((1, 1, 1), zoom=0.9)
    class_legend(figure, figure.axes[0], "center right")
    return figure


def class_legend(figure: Figure, ax: Axes, place: Place = "outside right upper") -> None:
    """The classes beside the figure, in as many columns as its height asks for."""
    handles, labels = ax.get_legend_handles_labels()
    if labels and labels != ["no label"]:
        columns = math.ceil(len(labels) / (figure.get_figheight() / LEGEND_ROW))
        scale = math.sqrt(LEGEND_POINT / float(handles[0].get_sizes()[0]))  # type: ignore[attr-defined]
        figure.legend(handles, labels, loc=place, ncols=columns, markerscale=scale)


def confusion(counts: Int[np.ndarray, "Y Y"], classes: Sequence[str], title: str) -> Figure:
    """Images by true class (rows) and predicted class (columns)."""
    counts = np.asarray(counts)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    names = class_names(classes, length=14)
    side = float(np.clip(0.5 * len(names) + 1.8, 4.2, 8.0))
    figure = Figure(figsize=(side + 1.0, side), layout="constrained")
    ax = figure.add_subplot()
    image = ax.imshow(100 * shares, cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=100))
    bar = figure.colorbar(image, ax=ax, shrink=0.6, label="share of the true class (%)", ticks=[0, 2, 10, 25, 50, 100])
    bar.outline.set_visible(False)  # type: ignore[operator]
    if len(names) <= NUMBERED:
        _write_counts(ax, counts, shares)
    turned = max(map(len, names)) > 3
    ax.set_xticks(range(len(names)), names, rotation=45 if turned else 0, ha="right" if turned else "center")
    ax.set_yticks(range(len(names)), names)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_xlabel("predicted class")
    ax.set_ylabel("true class")
    ax.set_title(title)
    return figure


def _write_counts(ax: Axes, counts: np.ndarray, shares: np.ndarray) -> None:
    """Count and, below it, the row's percentage; nothing where there is no image."""
    for row, column in zip(*np.nonzero(counts), strict=True):
        share = shares[row, column]
        percent = "<1 %" if share < 0.01 else f"{100 * share:.0f} %"
        colour = "white" if share > 0.3 else INK
        ax.text(column, row - 0.13, f"{counts[row, column]:,}", ha="center", va="center", color=colour)
        ax.text(column, row + 0.22, percent, ha="center", va="center", color=colour, fontsize=6.5)
