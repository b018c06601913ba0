"""Figures of the latent space and of classification: maps of codes, KL per latent, confusion matrices."""

from __future__ import annotations

import math

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from PIL import Image

from vaebench.evaluation.bounds import DEAD_BELOW
from vaebench.evaluation.code_use import CodeUse
from vaebench.models.quantised import QuantisedModel
from vaebench.plotting.channels import composite
from vaebench.plotting.palette import class_style
from vaebench.plotting.plots import class_legend, confusion, scatter, scatter_3d
from vaebench.plotting.style import FAINT, INK, REPRESENTATIONS, class_names
from vaebench.runs.run import Run

MAX_NAMED_BARS = 40
SHEET_WIDTH, FRAME_WIDTH = 1140, 2
"""Pixels of the map of images and of the frame of each image."""


def tsne_map(run: Run) -> Figure:
    """t-SNE map of the latent means, with class names at the class medians."""
    points, labels = run.panels["map_tsne"], run.panels["map_labels"]
    figure, ax = _scatter(run, points)
    halo = [withStroke(linewidth=2.5, foreground="white")]
    for index, name in enumerate(class_names(run.results["classes"])):
        if (labels == index).any():
            x, y = np.median(points[labels == index], axis=0)
            ax.text(x, y, name, ha="center", va="center", weight="bold", fontsize=11, path_effects=halo, clip_on=True)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    return figure


def _scatter(run: Run, points: np.ndarray) -> tuple[Figure, Axes]:
    """Scatter plot of the map's points (M, 2) by class, with a legend."""
    classes = run.results["classes"]
    figure = Figure(figsize=(7.6 if classes else 6.2, 6), layout="constrained")
    ax = figure.add_subplot()
    scatter(ax, points, run.panels["map_labels"], classes)
    class_legend(figure, ax)
    return figure, ax


def image_map(run: Run) -> Figure:
    """t-SNE map with images as points, omitting those that would overlap."""
    picture = _paste_images(run.panels["map_tsne"], run.panels["map_images"], run.panels["map_labels"])
    figure = Figure(figsize=(7.6, 7.6 * picture.shape[0] / picture.shape[1]))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.imshow(picture, interpolation="nearest")
    ax.set_axis_off()
    return figure


def _paste_images(places: np.ndarray, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Paste images (M, C, H, W) at their places on a white sheet, framed in the colour of their class."""
    side, frame = int(np.clip(SHEET_WIDTH / math.sqrt(3 * len(images)), 26, 44)), FRAME_WIDTH
    thumbnails = np.stack([_thumbnail(image, side) for image in images])
    low, span = places.min(0), max(float(np.ptp(places, axis=0).max()), 1e-12)
    room = SHEET_WIDTH - side - 2 * frame
    corners = np.rint((places - low) / span * room).astype(int)
    height = int(corners[:, 1].max()) + side + 2 * frame
    sheet = np.full((height, SHEET_WIDTH, 3), 255, np.uint8)
    kept: list[np.ndarray] = []
    for index, (x, y) in enumerate(corners):
        if any(abs(x - a) < side + frame and abs(y - b) < side + frame for a, b in kept):
            continue
        kept.append(corners[index])
        top = height - y - side - 2 * frame
        colour = to_rgb(class_style(int(labels[index]))[0] if labels[index] >= 0 else FAINT)
        sheet[top : top + side + 2 * frame, x : x + side + 2 * frame] = np.rint(255 * np.array(colour))
        sheet[top + frame : top + frame + side, x + frame : x + frame + side] = thumbnails[index]
    return sheet


def _thumbnail(image: np.ndarray, side: int) -> np.ndarray:
    """Resize an image (C, H, W) to RGB (side, side, 3)."""
    pixels = image[0] if len(image) == 1 else composite(image).transpose(1, 2, 0)
    return np.asarray(Image.fromarray(pixels).convert("RGB").resize((side, side), Image.Resampling.BILINEAR))


def plane_map(run: Run) -> Figure:
    """Latent means on the two latents with the highest KL."""
    points, (x_label, y_label) = _top_latents(run, 2)
    figure, ax = _scatter(run, points)
    ax.set_xlabel(x_label)
    ax.set_ylabel(y_label)
    ax.set_aspect("equal", adjustable="datalim")
    ax.grid()
    return figure


def space_map(run: Run) -> Figure:
    """Latent means on the three latents with the highest KL, from two viewpoints."""
    points, names = _top_latents(run, 3)
    return scatter_3d(points, run.panels["map_labels"], run.results["classes"], names)


def _top_latents(run: Run, count: int) -> tuple[np.ndarray, list[str]]:
    """Codes (M, count) on the latents with the highest KL, and the names of the axes."""
    latents, nats = run.panels["map_latents"][:count], run.panels["kl_per_latent"]
    return run.panels["map_codes"][:, latents], [f"z{d} ({nats[d]:.2f} nats)" for d in latents]


def code_bars(run: Run) -> Figure:
    """Perplexity of the code of each group, and the number of its codes."""
    counts, model = run.panels["code_counts"], run.recipe.model
    assert isinstance(model, QuantisedModel)
    sizes = model.sizes
    perplexities = CodeUse(torch.from_numpy(counts), sizes).perplexities.numpy()
    places = np.arange(len(sizes))
    figure = Figure(figsize=(float(np.clip(0.32 * len(sizes) + 2, 4.5, 9.2)), 3.2), layout="constrained")
    ax = figure.add_subplot()
    ax.bar(places, perplexities, color=REPRESENTATIONS["vae"][1], width=0.8)
    ax.hlines(sizes, places - 0.4, places + 0.4, color=INK, linewidth=0.9, label="number of codes")
    ax.set_title(f"{(counts > 0).sum()} of {sum(sizes)} codes used; mean perplexity {perplexities.mean():.2f}")
    ax.set_xlabel("group")
    ax.set_ylabel("perplexity of the code")
    ax.margins(x=0.01)
    ax.set_ylim(bottom=0)
    ax.xaxis.set_major_locator(MaxNLocator(12, integer=True))
    figure.legend(loc="outside lower center", borderaxespad=0.2)
    return figure


def kl_bars(run: Run) -> Figure:
    """KL of each latent in descending order, dead ones in grey."""
    nats = run.panels["kl_per_latent"]
    order = np.argsort(-nats, kind="stable")
    dead = nats[order] < DEAD_BELOW
    figure = Figure(figsize=(float(np.clip(0.32 * len(nats) + 2, 4.5, 9.2)), 3.2), layout="constrained")
    ax = figure.add_subplot()
    colours = [FAINT if flag else REPRESENTATIONS["vae"][1] for flag in dead]
    ax.bar(np.arange(len(nats)), nats[order], color=colours, width=0.8)
    ax.axhline(DEAD_BELOW, color=INK, linewidth=0.9, linestyle=(0, (4, 3)), label=f"dead below {DEAD_BELOW} nats")
    ax.set_title(f"{nats.sum():.2f} nats in total; {int(dead.sum())} of {len(nats)} latents are dead")
    ax.set_ylabel("mean KL (nats per image)")
    ax.margins(x=0.01)
    if len(nats) <= MAX_NAMED_BARS:
        ax.set_xticks(np.arange(len(nats)), [f"z{d}" for d in order], rotation=90 if len(nats) > 20 else 0)
        ax.tick_params(axis="x", length=0)
    else:
        ax.set_xlabel("latents by descending KL")
    ax.grid(axis="y")
    figure.legend(loc="outside lower center", borderaxespad=0.2)  # within the axes the line may strike it through
    return figure


def confusion_matrix(
    run: Run, panel: str = "confusion", title: str = "logistic regression on VAE means, all training labels"
) -> Figure:
    """Confusion matrix of a panel, with the accuracy in its title."""
    counts = run.panels[panel]
    accuracy = f"{100 * np.trace(counts) / max(counts.sum(), 1):.1f} %"
    return confusion(counts, run.results["classes"], f"{title}: accuracy {accuracy}")
