"""Calibration of class probabilities: temperature scaling, calibration error, Brier score, reliability curves."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from vaebench.core.statistics import wilson_interval

BINS = 15
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
"""Bounds of the search for a temperature."""


def apply_temperature(probabilities: Float[Tensor, "N Y"], temperature: float) -> Float[Tensor, "N Y"]:
    """Probabilities whose logits are divided by a temperature. Guo et al. 2017, section 4.2."""
    return (probabilities.double().clamp(min=1e-12).log() / temperature).softmax(1)


def log_loss(probabilities: Float[Tensor, "N Y"], labels: Int[Tensor, " N"]) -> float:
    """Mean -log of the true class's probability, in nats per image."""
    return 0.0 - float(probabilities.double().gather(1, labels[:, None]).clamp(min=1e-12).log().mean())


def calibration_error(probabilities: Float[Tensor, "N Y"], labels: Int[Tensor, " N"]) -> float:
    """Expected calibration error: |confidence - accuracy| in 15 equal bins of confidence, weighted by their images.

    Guo et al. 2017, "On calibration of modern neural networks", eq. 3.
    """
    confidence, correct, bin_index = _binned_confidence(probabilities, labels, BINS)
    gap = torch.zeros(BINS, dtype=torch.float64).index_add_(0, bin_index, confidence - correct)
    return float(gap.abs().sum() / len(labels))


def _binned_confidence(
    probabilities: Float[Tensor, "N Y"], labels: Int[Tensor, " N"], bins: int
) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"], Int[Tensor, " N"]]:
    """Confidence, whether the prediction is correct (0 or 1), and the bin of the confidence, for each image."""
    confidence, predicted = probabilities.double().max(1)
    return confidence, (predicted == labels).double(), (confidence * bins).ceil().clamp(1, bins).long() - 1


def fit_temperature(probabilities: Float[Tensor, "N Y"], labels: Int[Tensor, " N"]) -> float:
    """Temperature with the lowest log loss on N held-out labels. Guo et al. 2017, section 4.2.

    The target of each label is (N + 1) / (N + 2), with the rest divided among the other classes: Platt 1999,
    "Probabilistic outputs for support vector machines", section 2.2. With targets of 1, predictions that are all
    correct would drive the temperature to 0.
    """
    logits, classes = probabilities.double().clamp(min=1e-12).log(), probabilities.shape[1]
    truth, doubt = F.one_hot(labels, classes).double(), 1 / (len(labels) + 2)
    targets = truth * (1 - doubt) + (1 - truth) * doubt / max(classes - 1, 1)

    def loss(log_temperature: float) -> float:
        return float(F.cross_entropy(logits / float(np.exp(log_temperature)), targets))

    limits = np.log(MIN_TEMPERATURE), np.log(MAX_TEMPERATURE)
    from scipy import optimize

    return float(np.exp(optimize.minimize_scalar(loss, bounds=limits, method="bounded").x))


def brier_score(probabilities: Float[Tensor, "N Y"], labels: Int[Tensor, " N"]) -> float:
    """Mean squared difference of probabilities and one-hot labels, summed over classes: from 0 (best) to 2.

    Brier 1950, "Verification of forecasts expressed in terms of probability", eq. 2.
    """
    truth = F.one_hot(labels, probabilities.shape[1]).double()
    return float((probabilities.double() - truth).square().sum(1).mean())


def selection_corrected_accuracy(hits: Bool[np.ndarray, "N K"], draws: int = 2000, seed: int = 0) -> float:
    """Expected accuracy of the best of K methods, corrected for choosing it by the same N predictions.

    The accuracy of the best of several is biased upwards. Each bootstrap sample chooses the best anew and scores it on
    the images that it left out: Tsamardinos et al. 2018, "Bootstrapping the out-of-sample predictions for efficient
    and accurate cross-validation", algorithm 2.
    """
    generator, count = np.random.default_rng(seed), len(hits)
    accuracies = []
    for _ in range(draws):
        rows = generator.integers(count, size=count)
        left = np.ones(count, dtype=bool)
        left[rows] = False
        if left.any():
            accuracies.append(hits[left, hits[rows].mean(0).argmax()].mean())
    return float(np.mean(accuracies)) if accuracies else float(hits.mean(0).max())


class Reliability(NamedTuple):
    """Mean confidence, accuracy with its 95 % interval, and number of images of each bin of confidence."""

    confidence: list[float]
    accuracy: list[float]
    low: list[float]
    high: list[float]
    images: list[int]


def reliability(probabilities: Float[Tensor, "N Y"], labels: Int[Tensor, " N"], bins: int = 10) -> Reliability:
    """Reliability curve over equal bins of confidence from 0 to 1, without empty bins."""
    confidence, correct, bin_index = _binned_confidence(probabilities, labels, bins)
    rows = []
    for index in bin_index.unique():
        members = bin_index == index
        accuracy, count = float(correct[members].mean()), int(members.sum())
        rows.append((float(confidence[members].mean()), accuracy, *wilson_interval(accuracy, count), count))
    return Reliability(*map(list, zip(*rows, strict=True)))
