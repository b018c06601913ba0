"""Where the code is: maps of the latents, nats per latent, and which classes are taken for which."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from PIL import Image

from vaebench.evaluation.bounds import DEAD_BELOW
from vaebench.plotting.palette import class_style
from vaebench.plotting.plots import class_legend, confusion, scatter, scatter_3d
from vaebench.plotting.style import FAINT, INK, REPRESENTATIONS, class_names
from vaebench.runs.run import Run

NAMED_BARS = 40
SHEET, FRAME = 1140, 2
"""Pixels of the map of images: across, and of the frame of an image."""


def tsne_map(run: Run) -> Figure:
    """The t-SNE map of the latent means, classes named at their middle."""
    figure, ax = _square(run)
    points = run.panels["map_tsne"]
    _scatter(ax, points, run)
    _name_classes(ax, points, run)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    class_legend(figure, ax)
    return figure


def image_map(run: Run) -> Figure:
    """The t-SNE map with the images themselves in place of points, as many as do not cover one another."""
    picture = _pasted(run.panels["map_tsne"], run.panels["map_images"], run.panels["map_labels"])
    figure = Figure(figsize=(7.6, 7.6 * picture.shape[0] / picture.shape[1]))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.imshow(picture, interpolation="nearest")
    ax.set_axis_off()
    return figure


def _pasted(places: np.ndarray, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Images (M, C, H, W) on a white sheet, each at its place with a frame of its class's colour."""
    side, frame = int(np.clip(SHEET / math.sqrt(3 * len(images)), 26, 44)), FRAME
    cells = np.stack([_thumbnail(image, side) for image in images])
    low, span = places.min(0), max(float(np.ptp(places, axis=0).max()), 1e-12)
    room = SHEET - side - 2 * frame
    corners = np.rint((places - low) / span * room).astype(int)
    height = int(corners[:, 1].max()) + side + 2 * frame
    sheet = np.full((height, SHEET, 3), 255, np.uint8)
    kept: list[np.ndarray] = []
    for index, (x, y) in enumerate(corners):
        if any(abs(x - a) < side + frame and abs(y - b) < side + frame for a, b in kept):
            continue
        kept.append(corners[index])
        top, colour = (
            height - y - side - 2 * frame,
            to_rgb(class_style(int(labels[index]))[0] if labels[index] >= 0 else FAINT),
        )
        sheet[top : top + side + 2 * frame, x : x + side + 2 * frame] = np.rint(255 * np.array(colour))
        sheet[top + frame : top + frame + side, x + frame : x + frame + side] = cells[index]
    return sheet


def _thumbnail(image: np.ndarray, side: int) -> np.ndarray:
    """An image (C, H, W) as (side, side, 3)."""
    pixels = image[0] if len(image) == 1 else image[:3].transpose(1, 2, 0)
    return np.asarray(Image.fromarray(pixels).convert("RGB").resize((side, side), Image.Resampling.BILINEAR))


def plane_map(run: Run) -> Figure:
    """The two latents with the highest KL."""
    figure, ax = _square(run)
    _scatter(ax, _highest(run, 2), run)
    first, second = _axis_names(run)[:2]
    ax.set_xlabel(first)
    ax.set_ylabel(second)
    ax.set_aspect("equal", adjustable="datalim")
    ax.grid()
    class_legend(figure, ax)
    return figure


def space_map(run: Run) -> Figure:
    """The three latents with the highest KL, seen from two sides."""
    return scatter_3d(_highest(run, 3), run.panels["map_labels"], run.results["classes"], _axis_names(run))


def _highest(run: Run, count: int) -> np.ndarray:
    """Latent means on the axes with the highest KL."""
    return np.asarray(run.panels["map_codes"][:, run.panels["map_latents"][:count]])


def _square(run: Run) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7.6 if run.results["classes"] else 6.2, 6), layout="constrained")
    return figure, figure.add_subplot()


def _scatter(ax: Axes, points: np.ndarray, run: Run) -> None:
    scatter(ax, points, run.panels["map_labels"], run.results["classes"])


def _name_classes(ax: Axes, points: np.ndarray, run: Run) -> None:
    labels = run.panels["map_labels"]
    for index, name in enumerate(class_names(run.results["classes"])):
        if (labels == index).any():
            halo = [withStroke(linewidth=2.5, foreground="white")]
            x, y = np.median(points[labels == index], axis=0)
            ax.text(x, y, name, ha="center", va="center", weight="bold", fontsize=11, path_effects=halo, clip_on=True)


def _axis_names(run: Run) -> list[str]:
    nats = run.panels["kl_per_latent"]
    return [f"z{d} ({nats[d]:.2f} nats)" for d in run.panels["map_latents"].tolist()]


def kl_bars(run: Run) -> Figure:
    """Nats that each latent carries, in falling order, dead ones in grey."""
    nats = run.panels["kl_per_latent"]
    order = np.argsort(-nats, kind="stable")
    dead = nats[order] < DEAD_BELOW
    figure = Figure(figsize=(float(np.clip(0.32 * len(nats) + 2, 4.5, 9.2)), 3.2), layout="constrained")
    ax = figure.add_subplot()
    colours = [FAINT if flag else REPRESENTATIONS["vae"][1] for flag in dead]
    ax.bar(np.arange(len(nats)), nats[order], color=colours, width=0.8)
    line = f"dead below {DEAD_BELOW} nats"
    ax.axhline(DEAD_BELOW, color=INK, linewidth=0.9, linestyle=(0, (4, 3)), label=line)
    ax.set_title(f"{nats.sum():.2f} nats in all; {int(dead.sum())} of {len(nats)} latents are dead")
    ax.set_ylabel("mean KL (nats per image)")
    ax.margins(x=0.01)
    if len(nats) <= NAMED_BARS:
        ax.set_xticks(np.arange(len(nats)), [f"z{d}" for d in order], rotation=90 if len(nats) > 20 else 0)
        ax.tick_params(axis="x", length=0)
    else:
        ax.set_xlabel("latents, the highest KL first")
    ax.grid(axis="y")
    ax.legend(loc="upper right")
    return figure


def confusion_matrix(run: Run) -> Figure:
    """Test images by true class (rows) and predicted class (columns)."""
    return _confusion(run, "confusion", "logistic on VAE means, all training labels")


def taught_confusion(run: Run) -> Figure:
    """The same of the self-trained VAE that the run keeps."""
    return _confusion(run, "taught_confusion", "self-trained VAE, one draw of labels")


def _confusion(run: Run, panel: str, words: str) -> Figure:
    counts = run.panels[panel]
    accuracy = f"{100 * np.trace(counts) / max(counts.sum(), 1):.1f} %"
    return confusion(counts, run.results["classes"], f"{words}: accuracy {accuracy}")
