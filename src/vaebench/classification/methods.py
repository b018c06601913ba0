"""METHODS: classification methods, each fitted to labelled images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from vaebench.classification.classifier import LinearProbe, NetworkKind
from vaebench.classification.encoded_images import EncodedImages
from vaebench.classification.neighbours import NeighbourClassifier
from vaebench.classification.settings import Settings
from vaebench.data.images import Images
from vaebench.evaluation.features import Codes, encode_means
from vaebench.evaluation.probes import LinearClassifier, Logistic
from vaebench.models.vae import VAE
from vaebench.semi_supervised.graphs import NEIGHBOURS, Graph
from vaebench.semi_supervised.label_propagation import unit_scale
from vaebench.semi_supervised.self_training import FewLabels
from vaebench.training.compute import Compute

if TYPE_CHECKING:
    from sklearn.decomposition import PCA

TEMPERATURE = 3.0
"""Temperature of the default method without cross-validation, chosen on other data (LOG.md, 2026-11-22)."""
PIXEL_SAMPLE = 20_000
"""Images that the PCA and the pixel scale are fitted to."""
SCORE_SCALE = 10.0
"""Logits of neighbours' scores of unit scale; cross-validation fits a temperature to them."""
IMPOSSIBLE = -1e4
"""Score of a class without labels."""
STORED = 30_000
"""Codes that label propagation keeps for new images, the labelled ones among them."""
NEAREST = 5
"""Labelled images that vote in the nearest-neighbour classifier."""


@dataclass(frozen=True)
class MethodContext:
    """Everything that methods are fitted with except labels: the same for all folds."""

    images: Images
    """Images without labels."""
    classes: int
    vae: VAE
    """Trained on the images without labels."""
    means: Float[np.ndarray, "N D"]
    """Means of q(z|x)."""
    graph: Graph | None
    """Neighbour graph of the means; None where every image is labelled."""
    settings: Settings
    compute: Compute
    encoded: EncodedImages | None = None
    """Features of the images under the user's encoder; None without one."""

    @classmethod
    def from_vae(cls, images: Images, classes: int, vae: VAE, settings: Settings, compute: Compute) -> MethodContext:
        """Encode the images and build their graph."""
        means = encode_means(vae, images).numpy()
        return cls(images, classes, vae, means, Graph.from_codes(means), settings, compute)

    @cached_property
    def pixel_sample(self) -> Float[np.ndarray, "M P"]:
        """Flat pixels of evenly spaced images."""
        rows = torch.linspace(0, len(self.images) - 1, min(PIXEL_SAMPLE, len(self.images))).long()
        return self.flat_pixels(rows)

    @cached_property
    def pca(self) -> PCA:
        """PCA of the pixels with as many components as the VAE has latents, or as many as there can be."""
        from sklearn.decomposition import PCA  # takes a second, which predictions should not cost

        return PCA(min(self.settings.model.latent, *self.pixel_sample.shape), random_state=0).fit(self.pixel_sample)

    def flat_pixels(self, rows: Int[Tensor, " M"]) -> Float[np.ndarray, "M P"]:
        """Flat pixels of the images ``rows`` in [0, 1]."""
        return self.images.batch(rows).x.flatten(1).numpy()


class Method(NamedTuple):
    """A classification method."""

    title: str
    kind: NetworkKind
    fit: Callable[[MethodContext, Int[Tensor, " M"], Int[Tensor, " M"], int], nn.Module]
    """``fit(context, rows, labels, seed)`` returns a network from pixels (B, C, H, W) in [0, 1] to logits (B, Y)."""
    neighbours: int = NEIGHBOURS
    """Stored codes whose scores are averaged, for the kind "neighbours"."""

    @property
    def trains_network(self) -> bool:
        """Whether a fit trains a network, which takes far longer than fits of the others."""
        return self.kind == "network"


def _fit_self_training(context: MethodContext, rows: Tensor, labels: Tensor, seed: int) -> nn.Module:
    graph = context.graph if len(context.images) > len(rows) else None
    data = FewLabels(context.images, rows, labels, context.classes, graph)
    return context.settings.semi_supervised.fit(context.vae, data, seed, context.compute).eval()


def _fit_supervised(context: MethodContext, rows: Tensor, labels: Tensor, seed: int) -> nn.Module:
    labelled, settings = context.images.take(rows).with_labels(labels), context.settings
    return settings.supervised.fit(settings.model, labelled, context.classes, seed, context.compute).eval()


def _fit_propagation(context: MethodContext, rows: Tensor, labels: Tensor, seed: int) -> nn.Module:
    if context.graph is None or len(context.images) <= len(rows):
        return _fit_nearest_neighbours(context, rows, labels, seed)
    return propagate_labels(context, context.graph, rows, labels, context.vae.encoder)


def propagate_labels(
    context: MethodContext,
    graph: Graph,
    rows: Int[Tensor, " M"],
    labels: Int[Tensor, " M"],
    encoder: nn.Module | None,
) -> nn.Module:
    """Propagate the labels along a graph of all images; a new image has the mean score of its nearest neighbours in it.

    Args:
        context: gives the propagation and the number of classes.
        graph: graph of the codes.
        rows: rows of the labelled images.
        labels: their class indices.
        encoder: maps images to codes; None for the codes themselves.
    """
    propagation, classes = context.settings.semi_supervised.propagation, context.classes
    scores = propagation.propagate(graph, rows.numpy(), labels.numpy(), classes)
    scores = SCORE_SCALE * unit_scale(scores)
    scores[:, np.setdiff1d(np.arange(classes), labels.numpy())] = IMPOSSIBLE
    stored = np.union1d(np.random.default_rng(0).permutation(len(scores))[:STORED], rows.numpy())
    return NeighbourClassifier(encoder, torch.from_numpy(graph.codes[stored]), torch.from_numpy(scores[stored])).eval()


def _fit_nearest_neighbours(context: MethodContext, rows: Tensor, labels: Tensor, seed: int) -> nn.Module:
    codes, scores = torch.from_numpy(context.means)[rows], F.one_hot(labels, context.classes) * SCORE_SCALE
    return NeighbourClassifier(context.vae.encoder, codes, scores, NEAREST).eval()


def _fit_latent_probe(context: MethodContext, rows: Tensor, labels: Tensor, seed: int) -> nn.Module:
    coefficients = _fit_logistic(context.means, context.means[rows.numpy()], labels, context.classes)
    return _probe(coefficients, context.vae.encoder)


def _fit_pixel_probe(context: MethodContext, rows: Tensor, labels: Tensor, seed: int) -> nn.Module:
    return _probe(_fit_logistic(context.pixel_sample, context.flat_pixels(rows), labels, context.classes))


def _fit_pca_probe(context: MethodContext, rows: Tensor, labels: Tensor, seed: int) -> nn.Module:
    """A linear probe on the components, written as a linear probe on the pixels."""
    pca = context.pca
    codes = pca.transform(context.pixel_sample), pca.transform(context.flat_pixels(rows))
    probe = _fit_logistic(*codes, labels, context.classes)
    components, mean = (torch.from_numpy(array).float() for array in (pca.components_, pca.mean_))
    bias = probe.bias - probe.weight @ (components @ mean)
    return _probe(LinearClassifier(probe.weight @ components, bias))


def _fit_logistic(
    features: Float[np.ndarray, "N D"], labelled: Float[np.ndarray, "M D"], labels: Int[Tensor, " M"], classes: int
) -> LinearClassifier:
    """A logistic regression on ``labelled``, standardised by the mean and the overall scale of ``features``."""
    reference = Codes(torch.from_numpy(features).float(), torch.zeros(len(features), dtype=torch.long))
    codes = Codes(torch.from_numpy(labelled).float(), labels).standardised_by(reference)
    return Logistic().fit_linear(codes, classes).unstandardised(*reference.centre_and_scale())


def _probe(coefficients: LinearClassifier, encoder: nn.Module | None = None) -> nn.Module:
    classes, features = coefficients.weight.shape
    network = LinearProbe(features, classes, encoder)
    network.linear.load_state_dict({"weight": coefficients.weight, "bias": coefficients.bias})
    return network.eval()


METHODS: dict[str, Method] = {
    "propagation": Method("label propagation on the VAE's latents", "neighbours", _fit_propagation),
    "latent-line": Method("linear probe on the VAE's latents", "latent-line", _fit_latent_probe),
    "latent-knn": Method("nearest neighbours of the VAE's latents", "neighbours", _fit_nearest_neighbours, NEAREST),
    "pca-line": Method("linear probe on PCA components", "pixel-line", _fit_pca_probe),
    "pixel-line": Method("linear probe on raw pixels", "pixel-line", _fit_pixel_probe),
    "self-trained": Method("semi-supervised VAE", "network", _fit_self_training),
    "supervised": Method("supervised network with augmentation", "network", _fit_supervised),
}
"""Methods by the name that files use."""
DEFAULT = "self-trained"
"""The method without cross-validation."""
