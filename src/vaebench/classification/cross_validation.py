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

from vaebench.classification.encoder_methods import ENCODER_METHODS
from vaebench.classification.methods import (
    DEFAULT,
    METHODS,
    MIN_LABELS,
    TEMPERATURE,
    Method,
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
        """The fold that holds out each labelled image; -1 for those of classes with too few labels, which none does."""
        folds = np.full(len(self.rows), -1, dtype=np.int64)
        known = np.flatnonzero(np.isin(self.labels.numpy(), frequent_classes(self.labels)))
        splitter = StratifiedKFold(FOLDS, shuffle=True, random_state=self.seed)
        for fold, (_, test) in enumerate(splitter.split(known, self.labels.numpy()[known])):
            folds[known[test]] = fold
        return folds

    def probabilities(self, method: str, fold: int) -> Float[np.ndarray, "K Y"]:
        """Fit a method without the images of a fold, and return their class probabilities."""
        context, rows, labels, seed = self.context, self.rows, self.labels, self.seed
        held_out = torch.from_numpy(self.folds == fold)
        network = methods_with(context)[method].fit(context, rows[~held_out], labels[~held_out], seed)
        if method in ENCODER_METHODS and context.encoded is not None:
            with torch.no_grad():
                logits: Tensor = network(context.encoded.codes.mean[rows[held_out]])
            return logits.softmax(-1).numpy()
        return predict_with(network, seed, context.compute)(context.images.take(rows[held_out])).numpy()


def methods_with(context: MethodContext) -> dict[str, Method]:
    """Methods by name, those of an encoder only where there is one."""
    return METHODS if context.encoded is None else METHODS | ENCODER_METHODS


def frequent_classes(labels: Int[Tensor, " M"]) -> Int[np.ndarray, " Y"]:
    """Classes that have the ``MIN_LABELS`` labels that a cross-validation needs."""
    return torch.nonzero(torch.bincount(labels) >= MIN_LABELS)[:, 0].numpy()


def can_cross_validate(labels: Int[Tensor, " M"]) -> bool:
    """Whether two classes or more can be cross-validated."""
    return len(frequent_classes(labels)) >= 2


def cross_validate(
    context: MethodContext, rows: Int[Tensor, " M"], labels: Int[Tensor, " M"], step: FoldStep, seed: int = 0
) -> MethodSelection | None:
    """Fit and evaluate every method on every fold; None where fewer than two classes have ``MIN_LABELS`` labels.

    Images of classes with fewer labels are fitted to in every fold and evaluated in none.
    """
    if not can_cross_validate(labels):
        return None
    validation = CrossValidation(context, rows, labels, seed)
    positions = np.flatnonzero(validation.folds >= 0)
    probabilities = {}
    for name in methods_with(context):
        probabilities[name] = torch.zeros(len(rows), context.classes)
        for fold in range(FOLDS):
            held_out = torch.from_numpy(validation.folds == fold)

            def compute(name: str = name, fold: int = fold) -> np.ndarray:
                return validation.probabilities(name, fold)

            probabilities[name][held_out] = torch.from_numpy(step(name, fold, compute))
    labels, folds = labels[positions], validation.folds[positions]
    probabilities = {name: each[positions] for name, each in probabilities.items()}
    temperatures = {name: fit_temperature(each, labels) for name, each in probabilities.items()}
    return MethodSelection(labels, probabilities, folds, temperatures, positions)


def selected_method(selection: MethodSelection | None) -> tuple[str, float]:
    """Name and temperature of the selected method; the default ones without a cross-validation."""
    return (DEFAULT, TEMPERATURE) if selection is None else (selection.method, selection.temperatures[selection.method])
