"""Cross-validation of the methods: which images each fit holds out, the fits, and the selection from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.model_selection import StratifiedKFold
from torch import Tensor

from vaebench.classification.methods import (
    DEFAULT,
    METHODS,
    MIN_LABELS,
    TEMPERATURE,
    MethodContext,
    MethodSelection,
)
from vaebench.evaluation.calibration import fit_temperature
from vaebench.training.prediction import predict_with

FOLDS = 5
FoldStep = Callable[[str, int, Callable[[], np.ndarray]], np.ndarray]
"""``step(method, fold, compute)`` returns the held-out probabilities, stored ones or those of ``compute()``."""


@dataclass(frozen=True)
class CrossValidation:
    """The fits of a cross-validation, each independent of the others."""

    context: MethodContext
    rows: Int[Tensor, " M"]
    """Rows of the labelled images."""
    labels: Int[Tensor, " M"]
    seed: int = 0

    @cached_property
    def folds(self) -> Int[np.ndarray, " M"]:
        """The fold that holds out each labelled image."""
        folds = np.zeros(len(self.rows), dtype=np.int64)
        splitter = StratifiedKFold(FOLDS, shuffle=True, random_state=self.seed)
        for fold, (_, test) in enumerate(splitter.split(self.rows.numpy(), self.labels.numpy())):
            folds[test] = fold
        return folds

    def probabilities(self, method: str, fold: int) -> Float[np.ndarray, "K Y"]:
        """Fit a method without the images of a fold, and return their class probabilities."""
        context, rows, labels, seed = self.context, self.rows, self.labels, self.seed
        held_out = torch.from_numpy(self.folds == fold)
        network = METHODS[method].fit(context, rows[~held_out], labels[~held_out], seed)
        return predict_with(network, seed, context.compute)(context.images.take(rows[held_out])).numpy()


def can_cross_validate(labels: Int[Tensor, " M"], classes: int) -> bool:
    """Whether every class has the ``MIN_LABELS`` labels that a cross-validation needs."""
    return int(torch.bincount(labels, minlength=classes).min()) >= MIN_LABELS


def cross_validate(
    context: MethodContext, rows: Int[Tensor, " M"], labels: Int[Tensor, " M"], step: FoldStep, seed: int = 0
) -> MethodSelection | None:
    """Fit and evaluate every method on every fold; None where a class has fewer than ``MIN_LABELS`` labels."""
    if not can_cross_validate(labels, context.classes):
        return None
    validation = CrossValidation(context, rows, labels, seed)
    probabilities = {}
    for name in METHODS:
        probabilities[name] = torch.zeros(len(rows), context.classes)
        for fold in range(FOLDS):
            held_out = torch.from_numpy(validation.folds == fold)

            def compute(name: str = name, fold: int = fold) -> np.ndarray:
                return validation.probabilities(name, fold)

            probabilities[name][held_out] = torch.from_numpy(step(name, fold, compute))
    temperatures = {name: fit_temperature(each, labels) for name, each in probabilities.items()}
    return MethodSelection(labels, probabilities, validation.folds, temperatures)


def selected_method(selection: MethodSelection | None) -> tuple[str, float]:
    """Name and temperature of the selected method; the default ones without a cross-validation."""
    return (DEFAULT, TEMPERATURE) if selection is None else (selection.method, selection.temperatures[selection.method])
