"""Figures of image grids: reconstructions, samples, traversals, interpolations."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.figure import Figure

from vaebench.evaluation.bounds import DEAD_BELOW
from vaebench.evaluation.panels import STEPS
from vaebench.plotting.sheets import WIDTH, Margins, channels_alone, in_rows, pairs, sheet
from vaebench.plotting.style import FAINT, INK, signed
from vaebench.runs.run import Run

ALONE = 4
"""Test images whose channels are shown alone."""


def reconstructions(run: Run, panel: str = "reconstruction") -> Figure:
    """Test images above their reconstructions."""
    return pairs(run.panels[f"{panel}_images"], run.panels[f"{panel}_outputs"], None)


def worst_reconstructions(run: Run) -> Figure:
    """The test images with the highest reconstruction loss above their reconstructions, with their nats."""
    nats = [f"{value:.1f} nats" for value in run.panels["worst_nats"]]
    return pairs(run.panels["worst_images"], run.panels["worst_outputs"], nats)


def samples(run: Run, panel: str = "samples") -> Figure:
    """Decoder means for codes from the prior."""
    images = run.panels[panel]
    return sheet(in_rows(images, math.ceil(math.sqrt(len(images)))), Margins(left=0.1), width=900)[0]


def nearest(run: Run) -> Figure:
    """Samples above their nearest training images."""
    return pairs(run.panels["nearest_samples"], run.panels["nearest_images"], None, ("sample", "nearest"))


def channels(run: Run) -> Figure:
    """Test images and their reconstructions as composites, and below them each channel alone in grey."""
    images, outputs = run.panels["reconstruction_images"], run.panels["reconstruction_outputs"]
    columns = np.stack([images, outputs], 1)[:ALONE].reshape(-1, *images.shape[1:])  # each image before its output
    return channels_alone(columns, run.results.get("channel_names", ()), ["image", "decoded"] * (len(columns) // 2))


def traversals(run: Run) -> Figure:
    """One row per latent, by descending KL, varied over +-3 standard deviations of the prior."""
    nats = run.panels["kl_per_latent"]
    latents = run.panels["traversal_latents"].tolist()
    walks = run.panels["traversals"]
    figure, ax, x, y = sheet(walks, Margins(left=1.15, bottom=0.5))
    ax.set_yticks(y, [f"z{d}  {nats[d]:.2f} nats" for d in latents])
    for label, d in zip(ax.get_yticklabels(), latents, strict=True):
        label.set_color(FAINT if nats[d] < DEAD_BELOW else INK)
    steps = np.linspace(-3, 3, walks.shape[1]).round(6)
    ax.set_xticks(x, [signed(step, ".2g") for step in steps.tolist()])
    ax.set_xlabel("value of the latent, in standard deviations of the prior")
    return figure


def code_traversals(run: Run) -> Figure:
    """One row per group, by descending entropy of its code: an image with that code replaced by others."""
    counts, codes = run.panels["code_counts"], run.panels["traversal_codes"]
    walks, groups = run.panels["code_traversals"], run.panels["traversal_groups"]
    width = WIDTH * walks.shape[1] // STEPS
    figure, ax, x, y = sheet(walks, Margins(left=0.9, bottom=0.4), band=0.3, width=width)
    ax.set_yticks(y, [f"group {m}" for m in groups.tolist()])
    for row, m in enumerate(groups.tolist()):
        fraction = counts[m] / counts[m].sum()
        for column, code in enumerate(codes[row].tolist()):
            ax.text(x[column], y[row] - y[0], f"{code}: {fraction[code]:.0%}", ha="center", va="top", fontsize="small")
    ax.set_xlabel("code of the group, and the fraction of test images that have it")
    return figure


def growth(run: Run) -> Figure:
    """Decoder means during training: one row per code, one column per epoch."""
    images = run.panels["growth_samples"].swapaxes(0, 1)
    figure, ax, x, _ = sheet(images, Margins(left=0.3, right=0.3, bottom=0.45), width=1000)
    ax.set_xticks(x, [str(epoch) for epoch in run.panels["growth_epochs"].tolist()])
    ax.set_xlabel("epochs of training")
    return figure


def interpolations(run: Run) -> Figure:
    """Linear interpolations between the codes of two test images, one row per pair."""
    figure, ax, x, _ = sheet(run.panels["interpolations"], Margins(left=0.3, right=0.3, bottom=0.3))
    ax.set_xticks([x[0], x[-1]], ["first image", "second image"])
    return figure
