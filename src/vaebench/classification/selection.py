"""MethodSelection: the result of comparing methods by cross-validation, and the accuracy that it lets expect."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vaebench.core.statistics import wilson_interval
from vaebench.deprecated import renamed_attribute
from vaebench.evaluation.calibration import (
    apply_temperature,
    brier_score,
    fit_temperature,
    log_loss,
    selection_corrected_accuracy,
)

MIN_LABELS = 5
"""Labels that every class needs for a cross-validation."""
FOLDS = 3
"""Folds of the cross-validation."""
FITTED = 1 - 1 / FOLDS
"""Fraction of the labels that a fit of the cross-validation is fitted to."""
PRIOR_EXPONENT, PRIOR_DEVIATION = 0.25, 0.2
"""Mean and standard deviation of the exponent of a learning curve before any label is seen (LOG.md, 2026-11-30)."""


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


class StoppedMethod(NamedTuple):
    """A method that was fitted on the first folds only, beside the selected one on the same K labels."""

    correct: Bool[np.ndarray, " K"]
    selected_correct: Bool[np.ndarray, " K"]

    @property
    def has_a_chance(self) -> bool:
        """Whether it is behind by at most one standard error of the paired difference."""
        gap = self.selected_correct.astype(float) - self.correct
        return bool(gap.sum() <= math.sqrt(np.square(gap).sum()))

    @property
    def is_ahead(self) -> bool:
        """Whether it is right about more of the labels."""
        return bool(self.correct.sum() > self.selected_correct.sum())


class LearningSlope(NamedTuple):
    """Cross-validated error rates of one method, by which those of others are extrapolated to more labels."""

    method: str
    error: float
    """Fitted to ``FITTED`` of the labels."""
    half_error: float
    """Fitted to half as many."""
    variance: float
    """Squared standard error of log2(half_error / error)."""

    @classmethod
    def of(cls, method: str, correct: Bool[np.ndarray, " M"], half: Bool[np.ndarray, " M"]) -> LearningSlope:
        """The slope by whether each held-out label is predicted correctly, fitted to ``FITTED`` and to half as many.

        The variance is that of the paired difference of the error rates by the delta method, with one more image of
        which one of the two is right.
        """
        count = len(correct)
        errors = 1 - np.array([correct.mean(), half.mean()])
        scale = math.log(2) * max(float(errors.mean()), 0.5 / count)
        differing = float((correct.astype(float) - half).var()) + 1 / count
        return cls(method, float(errors[0]), float(errors[1]), differing / count / scale**2)

    @property
    def exponent(self) -> float:
        """b of the power law error ~ labels^-b: the mean given the error rates and a normal prior, 0 to 1."""
        if not self.error or not self.half_error:
            return PRIOR_EXPONENT
        observed, prior = math.log2(self.half_error / self.error), PRIOR_DEVIATION**2
        mean = (observed * prior + PRIOR_EXPONENT * self.variance) / (prior + self.variance)
        return min(max(mean, 0.0), 1.0)

    @property
    def error_ratio(self) -> float:
        """Error rate when fitted to all labels, divided by the cross-validated one."""
        return float(FITTED**self.exponent)

    @property
    def lowest_error_ratio(self) -> float:
        """The same for an exponent that is higher by one standard deviation of the prior."""
        return float(FITTED ** (self.exponent + PRIOR_DEVIATION))


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
    stopped: Mapping[str, StoppedMethod] = field(default_factory=dict)
    """Methods that were behind on the first folds."""
    slope: LearningSlope | None = None
    """Slope of the learning curve; None for no extrapolation."""

    @property
    def correct(self) -> dict[str, np.ndarray]:
        """Whether each prediction is correct, (M,) for each method."""
        return {name: (each.argmax(1) == self.labels).numpy() for name, each in self.probabilities.items()}

    @property
    def accuracies(self) -> dict[str, float]:
        """Cross-validated accuracy of each method."""
        return {name: float(correct.mean()) for name, correct in self.correct.items()}

    @property
    def recalls(self) -> dict[int, float]:
        """Cross-validated recall of the selected method for each class that has held-out labels."""
        correct, labels = self.correct[self.method], self.labels.numpy()
        return {int(label): float(correct[labels == label].mean()) for label in np.unique(labels)}

    @property
    def balanced_accuracy(self) -> float:
        """Mean of the recalls, which does not depend on how many labels each class has."""
        return float(np.mean(list(self.recalls.values())))

    @property
    def method(self) -> str:
        """Name of the method with the highest accuracy; ties are broken by the lowest log loss."""
        losses = {name: log_loss(self.calibrated_probabilities(name), self.labels) for name in self.probabilities}
        return max(self.probabilities, key=lambda name: (self.accuracies[name], -losses[name]))

    @property
    def expected_accuracy(self) -> ExpectedAccuracy:
        """Accuracy of the selected method when fitted to all labels, with its 95 % interval.

        The cross-validated accuracy is corrected for selecting the best of several methods on the same labels, then
        extrapolated from ``FITTED`` of the labels to all by the slope of the learning curve. As the slope is uncertain,
        the lower end of Wilson's interval is not extrapolated, and the upper end by ``lowest_error_ratio``.
        """
        accuracy = selection_corrected_accuracy(np.stack(list(self.correct.values()), 1))
        low, high = wilson_interval(accuracy, len(self.labels))
        ratio, lowest = (1.0, 1.0) if self.slope is None else (self.slope.error_ratio, self.slope.lowest_error_ratio)
        return ExpectedAccuracy(1 - (1 - accuracy) * ratio, low, 1 - (1 - high) * lowest)

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
