"""METHODS: what may answer, from a VAE and a plain line alike; each learns labelled rows and becomes one network."""

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

from vaebench.classification.classifier import LatentLine, NetworkKind, PixelLine
from vaebench.data.images import Images
from vaebench.evaluation.features import Codes, encode
from vaebench.evaluation.probes import LinearClassifier, Logistic
from vaebench.models.vae import VAE, Model
from vaebench.semi_supervised.graphs import Graph
from vaebench.semi_supervised.self_training import SelfTraining, SupervisedTraining
from vaebench.training.compute import Compute

FITTED = 20_000
"""Images that a PCA or a scale of pixels is taken from."""


@dataclass(frozen=True)
class MethodContext:
    """All that methods may learn from, labels apart: the same for every fold and draw."""

    images: Images
    """Labels hidden."""
    classes: int
    model: Model
    vae: VAE
    """Trained without labels."""
    semi_supervised: SelfTraining
    supervised: SupervisedTraining
    compute: Compute

    @cached_property
    def means(self) -> Float[np.ndarray, "N D"]:
        """Of q(z|x)."""
        return encode(self.vae, self.images).mean.numpy()

    @cached_property
    def graph(self) -> Graph:
        """Of the means."""
        return Graph.from_codes(self.means)

    @cached_property
    def some(self) -> Float[np.ndarray, "M P"]:
        """Pixels of evenly spaced images, flat."""
        rows = torch.linspace(0, len(self.images) - 1, min(FITTED, len(self.images))).long()
        return self.flat(rows)

    @cached_property
    def pca(self) -> PCA:
        """Of pixels, as many components as the VAE has latents if there are so many."""
        return PCA(min(self.model.latent, *self.some.shape), random_state=0).fit(self.some)

    def flat(self, rows: Int[Tensor, " M"]) -> Float[np.ndarray, "M P"]:
        """Pixels of these rows in [0, 1], flat."""
        return self.images.batch(rows).x.flatten(1).numpy()


class Method(NamedTuple):
    """One way to answer."""

    words: str
    kind: NetworkKind
    fit: Callable[[MethodContext, Int[Tensor, " M"], Int[Tensor, " M"], int], nn.Module]
    """Learns labels of rows, by a seed: pixels (B, C, H, W) in [0, 1] to logits (B, Y)."""


def _self_trained(bench: MethodContext, rows: Tensor, labels: Tensor, seed: int) -> nn.Module:
    graph = bench.graph if len(bench.images) > len(rows) else None
    return bench.semi_supervised.fit(
        bench.vae, bench.images, graph, rows, labels, bench.classes, seed, bench.compute
    ).eval()


def _supervised(bench: MethodContext, rows: Tensor, labels: Tensor, seed: int) -> nn.Module:
    few = bench.images.take(rows).with_labels(labels)
    return bench.supervised.fit(bench.model, few, bench.classes, seed, bench.compute).eval()


def _latent_line(bench: MethodContext, rows: Tensor, labels: Tensor, seed: int) -> nn.Module:
    network = LatentLine(bench.vae, bench.classes)
    _set(network.line, _line(bench.means, bench.means[rows.numpy()], labels, bench.classes))
    return network.eval()


def _pixel_line(bench: MethodContext, rows: Tensor, labels: Tensor, seed: int) -> nn.Module:
    network = PixelLine(bench.some.shape[1], bench.classes)
    _set(network.line, _line(bench.some, bench.flat(rows), labels, bench.classes))
    return network.eval()


def _pca_line(bench: MethodContext, rows: Tensor, labels: Tensor, seed: int) -> nn.Module:
    """The line on components, written as a line on pixels."""
    pca = bench.pca
    line = _line(pca.transform(bench.some), pca.transform(bench.flat(rows)), labels, bench.classes)
    components, mean = (torch.from_numpy(part).float() for part in (pca.components_, pca.mean_))
    network = PixelLine(bench.some.shape[1], bench.classes)
    _set(network.line, LinearClassifier(line.weight @ components, line.bias - line.weight @ (components @ mean)))
    return network.eval()


def _line(
    every: Float[np.ndarray, "N D"], few: Float[np.ndarray, "M D"], labels: Int[Tensor, " M"], classes: int
) -> LinearClassifier:
    """A logistic regression on codes, which it reads centred and of one scale."""
    standard = Codes(torch.from_numpy(every).float(), torch.zeros(len(every), dtype=torch.long))
    codes = Codes(torch.from_numpy(few).float(), labels).standardised_by(standard)
    return Logistic().fit_linear(codes, classes).unstandardised(*standard.centre_and_scale())


def _set(layer: nn.Linear, line: LinearClassifier) -> None:
    layer.load_state_dict({"weight": line.weight, "bias": line.bias})


METHODS: dict[str, Method] = {
    "self-trained": Method("semi-supervised VAE", "network", _self_trained),
    "latent-line": Method("VAE, a line on its latents", "latent-line", _latent_line),
    "pca-line": Method("PCA, a line on its components", "pixel-line", _pca_line),
    "pixel-line": Method("a line on raw pixels", "pixel-line", _pixel_line),
    "supervised": Method("supervised network, augmented", "network", _supervised),
}
"""The first is used where labels are too few to choose by."""
DEFAULT = "self-trained"
