"""Selection of a method by cross-validation on the labelled images, and the accuracy to expect from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.model_selection import StratifiedKFold
from torch import Tensor

from vaebench.classification.methods import DEFAULT, METHODS, MethodContext
from vaebench.core.statistics import wilson_interval
from vaebench.deprecated import renamed_attribute
from vaebench.evaluation.calibration import (
    apply_temperature,
    brier_score,
    fit_temperature,
    log_loss,
    selection_corrected_accuracy,
)
from vaebench.training.prediction import predict_with

FOLDS = 5
MIN_LABELS = 5
"""Labels that every class needs for a cross-validation."""
TEMPERATURE = 3.0
"""Temperature of the default method without cross-validation, chosen on other data (LOG.md, 2026-11-22)."""


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
        thresholds = torch.tensor([float(own[self.labels == label].mean()) for label in range(classes)])
        best, predicted = probabilities.max(1)
        suspected = (predicted != self.labels) & (best > thresholds[predicted].clamp(min=0.5))
        rows = torch.nonzero(suspected)[:, 0].tolist()
        suspects = [LabelSuspect(row, int(predicted[row]), float(best[row])) for row in rows]
        return sorted(suspects, key=lambda suspect: -suspect.probability)

    expected = renamed_attribute("expected", "expected_accuracy")
    suspects = renamed_attribute("suspects", "label_suspects")


FoldStep = Callable[[str, int, Callable[[], np.ndarray]], np.ndarray]
"""``step(method, fold, compute)`` returns the held-out probabilities, stored ones or those of ``compute()``."""


def cross_validate(
    context: MethodContext, rows: Int[Tensor, " M"], labels: Int[Tensor, " M"], step: FoldStep, seed: int = 0
) -> MethodSelection | None:
    """Fit and evaluate every method on every fold; None where a class has fewer than ``MIN_LABELS`` labels."""
    if int(torch.bincount(labels, minlength=context.classes).min()) < MIN_LABELS:
        return None
    folds = np.zeros(len(rows), dtype=np.int64)
    splitter = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    for fold, (_, test) in enumerate(splitter.split(rows.numpy(), labels.numpy())):
        folds[test] = fold
    probabilities = {}
    for name in METHODS:
        probabilities[name] = torch.zeros(len(rows), context.classes)
        for fold in range(FOLDS):
            held_out = torch.from_numpy(folds == fold)

            def compute(name: str = name, held_out: Tensor = held_out) -> np.ndarray:
                network = METHODS[name].fit(context, rows[~held_out], labels[~held_out], seed)
                return predict_with(network, seed, context.compute)(context.images.take(rows[held_out])).numpy()

            probabilities[name][held_out] = torch.from_numpy(step(name, fold, compute))
    temperatures = {name: fit_temperature(each, labels) for name, each in probabilities.items()}
    return MethodSelection(labels, probabilities, folds, temperatures)


def selected_method(selection: MethodSelection | None) -> tuple[str, float]:
    """Name and temperature of the selected method; the default ones without a cross-validation."""
    return (DEFAULT, TEMPERATURE) if selection is None else (selection.method, selection.temperatures[selection.method])
