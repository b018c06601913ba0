"""METHODS: the classification methods that are compared; each is fitted to labelled images and returns a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.decomposition import PCA
from torch import Tensor, nn

from vaebench.classification.classifier import LinearProbe, NetworkKind
from vaebench.data.images import Images
from vaebench.evaluation.features import Codes, encode
from vaebench.evaluation.probes import LinearClassifier, Logistic
from vaebench.models.vae import VAE, Model
from vaebench.semi_supervised.graphs import Graph
from vaebench.semi_supervised.self_training import SelfTraining, SupervisedTraining
from vaebench.training.compute import Compute

PIXEL_SAMPLE = 20_000
"""Images that the PCA and the pixel scale are fitted to."""


@dataclass(frozen=True)
class MethodContext:
    """Everything that methods are fitted with except labels: the same for all folds."""

    images: Images
    """Images without labels."""
    classes: int
    model: Model
    vae: VAE
    """Trained on the images without labels."""
    semi_supervised: SelfTraining
    supervised: SupervisedTraining
    compute: Compute

    @cached_property
    def means(self) -> Float[np.ndarray, "N D"]:
        """Means of q(z|x)."""
        return encode(self.vae, self.images).mean.numpy()

    @cached_property
    def graph(self) -> Graph:
        """Neighbour graph of the means."""
        return Graph.from_codes(self.means)

    @cached_property
    def pixel_sample(self) -> Float[np.ndarray, "M P"]:
        """Flat pixels of evenly spaced images."""
        rows = torch.linspace(0, len(self.images) - 1, min(PIXEL_SAMPLE, len(self.images))).long()
        return self.flat_pixels(rows)

    @cached_property
    def pca(self) -> PCA:
        """PCA of the pixels with as many components as the VAE has latents, or as many as there can be."""
        return PCA(min(self.model.latent, *self.pixel_sample.shape), random_state=0).fit(self.pixel_sample)

    def flat_pixels(self, rows: Int[Tensor, " M"]) -> Float[np.ndarray, "M P"]:
        """Flat pixels of the images ``rows`` in [0, 1]."""
        return self.images.batch(rows).x.flatten(1).numpy()


class Method(NamedTuple):
    """A classification method."""

    title: str
    kind: NetworkKind
    fit: Callable[[MethodContext, Int[Tensor, " M"], Int[Tensor, " M"], int], nn.Module]
    """``fit(context, rows, labels, seed)`` returns a network from pixels (B, C, H, W) in [0, 1] to logits (B, Y)."""


def _fit_self_training(context: MethodContext, rows: Tensor, labels: Tensor, seed: int) -> nn.Module:
    graph = context.graph if len(context.images) > len(rows) else None
    return context.semi_supervised.fit(
        context.vae, context.images, graph, rows, labels, context.classes, seed, context.compute
    ).eval()


def _fit_supervised(context: MethodContext, rows: Tensor, labels: Tensor, seed: int) -> nn.Module:
    labelled = context.images.take(rows).with_labels(labels)
    return context.supervised.fit(context.model, labelled, context.classes, seed, context.compute).eval()


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
    features: Float[np.ndarray, "N D"],
    labelled: Float[np.ndarray, "M D"],
    labels: Int[Tensor, " M"],
    classes: int,
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
    "self-trained": Method("semi-supervised VAE", "network", _fit_self_training),
    "latent-line": Method("linear probe on the VAE's latents", "latent-line", _fit_latent_probe),
    "pca-line": Method("linear probe on PCA components", "pixel-line", _fit_pca_probe),
    "pixel-line": Method("linear probe on raw pixels", "pixel-line", _fit_pixel_probe),
    "supervised": Method("supervised network with augmentation", "network", _fit_supervised),
}
"""Methods by the name that files use."""
DEFAULT = "self-trained"
"""The method without cross-validation."""
