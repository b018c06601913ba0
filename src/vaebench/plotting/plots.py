"""Figures of plain arrays for reports and papers: lines, bars, intervals, scatter plots, confusion matrices."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from textwrap import wrap
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

LegendLocation = Literal["outside right upper", "center right"]
LEGEND_ROW, LEGEND_COLUMN = 0.21, 1.3
"""Height and width in inches of a legend's entry."""
HEIGHT_3D = 4.2
TITLE_WIDTH = 0.65
"""Width of a bold character relative to its size, with a margin."""
COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#333333", "#999999")
"""Okabe and Ito's palette, distinguishable with colour blindness."""
DASHES: tuple[Any, ...] = ("solid", (0, (5, 2)), (0, (1, 1.5)))


class Series(NamedTuple):
    """One line of a plot, with an optional interval from ``low`` to ``high``."""

    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None


class Panel(NamedTuple):
    """One set of axes: title, lines by name and axis labels."""

    title: str
    lines: Mapping[str, Series]
    x_label: str
    y_label: str
    log_x: bool = False
    log_y: bool = False
    limits: tuple[float, float] | None = None
    names: Sequence[str] = ()
    """Tick labels at 1, 2, 3, ... for an x axis without numbers."""


def lines(panels: Sequence[Panel], columns: int = 3, size: tuple[float, float] = (3.4, 2.9)) -> Figure:
    """Plot panels of lines with one legend; lines with the same name have the same colour in all panels."""
    columns = min(columns, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(max(4.6, size[0] * columns), size[1] * rows + 0.5), layout="constrained")
    names = list(dict.fromkeys(name for panel in panels for name in panel.lines))
    for ax, panel in zip(_grid(figure, rows, columns, len(panels)), panels, strict=True):
        _line_panel(ax, panel, names)
    _legend_below(figure, names)
    return figure


def _grid(figure: Figure, rows: int, columns: int, count: int, **options: Any) -> list[Axes]:
    """Add a grid of axes and return the first ``count`` of them, the others removed."""
    axes = list(figure.subplots(rows, columns, squeeze=False, **options).flat)
    for ax in axes[count:]:
        ax.remove()
    return axes[:count]


def _line_panel(ax: Axes, panel: Panel, names: list[str]) -> None:
    for name, line in panel.lines.items():
        index = names.index(name)
        colour, dash = COLOURS[index % len(COLOURS)], DASHES[index // len(COLOURS) % len(DASHES)]
        marker = "o" if len(line.x) <= 12 else None
        ax.plot(line.x, line.y, label=name, marker=marker, markersize=3.5, linestyle=dash, color=colour)
        if line.low is not None and line.high is not None:
            if len(line.x) == 1:  # a band has no width there
                ax.vlines(line.x, line.low, line.high, linewidth=1.5, color=colour)
            else:
                ax.fill_between(line.x, line.low, line.high, alpha=0.18, linewidth=0, color=colour)
    ax.set(title=panel.title, xlabel=panel.x_label, ylabel=panel.y_label)
    if panel.names:
        ax.set_xticks(range(1, len(panel.names) + 1), panel.names)
    elif panel.log_x:
        ax.set_xscale("log")
        ticks = sorted({x for line in panel.lines.values() for x in line.x})
        if len(ticks) <= 9:
            ax.set_xticks(ticks, [_format_number(float(tick)) for tick in ticks])
            ax.set_xticks([], minor=True)
        else:
            _use_plain_ticks(ax.xaxis)
    elif all(float(x).is_integer() for line in panel.lines.values() for x in line.x):
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    if panel.log_y:
        ax.set_yscale("log")
        _use_plain_ticks(ax.yaxis)
    if panel.limits:
        ax.set_ylim(*panel.limits)
    ax.grid(axis="y")


def _legend_below(figure: Figure, names: Sequence[str]) -> None:
    """Add a legend of the entries of all axes in the order of ``names``, if there are several.

    It has as many columns as fit, each with its handle and the space to the next.
    """
    handles: dict[str, Any] = {}
    for ax in figure.axes:
        handles |= {label: handle for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    labels = [name for name in names if name in handles]
    if len(names) > 1:
        font = FontProperties(size=matplotlib.rcParams["legend.fontsize"])
        points = max(text_to_path.get_text_width_height_descent(name, font, False)[0] for name in labels)
        width = (points + 4.8 * font.get_size_in_points()) / 72
        columns = max(1, min(len(labels), int(figure.get_figwidth() / width)))
        figure.legend([handles[name] for name in labels], labels, loc="outside lower center", ncols=columns)


def _use_plain_ticks(axis: Axis) -> None:
    """Label a logarithmic axis at 1, 2 and 5 with plain numbers, because mathematical text is off."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: _format_number(float(value))))


def _format_number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:g}"  # "g" alone gives exponents


def bars(names: Sequence[str], groups: Mapping[str, Sequence[float]], y_label: str, title: str = "") -> Figure:
    """Plot grouped bars: one cluster per name, one colour per group."""
    width = 0.8 / len(groups)
    figure_width = float(np.clip(0.5 * len(names) * len(groups) ** 0.5 + 2, 4.6, 9.2))
    figure = Figure(figsize=(figure_width, 3.3), layout="constrained")
    ax = figure.add_subplot()
    for index, (group, values) in enumerate(groups.items()):
        positions = np.arange(len(names)) + (index - (len(groups) - 1) / 2) * width
        ax.bar(positions, values, width=0.92 * width, color=COLOURS[index % len(COLOURS)], label=group)
    long = max(map(len, names)) * len(names) > 70
    ax.set_xticks(range(len(names)), names, rotation=35 if long else 0, ha="right" if long else "center")
    ax.tick_params(axis="x", length=0)
    ax.set(title=title, ylabel=y_label)
    ax.grid(axis="y")
    _legend_below(figure, list(groups))
    return figure


class Estimate(NamedTuple):
    """A value and its interval."""

    value: float
    low: float
    high: float


def estimates(
    panels: Mapping[str, Mapping[str, Mapping[str, Estimate]]],
    x_label: str,
    columns: int | None = None,
    limits: tuple[float, float] | None = None,
) -> Figure:
    """Plot estimates with their intervals: panels by title, in each a colour per series and a row per name.

    All panels are in one row unless ``columns`` is given. Without ``limits``, a vertical line marks 0.
    """
    names = list(dict.fromkeys(name for panel in panels.values() for series in panel.values() for name in series))
    groups = list(dict.fromkeys(group for panel in panels.values() for group in panel))
    columns = columns or len(panels)
    rows = math.ceil(len(panels) / columns)
    size = 3.4 * columns + 1.6, rows * (0.22 * len(names) * len(groups) + 0.9) + 0.4
    figure = Figure(figsize=size, layout="constrained")
    axes = _grid(figure, rows, columns, len(panels), sharey=True)
    for ax, (title, panel) in zip(axes, panels.items(), strict=True):
        for group, series in panel.items():
            shift = 0.22 * (groups.index(group) - (len(groups) - 1) / 2)
            positions = [names.index(name) + shift for name in series]
            values, low, high = np.array(list(series.values())).T
            style: dict[str, Any] = {"fmt": "o", "markersize": 4, "capsize": 2, "color": COLOURS[groups.index(group)]}
            ax.errorbar(values, positions, xerr=[values - low, high - values], label=group, **style)
        if limits:
            ax.set_xlim(*limits)
        else:
            ax.axvline(0, color=INK, linewidth=0.8)
        ax.set_yticks(range(len(names)), names)
        ax.set(title=title, xlabel=x_label, ylim=(len(names) - 0.5, -0.5))
        ax.grid(axis="x")
    _legend_below(figure, groups)
    return figure


def scatter(ax: Axes, points: Float[np.ndarray, "N K"], labels: Int[np.ndarray, " N"], classes: Sequence[str]) -> None:
    """Add points (N, 2) or (N, 3) with a colour and marker per class, unlabelled ones in grey."""
    size = float(np.clip(12000 / len(points), 5, 26))
    names = class_names(classes)
    for index in np.unique(labels):
        colour, marker = class_style(int(index)) if index >= 0 else (FAINT if names else "#3f6f9f", "o")
        style: dict[str, Any] = {"color": colour, "marker": marker, "alpha": 0.75, "linewidths": 0, "s": size}
        ax.scatter(*points[labels == index].T, label=names[index] if index >= 0 else "no label", **style)


class Cloud(NamedTuple):
    """Points (N, 2) with labels (N,) and a title."""

    title: str
    points: Float[np.ndarray, "N 2"]
    labels: Int[np.ndarray, " N"]


def scatter_2d(clouds: Sequence[Cloud], classes: Sequence[str], axes: tuple[str, str] = ("z0", "z1")) -> Figure:
    """Plot 2-D scatter plots side by side, with one colour bar of the classes."""
    figure = Figure(figsize=(3.6 * len(clouds) + 1.2, 3.9), layout="constrained")
    plots = _grid(figure, 1, len(clouds), len(clouds))
    for ax, cloud in zip(plots, clouds, strict=True):
        scatter(ax, cloud.points, cloud.labels, classes)
        ax.set(title=cloud.title, xlabel=axes[0], ylabel=axes[1])
        ax.xaxis.set_major_locator(MaxNLocator(4))
        ax.yaxis.set_major_locator(MaxNLocator(5))
    names = class_names(classes, length=14)
    colours = ListedColormap([class_style(index)[0] for index in range(len(names))])
    ticks = (np.arange(len(names)) + 0.5) / len(names)
    bar = figure.colorbar(ScalarMappable(Normalize(0, 1), colours), ax=plots, shrink=0.9)
    bar.set_ticks(ticks.tolist(), labels=names)
    bar.ax.tick_params(length=0)
    return figure


def scatter_3d(
    points: Float[np.ndarray, "N 3"], labels: Int[np.ndarray, " N"], classes: Sequence[str], axes: Sequence[str]
) -> Figure:
    """Plot a 3-D scatter plot from two viewpoints."""
    width = 9.4 + LEGEND_COLUMN * math.ceil(max(len(classes), 1) / (HEIGHT_3D / LEGEND_ROW))
    figure = Figure(figsize=(width, HEIGHT_3D))
    for left, azimuth in ((-0.2, -60), (4.7, 30)):
        ax = figure.add_axes((left / width, -0.07, 4.6 / width, 1.2), projection="3d")
        assert isinstance(ax, Axes3D)
        ax.view_init(elev=18, azim=azimuth)
        ax.patch.set_visible(False)  # it would hide the label of the other plot
        scatter(ax, points, labels, classes)
        for name, axis in zip(axes, (ax.xaxis, ax.yaxis, ax.zaxis), strict=True):
            axis.set_label_text(name)
            axis.set_pane_color((1, 1, 1, 0))
            axis.set_major_locator(MaxNLocator(5, integer=True))
        ax.tick_params(labelsize="small", pad=0)
        ax.set_box_aspect((1, 1, 1), zoom=0.9)
    class_legend(figure, figure.axes[0], "center right")
    return figure


def class_legend(figure: Figure, ax: Axes, location: LegendLocation = "outside right upper") -> None:
    """Add a legend of the classes beside the axes, in as many columns as its height requires."""
    handles, labels = ax.get_legend_handles_labels()
    if labels and labels != ["no label"]:
        columns = math.ceil(len(labels) / (figure.get_figheight() / LEGEND_ROW))
        scale = math.sqrt(36 / float(handles[0].get_sizes()[0]))  # type: ignore[attr-defined]
        figure.legend(handles, labels, loc=location, ncols=columns, markerscale=scale)


def confusion(counts: Int[np.ndarray, "Y Y"], classes: Sequence[str], title: str) -> Figure:
    """Plot the confusion matrix: images by true class (rows) and predicted class (columns)."""
    counts = np.asarray(counts)
    fractions = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    names = class_names(classes, length=14)
    side = float(np.clip(0.5 * len(names) + 1.8, 4.2, 8.0))
    figure = Figure(figsize=(side + 1.0, side), layout="constrained")
    ax = figure.add_subplot()
    image = ax.imshow(100 * fractions, cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=100))
    bar = figure.colorbar(image, ax=ax, shrink=0.6, label="% of the true class", ticks=[0, 2, 10, 25, 50, 100])
    bar.outline.set_visible(False)  # type: ignore[operator]
    if len(names) <= 15:  # cells of more classes have no room for numbers
        _write_counts(ax, counts, fractions)
    rotated = max(map(len, names)) > 3
    ax.set_xticks(range(len(names)), names, rotation=45 if rotated else 0, ha="right" if rotated else "center")
    ax.set_yticks(range(len(names)), names)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set(xlabel="predicted class", ylabel="true class")
    _title_above(figure, title)
    return figure


def _title_above(figure: Figure, title: str) -> None:
    """Write a title over the whole width of a figure, in as many lines as it needs."""
    size = FontProperties(size=matplotlib.rcParams["axes.titlesize"]).get_size_in_points()
    characters = int(72 * figure.get_figwidth() / (TITLE_WIDTH * size))
    weight = matplotlib.rcParams["axes.titleweight"]
    figure.suptitle("\n".join(wrap(title, characters)), x=0.02, ha="left", fontsize=size, fontweight=weight)


def _write_counts(ax: Axes, counts: np.ndarray, fractions: np.ndarray) -> None:
    """Write each nonzero count and, below it, its percentage of the row."""
    for row, column in zip(*np.nonzero(counts), strict=True):
        fraction = fractions[row, column]
        percent = "<1 %" if fraction < 0.01 else f"{100 * fraction:.0f} %"
        colour = "white" if fraction > 0.3 else INK
        ax.text(column, row - 0.13, f"{counts[row, column]:,}", ha="center", va="center", color=colour)
        ax.text(column, row + 0.22, percent, ha="center", va="center", color=colour, fontsize=6.5)
