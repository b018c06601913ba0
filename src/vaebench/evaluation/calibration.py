"""How far probabilities can be trusted: temperature, calibration error, Brier score, intervals of an accuracy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy import optimize
from torch import Tensor
from torch.nn import functional as F

from vaebench.core.statistics import wilson_interval

BINS = 15
COLDEST, HOTTEST = 0.05, 20.0
"""A temperature is sought between these."""


def apply_temperature(probabilities: Float[Tensor, "N Y"], temperature: float) -> Float[Tensor, "N Y"]:
    """Probabilities whose logits are divided by a temperature. Guo et al. 2017, section 4.2."""
    return (probabilities.double().clamp(min=1e-12).log() / temperature).softmax(1)


def log_loss(probabilities: Float[Tensor, "N Y"], labels: Int[Tensor, " N"]) -> float:
    """Mean -log of the true class's probability, in nats per image."""
    return 0.0 - float(probabilities.double().gather(1, labels[:, None]).clamp(min=1e-12).log().mean())


def calibration_error(probabilities: Float[Tensor, "N Y"], labels: Int[Tensor, " N"]) -> float:
    """Expected calibration error: |confidence - accuracy| in 15 even bins of confidence, weighted by their images.

    Guo et al. 2017, "On calibration of modern neural networks", eq. 3.
    """
    sure, guess = probabilities.double().max(1)
    hit = (guess == labels).double()
    place = (sure * BINS).ceil().clamp(1, BINS).long() - 1
    gap = torch.zeros(BINS, dtype=torch.float64).index_add_(0, place, sure - hit)
    return float(gap.abs().sum() / len(labels))


def fit_temperature(probabilities: Float[Tensor, "N Y"], labels: Int[Tensor, " N"]) -> float:
    """The temperature of the least log loss on N held-out labels. Guo et al. 2017, section 4.2.

    Each label counts as right by (N + 1) / (N + 2), the rest shared by the other classes: Platt 1999, "Probabilistic
    outputs for support vector machines", section 2.2. Labels that were all met would ask for certainty otherwise.
    """
    logits, classes = probabilities.double().clamp(min=1e-12).log(), probabilities.shape[1]
    truth, doubt = F.one_hot(labels, classes).double(), 1 / (len(labels) + 2)
    targets = truth * (1 - doubt) + (1 - truth) * doubt / max(classes - 1, 1)

    def loss(log_temperature: float) -> float:
        return float(F.cross_entropy(logits / float(np.exp(log_temperature)), targets))

    found = optimize.minimize_scalar(loss, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded")
    return float(np.exp(found.x))


def brier_score(probabilities: Float[Tensor, "N Y"], labels: Int[Tensor, " N"]) -> float:
    """Mean squared distance of the probabilities from the true class, summed over classes: 0 is best, 2 worst.

    Brier 1950, "Verification of forecasts expressed in terms of probability", eq. 2.
    """
    truth = F.one_hot(labels, probabilities.shape[1]).double()
    return float((probabilities.double() - truth).square().sum(1).mean())


def selection_corrected_accuracy(hits: Bool[np.ndarray, "N K"], draws: int = 2000, seed: int = 0) -> float:
    """The accuracy to expect of the best of K methods, having chosen it by these very answers.

    The best of several looks better than it is. In each bootstrap sample the best is chosen again, and scored on the
    images that the sample left out: Tsamardinos et al. 2018, "Bootstrapping the out-of-sample predictions for efficient
    and accurate cross-validation", algorithm 2.
    """
    generator, count = np.random.default_rng(seed), len(hits)
    found = []
    for _ in range(draws):
        rows = generator.integers(count, size=count)
        left = np.ones(count, dtype=bool)
        left[rows] = False
        if left.any():
            found.append(hits[left, hits[rows].mean(0).argmax()].mean())
    return float(np.mean(found)) if found else float(hits.mean(0).max())


class Reliability(NamedTuple):
    """Bins of confidence: how sure, how often right, how many images."""

    confidence: list[float]
    accuracy: list[float]
    low: list[float]
    high: list[float]
    """95 % interval of the accuracy."""
    images: list[int]


def reliability(probabilities: Float[Tensor, "N Y"], labels: Int[Tensor, " N"], bins: int = 10) -> Reliability:
    """Even bins of confidence from 0 to 1, those left out that hold no image."""
    sure, guess = probabilities.double().max(1)
    place = (sure * bins).ceil().clamp(1, bins).long() - 1
    hit = (guess == labels).double()
    parts = [place == index for index in place.unique()]
    rows = [(float(sure[part].mean()), float(hit[part].mean()), int(part.sum())) for part in parts]
    spans = [wilson_interval(right, count) for _, right, count in rows]
    return Reliability(
        [row[0] for row in rows],
        [row[1] for row in rows],
        [low for low, _ in spans],
        [high for _, high in spans],
        [row[2] for row in rows],
    )
