"""METHODS: classification methods, each fitted to labelled images, and the result of comparing them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.decomposition import PCA
from torch import Tensor, nn

from vaebench.classification.classifier import LinearProbe, NetworkKind
from vaebench.classification.encoded_images import EncodedImages
from vaebench.core.statistics import wilson_interval
from vaebench.data.images import Images
from vaebench.deprecated import renamed_attribute
from vaebench.evaluation.calibration import (
    apply_temperature,
    brier_score,
    fit_temperature,
    log_loss,
    selection_corrected_accuracy,
)
from vaebench.evaluation.features import Codes, encode
from vaebench.evaluation.probes import LinearClassifier, Logistic
from vaebench.models.vae import VAE, Model
from vaebench.semi_supervised.graphs import Graph
from vaebench.semi_supervised.self_training import SelfTraining, SupervisedTraining
from vaebench.training.compute import Compute

MIN_LABELS = 5
"""Labels that every class needs for a cross-validation."""
TEMPERATURE = 3.0
"""Temperature of the default method without cross-validation, chosen on other data (LOG.md, 2026-11-22)."""
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
    encoded: EncodedImages | None = None
    """Features of the images under the user's encoder; None without one."""

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
    "self-trained": Method("semi-supervised VAE", "network", _fit_self_training),
    "latent-line": Method("linear probe on the VAE's latents", "latent-line", _fit_latent_probe),
    "pca-line": Method("linear probe on PCA components", "pixel-line", _fit_pca_probe),
    "pixel-line": Method("linear probe on raw pixels", "pixel-line", _fit_pixel_probe),
    "supervised": Method("supervised network with augmentation", "network", _fit_supervised),
}
"""Methods by the name that files use."""
DEFAULT = "self-trained"
"""The method without cross-validation."""


class ExpectedAccuracy(NamedTuple):
    """Expected accuracy with its 95 % interval."""

    accuracy: float
    low: float
    high: float


class AccuracyDifference(NamedTuple):
    """Mean paired difference of two accuracies with its 95 % interval."""

    mean: float
    low: float
    high: float


class LabelSuspect(NamedTuple):
    """A label that is probably wrong."""

    position: int
    """Index among the M labelled images."""
    predicted: int
    """The predicted class."""
    probability: float
    """Calibrated probability of the predicted class."""


@dataclass(frozen=True)
class MethodSelection:
    """Result of the cross-validation of all methods on M labelled images."""

    labels: Int[Tensor, " M"]
    probabilities: Mapping[str, Float[Tensor, "M Y"]]
    """Class probabilities of each method, from the fit that held the image out; not calibrated."""
    folds: Int[np.ndarray, " M"]
    temperatures: Mapping[str, float]
    """Temperature of each method, which divides its logits."""
    positions: Int[np.ndarray, " M"] | None = None
    """Index of each among all labelled images, where some are of classes with too few labels; None for all."""

    @property
    def correct(self) -> dict[str, np.ndarray]:
        """Whether each prediction is correct, (M,) for each method."""
        return {name: (each.argmax(1) == self.labels).numpy() for name, each in self.probabilities.items()}

    @property
    def accuracies(self) -> dict[str, float]:
        """Cross-validated accuracy of each method."""
        return {name: float(correct.mean()) for name, correct in self.correct.items()}

    @property
    def method(self) -> str:
        """Name of the method with the highest accuracy; ties are broken by the lowest log loss."""
        losses = {name: log_loss(self.calibrated_probabilities(name), self.labels) for name in self.probabilities}
        return max(self.probabilities, key=lambda name: (self.accuracies[name], -losses[name]))

    @property
    def expected_accuracy(self) -> ExpectedAccuracy:
        """Accuracy of the selected method, corrected for selecting the best of several on the same labels."""
        accuracy = selection_corrected_accuracy(np.stack(list(self.correct.values()), 1))
        return ExpectedAccuracy(accuracy, *wilson_interval(accuracy, len(self.labels)))

    def difference_to(self, other: str) -> AccuracyDifference:
        """Accuracy of the selected method minus that of ``other``: mean of paired differences, normal interval."""
        gap = self.correct[self.method].astype(float) - self.correct[other]
        half = 1.96 * float(gap.std(ddof=1)) / len(gap) ** 0.5
        return AccuracyDifference(float(gap.mean()), float(gap.mean()) - half, float(gap.mean()) + half)

    def calibrated_probabilities(self, name: str) -> Float[Tensor, "M Y"]:
        """Probabilities of a method, each fold calibrated by the temperature fitted to the other folds."""
        probabilities = self.probabilities[name]
        calibrated = probabilities.double().clone()
        for fold in np.unique(self.folds):
            held_out = torch.from_numpy(self.folds == fold)
            temperature = fit_temperature(probabilities[~held_out], self.labels[~held_out])
            calibrated[held_out] = apply_temperature(probabilities[held_out], temperature)
        return calibrated

    @property
    def scores(self) -> dict[str, float]:
        """Brier score and log loss (nats per image) of the selected method, and Brier score of class frequencies."""
        probabilities = self.calibrated_probabilities(self.method)
        counts = torch.bincount(self.labels, minlength=probabilities.shape[1]).double()
        frequencies = (counts / counts.sum()).expand(len(self.labels), -1)
        return {
            "brier_score": brier_score(probabilities, self.labels),
            "brier_score_of_class_frequencies": brier_score(frequencies, self.labels),
            "log_loss": log_loss(probabilities, self.labels),
        }

    def label_suspects(self) -> list[LabelSuspect]:
        """Labels that are probably wrong, the most probable errors first.

        The predicted class must be more probable than it is on average for the images with that label: Northcutt
        et al. 2021, "Confident learning", eq. 2.
        """
        probabilities = self.calibrated_probabilities(self.method)
        own = probabilities.gather(1, self.labels[:, None])[:, 0]
        classes = probabilities.shape[1]
        thresholds = torch.tensor([float(own[self.labels == label].mean()) for label in range(classes)])  # or NaN
        best, predicted = probabilities.max(1)
        suspected = (predicted != self.labels) & (best > thresholds[predicted].clamp(min=0.5))
        rows = torch.nonzero(suspected)[:, 0].tolist()
        positions = range(len(self.labels)) if self.positions is None else self.positions.tolist()
        suspects = [LabelSuspect(positions[row], int(predicted[row]), float(best[row])) for row in rows]
        return sorted(suspects, key=lambda suspect: -suspect.probability)

    expected = renamed_attribute("expected", "expected_accuracy")
    suspects = renamed_attribute("suspects", "label_suspects")
