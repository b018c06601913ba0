"""Matplotlib figures of an inspection."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from vaebench.data.checks.inspection import ChannelValues, Inspection
from vaebench.data.image_set import ImageSet, UnreadableImageError
from vaebench.data.pixels import to_8_bits
from vaebench.plotting.palette import clean, shortened
from vaebench.plotting.sheets import COLUMNS, channels_alone
from vaebench.plotting.style import FAINT, STYLE, class_names

PART_COLOURS = {"train": "#0072b2", "": "#0072b2", "validation": "#56b4e9", "test": "#e69f00"}
RANGE, BARS = "#d55e00", "#7b8794"
CHANNEL_COLOURS = {"red": "#c0392b", "green": "#2e8b57", "blue": "#2a6fbb"}
MAX_CLASSES = 40
"""Classes up to which bars can be read."""
MAX_SIZES = 2_000


@rc_context(STYLE)
def class_counts(inspection: Inspection) -> Figure:
    """Readable images of each class, by part."""
    names = [*class_names(inspection.classes, 24), *(["no label"] if "" in inspection.counts else [])]
    figure = Figure(figsize=(6.4, 0.26 * len(names) + 1.0), layout="constrained")
    ax = figure.add_subplot()
    left = np.zeros(len(names))
    for part in inspection.parts or ("",):
        counts = np.array([each[part] for each in inspection.counts.values()])
        ax.barh(range(len(names)), counts, left=left, color=PART_COLOURS[part], height=0.7, label=part)
        left += counts
    for y, total in enumerate(left):
        ax.annotate(f"{int(total):,}", (total, y), (3, 0), textcoords="offset points", va="center", fontsize=7.5)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_xlim(0, 1.12 * max(left.max(), 1))
    ax.locator_params(axis="x", nbins=6, integer=True)
    ax.set_xlabel("images")
    ax.grid(axis="x")
    if len(inspection.parts) > 1:
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, fontsize=8)
    return figure


@rc_context(STYLE)
def value_histograms(inspection: Inspection) -> Figure:
    """Histogram of the stored values of each channel, and the range that is kept."""
    channels = [channel for channel in inspection.channels if channel.counts]
    columns = min(3, len(channels))
    rows = math.ceil(len(channels) / columns)
    figure = Figure(figsize=(6.4 if columns > 1 else 4.8, 1.9 * rows + 0.4), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for ax, channel in zip(axes.flat, channels, strict=False):
        _histogram(ax, channel)
    for ax in list(axes.flat)[len(channels) :]:
        ax.set_visible(False)
    axes[0, 0].set_ylabel("sampled values")
    figure.supxlabel("stored value", fontsize=8)
    return figure


def _histogram(ax: Any, channel: ChannelValues) -> None:
    edges = np.linspace(channel.lowest, channel.highest, len(channel.counts) + 1)
    if channel.lowest == channel.highest:
        edges = np.array([channel.lowest - 0.5, channel.lowest + 0.5])
    ax.stairs(channel.counts, edges, fill=True, color=CHANNEL_COLOURS.get(channel.name, BARS))
    for value in (channel.low, channel.high):
        ax.axvline(value, color=RANGE, linewidth=1.2, linestyle=(0, (4, 2)))
    ax.set_yscale("log")
    ax.set_ylim(0.7, 2 * max(channel.counts))
    _plain_numbers(ax.yaxis)
    ax.set_title(shortened(clean(channel.name), 24))
    ax.locator_params(axis="x", nbins=3)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    ax.tick_params(labelsize=7.5)


@rc_context(STYLE)
def channels(inspection: Inspection, images: ImageSet) -> Figure:
    """Some images as composites, and below them each channel alone, after preprocessing."""
    rule = inspection.rule
    pixels, names = [], []
    for row in _spread(inspection):
        try:
            pixels.append(rule.pixels(images.read(row, max(rule.width, rule.height))))
            names.append(images.names[row])
        except UnreadableImageError:
            continue
    shown = to_8_bits(torch.from_numpy(np.stack(pixels)))
    return channels_alone(shown, rule.channel_names, class_names(names, length=12))


def _spread(inspection: Inspection) -> list[int]:
    """Rows of a few examples of the classes, evenly spaced."""
    rows = sorted({row for rows in inspection.examples.values() for row in rows})
    return [rows[at] for at in np.linspace(0, len(rows) - 1, min(len(rows), COLUMNS)).astype(int)]


def _plain_numbers(axis: Any) -> None:
    """Label the powers of ten of a logarithmic axis as numbers; the style does not draw formulas."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axis.set_minor_formatter(NullFormatter())


@rc_context(STYLE)
def image_sizes(inspection: Inspection) -> Figure:
    """Width and height of the images as they are stored; a larger dot stands for more images."""
    widths, heights, counts = np.array(inspection.sizes[:MAX_SIZES]).T
    figure = Figure(figsize=(4.8, 4.2), layout="constrained")
    ax = figure.add_subplot()
    low, high = 0.9 * min(widths.min(), heights.min()), 1.1 * max(widths.max(), heights.max())
    ax.plot([low, high], [low, high], color=FAINT, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    ax.scatter(widths, heights, 12 + 150 * counts / counts.max(), color="#0072b2", alpha=0.55, linewidths=0, zorder=2)
    if high > 8 * low:
        ax.set_xscale("log")
        ax.set_yscale("log")
        _plain_numbers(ax.xaxis)
        _plain_numbers(ax.yaxis)
    ax.set_xlim(low, high)
    ax.set_ylim(low, high)
    ax.set_aspect("equal")
    ax.set_xlabel("width (pixels)")
    ax.set_ylabel("height (pixels)")
    ax.grid()
    return figure
