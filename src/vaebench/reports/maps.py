"""Where the code is: maps of the latents, nats per latent, and which classes are taken for which."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from mpl_toolkits.mplot3d import Axes3D

from vaebench.evaluation.bounds import DEAD_BELOW
from vaebench.reports.style import FAINT, INK, REPRESENTATIONS, class_look, class_names
from vaebench.runs import Run

NUMBERED = 15
"""Classes up to which a confusion matrix has room for numbers."""
Place = Literal["outside right upper", "center right"]
NAMED_BARS = 40
LEGEND_ROW, LEGEND_COLUMN = 0.21, 1.3
"""Inches that a class takes in a legend."""
HIGH = 4.2


def tsne_map(run: Run) -> Figure:
    """The t-SNE map of the latent means, classes named at their middle."""
    figure, ax = _square(run)
    points = run.panels["map_tsne"]
    _scatter(ax, points, run)
    _name_classes(ax, points, run)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    _class_legend(figure, ax)
    return figure


def plane_map(run: Run) -> Figure:
    """The two latents with the highest KL."""
    figure, ax = _square(run)
    _scatter(ax, run.panels["map_codes"][:, :2], run)
    first, second = _axis_names(run)[:2]
    ax.set_xlabel(first)
    ax.set_ylabel(second)
    ax.set_aspect("equal", adjustable="datalim")
    ax.grid()
    _class_legend(figure, ax)
    return figure


def space_map(run: Run) -> Figure:
    """The three latents with the highest KL, seen from two sides."""
    names = class_names(run.results["classes"])
    width = 9.0 + LEGEND_COLUMN * math.ceil(len(names) / (HIGH / LEGEND_ROW))
    figure = Figure(figsize=(width, HIGH))
    for left, azimuth in ((-0.2, -60), (4.2, 30)):
        ax = figure.add_axes((left / width, -0.07, 4.6 / width, 1.2), projection="3d")
        assert isinstance(ax, Axes3D)
        ax.view_init(elev=18, azim=azimuth)
        _scatter(ax, run.panels["map_codes"], run)
        for name, axis in zip(_axis_names(run), (ax.xaxis, ax.yaxis, ax.zaxis), strict=True):
            axis.set_label_text(name)
            axis.set_pane_color((1, 1, 1, 0))
            axis.set_major_locator(MaxNLocator(5, integer=True))
        ax.tick_params(labelsize="small", pad=0)
        ax.set_box_aspect((1, 1, 1), zoom=0.9)
    _class_legend(figure, figure.axes[0], "center right")
    return figure


def _square(run: Run) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7.6 if run.results["classes"] else 6.2, 6), layout="constrained")
    return figure, figure.add_subplot()


def _scatter(ax: Axes, points: np.ndarray, run: Run) -> None:
    """The points (N, 2) or (N, 3), a colour and marker for each class; points without a label in grey."""
    labels = run.panels["map_labels"]
    size = float(np.clip(12000 / len(points), 5, 26))
    names = class_names(run.results["classes"])
    for index in np.unique(labels):
        colour, marker = class_look(int(index)) if index >= 0 else (FAINT if names else "#3f6f9f", "o")
        look: dict[str, Any] = {"color": colour, "marker": marker, "alpha": 0.75, "linewidths": 0, "s": size}
        ax.scatter(*points[labels == index].T, label=names[index] if index >= 0 else "no label", **look)


def _name_classes(ax: Axes, points: np.ndarray, run: Run) -> None:
    labels = run.panels["map_labels"]
    for index, name in enumerate(class_names(run.results["classes"])):
        if (labels == index).any():
            halo = [withStroke(linewidth=2.5, foreground="white")]
            x, y = np.median(points[labels == index], axis=0)
            ax.text(x, y, name, ha="center", va="center", weight="bold", fontsize=11, path_effects=halo, clip_on=True)


def _class_legend(figure: Figure, ax: Axes, place: Place = "outside right upper") -> None:
    handles, labels = ax.get_legend_handles_labels()
    if labels and labels != ["no label"]:
        columns = math.ceil(len(labels) / (figure.get_figheight() / LEGEND_ROW))
        figure.legend(handles, labels, loc=place, ncols=columns, markerscale=1.8)


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
    counts = run.panels["confusion"]
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    names = class_names(run.results["classes"], length=14)
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
    accuracy = np.trace(counts) / max(counts.sum(), 1)
    ax.set_title(f"logistic on VAE means, all training labels: accuracy {accuracy:.1%}".replace("%", " %"))
    return figure


def _write_counts(ax: Axes, counts: np.ndarray, shares: np.ndarray) -> None:
    """Count and, below it, the row's percentage; nothing where there is no image."""
    for row, column in zip(*np.nonzero(counts), strict=True):
        share = shares[row, column]
        percent = "<1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"
        colour = "white" if share > 0.3 else INK
        ax.text(column, row - 0.13, f"{counts[row, column]:,}", ha="center", va="center", color=colour)
        ax.text(column, row + 0.22, percent, ha="center", va="center", color=colour, fontsize=6.5)
