"""Comparison of the errors of several classifiers: shared and unique errors, differences of confusion matrices."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

Labels = Int[np.ndarray, " N"]


def wrong(predicted: Labels, labels: Labels) -> Bool[np.ndarray, " N"]:
    """Whether each image is misclassified."""
    return np.asarray(predicted != labels)


def agreement(first: Labels, second: Labels) -> float:
    """Fraction of images to which two classifiers give the same class."""
    return float(np.mean(first == second))


def shared_errors(first: Labels, second: Labels, labels: Labels) -> float:
    """Jaccard index of the errors of two classifiers; 1 where neither makes an error."""
    either = wrong(first, labels) | wrong(second, labels)
    both = wrong(first, labels) & wrong(second, labels)
    return float(both.sum() / either.sum()) if either.any() else 1.0


def expected_shared(first: Labels, second: Labels, labels: Labels) -> float:
    """Expected :func:`shared_errors` of two classifiers with the same error rates and independent errors."""
    a, b = wrong(first, labels).mean(), wrong(second, labels).mean()
    either = a + b - a * b
    return float(a * b / either) if either else 1.0


def unique_errors(predictions: dict[str, Labels], labels: Labels) -> dict[str, int]:
    """Number of images that only one classifier gets wrong, for each classifier."""
    errors = {name: wrong(predicted, labels) for name, predicted in predictions.items()}
    count = np.sum(list(errors.values()), axis=0)
    return {name: int((missed & (count == 1)).sum()) for name, missed in errors.items()}


def confusion_distance(first: Int[np.ndarray, "Y Y"], second: Int[np.ndarray, "Y Y"]) -> float:
    """Total variation distance, in [0, 1], between two classifiers' distributions of errors over pairs (true class,
    predicted class); 0 where one of them makes no error."""
    a, b = _error_distribution(first), _error_distribution(second)
    return float(np.abs(a - b).sum() / 2) if a.sum() and b.sum() else 0.0


def _error_distribution(counts: Int[np.ndarray, "Y Y"]) -> Float[np.ndarray, "Y Y"]:
    errors = counts * (1.0 - np.eye(len(counts)))
    return np.asarray(errors / max(errors.sum(), 1.0))
