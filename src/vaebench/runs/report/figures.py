"""FIGURES: every figure of the report, in its order, with what to look for and when it applies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import matplotlib
from matplotlib.figure import Figure

from vaebench.plotting.style import STYLE
from vaebench.runs.report import curves, maps, pictures
from vaebench.runs.report.tables import accuracy_rows
from vaebench.runs.run import Run

Section = Literal["verdict", "explore", "training", "images", "latents", "errors"]


@dataclass(frozen=True)
class Panel:
    """One figure: its title, a caption that says what to look for, and when it applies to a run."""

    section: Section
    title: str
    caption: str
    draw: Callable[[Run], Figure]
    applies: Callable[[Run], bool] = lambda run: True

    def figure(self, run: Run) -> Figure:
        """The figure in the report's style, from what the run has stored."""
        with matplotlib.rc_context(STYLE):
            return self.draw(run)


def _latents_at_least(count: int) -> Callable[[Run], bool]:
    return lambda run: run.recipe.model.latent >= count


def _self_trained(run: Run) -> bool:
    return "taught_samples" in run.panels


FIGURES: dict[str, Panel] = {
    "learning-curve": Panel(
        "verdict",
        "Learning curve",
        "Test accuracy (%) over labels a class: means over the draws of labels, bars are 95 % intervals of the "
        "mean; “all” is one draw, so it has none. Look where the VAE's line leaves the others by more than the bars.",
        curves.learning_curve,
        lambda run: bool(accuracy_rows(run)),
    ),
    "map-images": Panel(
        "explore",
        "Map of test images (t-SNE)",
        "Test images where their latent means lie, a frame in the colour of their class; images that would cover "
        "others are left out. Look for what neighbours share besides their class: slant, thickness, background.",
        maps.image_map,
        lambda run: "map_images" in run.panels and run.recipe.model.latent >= 2,
    ),
    "losses": Panel(
        "training",
        "Losses by epoch",
        "The objective and its two parts, in nats per image. A validation curve that turns up while training "
        "falls is overfitting; a KL that falls to 0 is collapse. The weights of the best epoch were kept. The "
        "training line is taken while the weights still move, so it may lie above validation. The first epochs may "
        "lie above the frame.",
        curves.losses,
    ),
    "autoencoder-losses": Panel(
        "training",
        "The plain autoencoder's loss",
        "The rival without a prior: the same network and rule, in nats per image. It has no KL to pay, so it "
        "should reconstruct better than the VAE.",
        curves.autoencoder_losses,
        lambda run: (run.path / "autoencoder" / "history.json").exists(),
    ),
    "reconstructions": Panel(
        "images",
        "Reconstructions",
        "Test images above, the decoder's mean for their latent means below. What is missing below, the code "
        "does not keep.",
        pictures.reconstructions,
    ),
    "worst-reconstructions": Panel(
        "images",
        "Worst reconstructions",
        "The test images that cost most, with their nats: -log p(x|z) at one sample of z. Odd images are to be "
        "expected here; ordinary ones are a warning.",
        pictures.worst_reconstructions,
    ),
    "samples": Panel(
        "images",
        "Samples from the prior",
        "The decoder's mean for 64 codes drawn from the prior, none chosen. Blur is what the likelihood cannot "
        "say; shapes unlike any image of the data come from places that the prior covers and no image is coded to.",
        pictures.samples,
    ),
    "nearest-training-images": Panel(
        "images",
        "Samples and their nearest training images",
        "Above, the first samples; below each, the training image whose features are nearest by the network of the "
        "table above. If both are the same image again and again, the decoder has learned the training set by heart.",
        pictures.nearest,
        lambda run: "nearest_samples" in run.panels,
    ),
    "samples-while-training": Panel(
        "images",
        "Samples as training went on",
        "The same six codes from the prior after more and more epochs, by the weights of that moment. Look for when "
        "shapes appear and whether they still change at the end: if they do, longer training may pay.",
        pictures.growth,
        lambda run: "growth_samples" in run.panels,
    ),
    "self-trained-reconstructions": Panel(
        "images",
        "Reconstructions after self-training",
        "The same test images by the VAE that also names classes. The closer to the reconstructions above, the less "
        "the labels have cost the generative model.",
        pictures.taught_reconstructions,
        _self_trained,
    ),
    "self-trained-samples": Panel(
        "images",
        "Samples after self-training",
        "The self-trained VAE's mean images for the same 64 codes as above.",
        pictures.taught_samples,
        _self_trained,
    ),
    "traversals": Panel(
        "images",
        "Traversals",
        "One test image's code with a single latent moved over ±3 standard deviations of the prior; the latent "
        "with the highest KL comes first. A row that does not change (name in grey) is a dead latent.",
        pictures.traversals,
    ),
    "interpolations": Panel(
        "images",
        "Interpolations",
        "Straight walks between the codes of two test images. Every step should look like an image of the data.",
        pictures.interpolations,
    ),
    "kl-per-latent": Panel(
        "latents",
        "KL per latent",
        "What each latent says about an image, in nats, on the test part. Latents below the line have fallen "
        "to the prior and carry nothing.",
        maps.kl_bars,
    ),
    "map-tsne": Panel(
        "latents",
        "Map of the latents (t-SNE)",
        "Latent means of up to 2,000 test images. Look for classes that fall apart or run into one another; "
        "distances between clusters mean little. Colours were not known to the VAE.",
        maps.tsne_map,
        _latents_at_least(2),
    ),
    "map-2d": Panel(
        "latents",
        "The two latents with the highest KL",
        "Latent means on two axes of the code itself, in standard deviations of the prior. The cloud should "
        "fill about -2 to 2.",
        maps.plane_map,
        _latents_at_least(2),
    ),
    "map-3d": Panel(
        "latents",
        "The three latents with the highest KL",
        "The same means in three axes of the code, seen from two sides a quarter turn apart.",
        maps.space_map,
        _latents_at_least(3),
    ),
    "self-trained-confusion": Panel(
        "errors",
        "Confusion matrix of the self-trained VAE",
        "As below, by the network that the run keeps, taught by one draw of a few labels. A whole class in the "
        "wrong column is a confusion that self-training confirmed: one more label of each of the two would mend it.",
        maps.taught_confusion,
        _self_trained,
    ),
    "confusion": Panel(
        "errors",
        "Confusion matrix",
        "Test images by true class (rows) and predicted class (columns): counts, and the share of the row. "
        "Cells off the diagonal are mistakes: the darker, the more of that class. Small shares are drawn stronger "
        "than they are, so that they can be seen.",
        maps.confusion_matrix,
        lambda run: "confusion" in run.panels,
    ),
}


def figures(run: Run) -> dict[str, Figure]:
    """Every figure that applies to the run, by name."""
    return {name: panel.figure(run) for name, panel in FIGURES.items() if panel.applies(run)}
