"""`FIGURES`: the figures of the report in their order, with titles, captions and the runs they apply to."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

import matplotlib
from matplotlib.figure import Figure

from vaebench.plotting.channels import is_composite
from vaebench.plotting.style import STYLE, png
from vaebench.runs.report import curves, maps, pictures
from vaebench.runs.report.tables import accuracy_rows
from vaebench.runs.run import Run

Section = Literal["verdict", "explore", "training", "images", "latents", "errors"]


class EmbeddedFigure(NamedTuple):
    """A figure as embedded in a page; ``width`` is in CSS pixels."""

    name: str
    title: str
    caption: str
    png: bytes
    width: int

    @property
    def base64(self) -> str:
        """The PNG as base64."""
        return base64.b64encode(self.png).decode()


def embed(figure: Figure, name: str, title: str, caption: str = "") -> EmbeddedFigure:
    """Render the figure for embedding in a page."""
    return EmbeddedFigure(name, title, caption, png(figure), round(figure.get_figwidth() * 100))


@dataclass(frozen=True)
class Panel:
    """One figure of the report: its section, title and caption, how it is drawn, and which runs it applies to."""

    section: Section
    title: str
    caption: str
    draw: Callable[[Run], Figure]
    applies: Callable[[Run], bool] = lambda run: True

    def figure(self, run: Run) -> Figure:
        """Draw the figure in the report's style."""
        with matplotlib.rc_context(STYLE):
            return self.draw(run)


def _min_latents(count: int) -> Callable[[Run], bool]:
    return lambda run: run.recipe.model.latent >= count


def _has_codes(run: Run) -> bool:
    return "code_counts" in run.panels


def _has_axes(count: int) -> Callable[[Run], bool]:
    """Whether the run has this many latents with continuous values."""
    return lambda run: run.recipe.model.latent >= count and not _has_codes(run)


def _has_classifier(run: Run) -> bool:
    return "taught_samples" in run.panels


def _has_composites(run: Run) -> bool:
    return is_composite(run.results["image_shape"][0], run.results.get("channel_names", ()))


FIGURES: dict[str, Panel] = {
    "learning-curve": Panel(
        "verdict",
        "Learning curve",
        "Test accuracy (%) against labels per class: means over the label draws, with 95 % intervals of the mean as "
        "bars; “all” is one draw and has no interval. Differences larger than the bars are clear.",
        curves.learning_curve,
        lambda run: bool(accuracy_rows(run)),
    ),
    "map-images": Panel(
        "explore",
        "Map of test images (t-SNE)",
        "Test images at the t-SNE coordinates of their latent means, framed in the colour of their class; images that "
        "would overlap are omitted. Neighbours may share more than their class: slant, thickness or background.",
        maps.image_map,
        lambda run: "map_images" in run.panels and run.recipe.model.latent >= 2,
    ),
    "losses": Panel(
        "training",
        "Losses by epoch",
        "The objective and its two components, in nats per image. A validation loss that rises while the training loss "
        "falls indicates overfitting; a KL near 0 indicates posterior collapse. The weights of the best epoch were "
        "kept. Training losses are averaged while the weights change, so they can exceed the validation losses. The "
        "first epochs may lie above the axes.",
        curves.losses,
    ),
    "pretraining-losses": Panel(
        "training",
        "Losses of the pretraining",
        "The VAE that the model starts from, trained with the recipe's objective, in nats per image. Its KL is that to "
        "its own prior.",
        partial(curves.losses, part="pretrained"),
        lambda run: (run.path / "pretrained" / "history.json").exists(),
    ),
    "autoencoder-losses": Panel(
        "training",
        "Loss of the plain autoencoder",
        "The baseline without a prior: the same network and training settings, in nats per image. Without the KL term "
        "it should reconstruct better than the VAE.",
        partial(curves.losses, part="autoencoder"),
        lambda run: (run.path / "autoencoder" / "history.json").exists(),
    ),
    "reconstructions": Panel(
        "images",
        "Reconstructions",
        "Test images (top) and the decoder means for their latent means (bottom). Details missing in the bottom rows "
        "are not encoded.",
        pictures.reconstructions,
    ),
    "channels": Panel(
        "images",
        "Channels alone",
        "Some of the test images and their reconstructions, first as the composite that all other pictures of this "
        "report show, then each channel alone in grey.",
        pictures.channels,
        _has_composites,
    ),
    "worst-reconstructions": Panel(
        "images",
        "Worst reconstructions",
        "The test images with the highest reconstruction loss -log p(x|z) at one sample of z, in nats. Unusual images "
        "are expected here; ordinary ones indicate a problem.",
        pictures.worst_reconstructions,
    ),
    "samples": Panel(
        "images",
        "Samples from the prior",
        "Decoder means for 64 codes drawn from the prior, not selected. Blur reflects the limits of the pixel "
        "likelihood; implausible shapes come from regions of the prior that no image is encoded to.",
        pictures.samples,
    ),
    "nearest-training-images": Panel(
        "images",
        "Samples and their nearest training images",
        "The first samples (top), each above the training image with the nearest features of the evaluation classifier "
        "(bottom). Many identical pairs indicate that the decoder has memorised the training set.",
        pictures.nearest,
        lambda run: "nearest_samples" in run.panels,
    ),
    "samples-while-training": Panel(
        "images",
        "Samples during training",
        "Decoder means for the same six codes from the prior after an increasing number of epochs. If they still "
        "change at the end, longer training may help.",
        pictures.growth,
        lambda run: "growth_samples" in run.panels,
    ),
    "self-trained-reconstructions": Panel(
        "images",
        "Reconstructions after self-training",
        "The same test images reconstructed by the self-trained VAE. The closer to the reconstructions above, the less "
        "self-training has degraded the generative model.",
        partial(pictures.reconstructions, panel="taught"),
        _has_classifier,
    ),
    "self-trained-samples": Panel(
        "images",
        "Samples after self-training",
        "Decoder means of the self-trained VAE for the same 64 codes as above.",
        partial(pictures.samples, panel="taught_samples"),
        _has_classifier,
    ),
    "traversals": Panel(
        "images",
        "Traversals",
        "The code of one test image with a single latent varied over ±3 standard deviations of the prior, by "
        "descending KL. Dead latents (names in grey) do not change the image.",
        pictures.traversals,
        _has_axes(1),
    ),
    "code-traversals": Panel(
        "images",
        "Traversals",
        "One test image with a single code replaced by the most used codes of its group, by descending entropy of the "
        "group's code. A row without changes is a group that the decoder ignores.",
        pictures.code_traversals,
        _has_codes,
    ),
    "interpolations": Panel(
        "images",
        "Interpolations",
        "Linear interpolations between the codes of two test images. Every step should look like an image of the data.",
        pictures.interpolations,
    ),
    "kl-per-latent": Panel(
        "latents",
        "KL per latent",
        "Mean KL of each latent on the test images, in nats. Latents below the dashed line have collapsed to the prior "
        "and carry no information.",
        maps.kl_bars,
        _has_axes(1),
    ),
    "code-use": Panel(
        "latents",
        "Use of the codes",
        "Perplexity exp(entropy) of the code of each group on the test images: the number of codes that, used equally, "
        "would have the same entropy. The lines mark the number of codes; a bar near 1 is a group without information.",
        maps.code_bars,
        _has_codes,
    ),
    "map-tsne": Panel(
        "latents",
        "Map of latent means (t-SNE)",
        "Latent means of up to 2,000 test images, coloured by class; the VAE was trained without labels. Shows classes "
        "that split into several clusters or overlap; distances between clusters are not meaningful.",
        maps.tsne_map,
        _min_latents(2),
    ),
    "map-2d": Panel(
        "latents",
        "The two latents with the highest KL",
        "Latent means on two axes of the code, in standard deviations of the prior. They should fill about -2 to 2.",
        maps.plane_map,
        _has_axes(2),
    ),
    "map-3d": Panel(
        "latents",
        "The three latents with the highest KL",
        "Latent means on three axes of the code, from two viewpoints 90° apart.",
        maps.space_map,
        _has_axes(3),
    ),
    "self-trained-confusion": Panel(
        "errors",
        "Confusion matrix of the self-trained VAE",
        "As below, for the self-trained network that the run keeps, trained on one draw of labels. A whole class in "
        "the wrong column is an early error that self-training reinforced; an additional label of each of the two "
        "classes usually corrects it.",
        partial(maps.confusion_matrix, panel="taught_confusion", title="self-trained VAE, one draw of labels"),
        _has_classifier,
    ),
    "confusion": Panel(
        "errors",
        "Confusion matrix",
        "Test images by true class (rows) and predicted class (columns): counts, coloured by the fraction of the row. "
        "Off-diagonal cells are errors. The colour scale exaggerates small fractions to make them visible.",
        maps.confusion_matrix,
        lambda run: "confusion" in run.panels,
    ),
}


def figures(run: Run) -> dict[str, Figure]:
    """Draw every figure that applies to the run, by name."""
    return {name: panel.figure(run) for name, panel in FIGURES.items() if panel.applies(run)}
