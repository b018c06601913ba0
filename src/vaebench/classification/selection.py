"""The choice among METHODS by cross-validation on the given labels, and what accuracy to expect."""

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
from vaebench.evaluation.calibration import (
    apply_temperature,
    brier_score,
    fit_temperature,
    log_loss,
    selection_corrected_accuracy,
)
from vaebench.training.prediction import predict_with

FOLDS = 5
LEAST = 5
"""Labels of the smallest class for which there is a cross-validation."""
TEMPERATURE = 3.0
"""Of the default method where labels are too few to choose one: what suits other data (LOG.md, 2026-11-22)."""


class Expected(NamedTuple):
    """The accuracy to expect, with its 95 % interval."""

    accuracy: float
    low: float
    high: float


class Ahead(NamedTuple):
    """How far the chosen method is ahead of another, with its 95 % interval, both on the same labels."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class MethodSelection:
    """What cross-validation on M given labels found."""

    labels: Int[Tensor, " M"]
    answers: Mapping[str, Float[Tensor, "M Y"]]
    """Each method's probabilities of each labelled image, from a fit that was not given its label; not tempered."""
    folds: Int[np.ndarray, " M"]
    temperatures: Mapping[str, float]
    """By which each method's logits are divided."""

    @property
    def hits(self) -> dict[str, np.ndarray]:
        """Which answers of each method are right."""
        return {name: (found.argmax(1) == self.labels).numpy() for name, found in self.answers.items()}

    @property
    def accuracies(self) -> dict[str, float]:
        """Of each method."""
        return {name: float(hits.mean()) for name, hits in self.hits.items()}

    @property
    def method(self) -> str:
        """The one with the best accuracy; of equals the one with the least log loss."""
        losses = {name: log_loss(self.calibrated(name), self.labels) for name in self.answers}
        return max(self.answers, key=lambda name: (self.accuracies[name], -losses[name]))

    @property
    def expected(self) -> Expected:
        """Corrected for having chosen the best of several by the same labels."""
        share = selection_corrected_accuracy(np.stack(list(self.hits.values()), 1))
        return Expected(share, *wilson_interval(share, len(self.labels)))

    def ahead(self, other: str) -> Ahead:
        """How far the chosen method is ahead of this one: mean of paired differences, normal interval."""
        gap = self.hits[self.method].astype(float) - self.hits[other]
        half = 1.96 * float(gap.std(ddof=1)) / len(gap) ** 0.5
        return Ahead(float(gap.mean()), float(gap.mean()) - half, float(gap.mean()) + half)

    def calibrated(self, name: str) -> Float[Tensor, "M Y"]:
        """Each answer at the temperature that the other folds choose."""
        found = self.answers[name].double().clone()
        for fold in np.unique(self.folds):
            own = torch.from_numpy(self.folds == fold)
            temperature = fit_temperature(self.answers[name][~own], self.labels[~own])
            found[own] = apply_temperature(self.answers[name][own], temperature)
        return found

    @property
    def scores(self) -> dict[str, float]:
        """Brier score and log loss (nats per image) of the chosen method, and of the forecast by class frequencies."""
        shares = torch.bincount(self.labels, minlength=self.answers[self.method].shape[1]).double()
        frequencies = (shares / shares.sum()).expand(len(self.labels), -1)
        return {
            "brier": brier_score(self.calibrated(self.method), self.labels),
            "brier_by_frequencies": brier_score(frequencies, self.labels),
            "log_loss": log_loss(self.calibrated(self.method), self.labels),
        }

    def suspects(self) -> list[tuple[int, int, float]]:
        """Labels that are likely wrong: place among the labelled images, the class it seems to be, its probability.

        The other class must be more probable than it is, on the average, for the images that bear its name: Northcutt
        et al. 2021, "Confident learning", eq. 2.
        """
        shares = self.calibrated(self.method)
        own = shares.gather(1, self.labels[:, None])[:, 0]
        classes = shares.shape[1]
        usual = torch.tensor([float(own[self.labels == label].mean()) for label in range(classes)])
        best, guess = shares.max(1)
        doubtful = (guess != self.labels) & (best > usual[guess].clamp(min=0.5))
        found = [(int(place), int(guess[place]), float(best[place])) for place in torch.nonzero(doubtful)[:, 0]]
        return sorted(found, key=lambda one: -one[2])


Fitted = Callable[[str, int, Callable[[], np.ndarray]], np.ndarray]
"""Gives the answers of a method on a fold: those that are kept, or those that are made now."""


def cross_validate(
    bench: MethodContext, rows: Int[Tensor, " M"], labels: Int[Tensor, " M"], keep: Fitted, seed: int = 0
) -> MethodSelection | None:
    """Every method on every fold; none where a class has fewer than five labels."""
    if int(torch.bincount(labels, minlength=bench.classes).min()) < LEAST:
        return None
    folds = np.zeros(len(rows), dtype=np.int64)
    splitter = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    for fold, (_, held) in enumerate(splitter.split(rows.numpy(), labels.numpy())):
        folds[held] = fold
    answers = {}
    for name in METHODS:
        found = torch.zeros(len(rows), bench.classes)
        for fold in range(FOLDS):
            held = torch.from_numpy(folds == fold)

            def make(name: str = name, held: Tensor = held) -> np.ndarray:
                network = METHODS[name].fit(bench, rows[~held], labels[~held], seed)
                return predict_with(network, seed, bench.compute)(bench.images.take(rows[held])).numpy()

            found[held] = torch.from_numpy(keep(name, fold, make))
        answers[name] = found
    temperatures = {name: fit_temperature(found, labels) for name, found in answers.items()}
    return MethodSelection(labels, answers, folds, temperatures)


def selected_method(choice: MethodSelection | None) -> tuple[str, float]:
    """The method to use and its temperature."""
    return (DEFAULT, TEMPERATURE) if choice is None else (choice.method, choice.temperatures[choice.method])
