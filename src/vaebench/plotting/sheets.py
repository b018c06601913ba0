"""Sheets of images in rows and columns, and figures of the channels of images one by one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from vaebench.plotting.channels import MAX_NAME, channel_titles, composite
from vaebench.plotting.style import DPI, class_names

WIDTH = 1300
"""Target width of a sheet in pixels."""
MAX_SIDE = 64
"""Longest side of an image; larger images are reduced to it, to limit the size of the page."""
COLUMNS = 8

Sheet = UInt8[np.ndarray, "rows columns C H W"]


def channels_alone(images: UInt8[np.ndarray, "N C H W"], names: Sequence[str], titles: Sequence[str]) -> Figure:
    """Images as composites, and below them each channel alone in grey.

    Args:
        images: the columns.
        names: names of the channels, or empty.
        titles: names of the columns.
    """
    grey = images.swapaxes(0, 1)[:, :, None].repeat(3, 2)
    rows = np.concatenate([composite(images)[None], grey])
    width = min(WIDTH, WIDTH * len(images) // COLUMNS)
    figure, ax, x, y = sheet(rows, Margins(left=1.6, bottom=0.3), width=width)
    ax.set_yticks(y, ["composite", *class_names(channel_titles(images.shape[1], names), MAX_NAME)])
    ax.set_xticks(x, titles)
    return figure


def pairs(
    images: np.ndarray, outputs: np.ndarray, captions: list[str] | None, names: tuple[str, str] = ("image", "decoded")
) -> Figure:
    """Images (N, C, H, W) above their outputs (N, C, H, W), with optional captions; ``names`` label the rows."""
    above, below = in_rows(images, COLUMNS), in_rows(outputs, COLUMNS)
    rows = np.stack([above, below], axis=1).reshape(-1, *above.shape[1:])
    figure, ax, x, y = sheet(rows, Margins(left=0.75), block=2, band=0.34 if captions else 0.12)
    ax.set_yticks(y, list(names) * len(above))
    for index, text in enumerate(captions or []):
        row, column = divmod(index, len(x))
        edge = y[2 * row] - 0.54 * (y[1] - y[0])
        ax.text(x[column], edge, text, ha="center", va="bottom", fontsize="small")
    return figure


def in_rows(images: np.ndarray, max_columns: int) -> np.ndarray:
    """Arrange (N, C, H, W) as (rows, columns, C, H, W): as few rows as possible, evenly filled, padded with white.

    Images of several channels become composites of three.
    """
    images = composite(images)
    rows = math.ceil(len(images) / max_columns)
    columns = math.ceil(len(images) / rows)
    white = np.full((rows * columns - len(images), *images.shape[1:]), 255, dtype=np.uint8)
    return np.concatenate([images, white]).reshape(rows, columns, *images.shape[1:])


class Margins(NamedTuple):
    """Margins of a sheet in inches."""

    left: float
    right: float = 0.1
    top: float = 0.05
    bottom: float = 0.1


def sheet(
    images: Sheet, margins: Margins, *, block: int = 1, band: float = 0.0, width: int = WIDTH
) -> tuple[Figure, Axes, list[float], list[float]]:
    """Return a figure of images in rows, its axes, and the x and y centres of its columns and rows.

    Image pixels are scaled by an integer, so that all have the same size. Images of several channels are drawn as
    composites of three.

    Args:
        block: rows that belong together; above each block is a free band.
        band: height of the band as a fraction of the image height.
        width: target width in pixels.
    """
    images = _reduced(composite(images))
    canvas, x, y = _canvas(images, block, band)
    scale = max(1, width // canvas.shape[1])
    high, wide = (side * scale / DPI for side in canvas.shape[:2])
    across, down = margins.left + wide + margins.right, margins.top + high + margins.bottom
    figure = Figure(figsize=(across, down))
    ax = figure.add_axes((margins.left / across, margins.bottom / down, wide / across, high / down))
    ax.imshow(canvas, interpolation="nearest", aspect="auto")
    _frame(ax, x, y, images.shape[-2:])
    ax.set_xticks([])
    ax.set_yticks([])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return figure, ax, x, y


def grids(sheets: Mapping[str, Sheet], columns: int = 1, width: int = WIDTH) -> Figure:
    """Return a figure of several sheets of one size, each under its name; pixels are scaled as in :func:`sheet`."""
    canvases = {name: _canvas(_reduced(composite(images)), 1, 0.0) for name, images in sheets.items()}
    high, wide = next(iter(canvases.values()))[0].shape[:2]
    scale = max(1, width // (columns * wide)) / DPI
    rows, pad, title = math.ceil(len(sheets) / columns), 0.1, 0.3
    across, down = columns * (wide * scale + pad) + pad, rows * (high * scale + title) + pad
    figure = Figure(figsize=(across, down))
    for index, (name, (canvas, x, y)) in enumerate(canvases.items()):
        left = pad + index % columns * (wide * scale + pad)
        bottom = down - (index // columns + 1) * (high * scale + title)
        ax = figure.add_axes((left / across, bottom / down, wide * scale / across, high * scale / down))
        ax.imshow(canvas, interpolation="nearest", aspect="auto")
        _frame(ax, x, y, sheets[name].shape[-2:])
        ax.set_axis_off()
        ax.set_title(name, pad=3)
    return figure


def _frame(ax: Axes, x: list[float], y: list[float], size: tuple[int, ...]) -> None:
    """Draw a thin frame around every image, so that the edges of white images are visible."""
    height, width = size
    frames = [Rectangle((left - width / 2, top - height / 2), width, height) for top in y for left in x]
    line = PatchCollection(frames, facecolor="none", edgecolor="#c5cdd6", linewidth=0.5, clip_on=False)
    ax.add_collection(line, autolim=False)


def _canvas(images: Sheet, block: int, band: float) -> tuple[np.ndarray, list[float], list[float]]:
    """Place all images on a white canvas (H, W, 3); return it with the centres of its columns and rows."""
    rows, columns, _, height, width = images.shape
    gap, free = max(1, height // 14), round(band * height)
    lefts = [column * (width + gap) for column in range(columns)]
    tops = [row * (height + gap) + (row // block + 1) * free for row in range(rows)]
    canvas = np.full((tops[-1] + height, lefts[-1] + width, 3), 255, dtype=np.uint8)
    for row, top in enumerate(tops):
        for column, left in enumerate(lefts):
            canvas[top : top + height, left : left + width] = np.moveaxis(images[row, column], 0, -1)
    x = [left + (width - 1) / 2 for left in lefts]
    return canvas, x, [top + (height - 1) / 2 for top in tops]


def _reduced(images: Sheet) -> np.ndarray:
    """The images, reduced by averaging if a side is longer than `MAX_SIDE`."""
    height, width = images.shape[-2:]
    scale = MAX_SIDE / max(height, width)
    if scale >= 1:
        return images
    size = max(1, round(width * scale)), max(1, round(height * scale))
    flat = images.reshape(-1, height, width)
    small = [np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BOX)) for plane in flat]
    return np.stack(small).reshape(*images.shape[:-2], size[1], size[0])
