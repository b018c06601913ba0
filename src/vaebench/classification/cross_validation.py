"""Cross-validation of the methods: which images each fit holds out, and which fits are worth their time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vaebench.classification.encoder_methods import ENCODER_METHODS
from vaebench.classification.methods import DEFAULT, METHODS, TEMPERATURE, Method, MethodContext
from vaebench.classification.selection import FOLDS, MIN_LABELS, LearningSlope, MethodSelection, StoppedMethod
from vaebench.evaluation.calibration import fit_temperature
from vaebench.training.prediction import predict_with

FIRST_FOLDS = (0, 1)
"""Folds of which a network is fitted before it is decided whether the others are worth their time."""
FEW_ERRORS = 0.02
"""Error rate of the best method without a network up to which no network is trained."""


class Fit(NamedTuple):
    """One fit of a method, which holds out a fold."""

    method: str
    fold: int
    half: bool = False
    """Whether it is fitted to half of the other labels, from which the slope of the learning curve is estimated."""

    @property
    def name(self) -> str:
        """Name in files."""
        return f"{self.method}/fold-{self.fold + 1}{'-half' if self.half else ''}"


RunFits = Callable[[Sequence[Fit], Sequence[str]], Mapping[Fit, np.ndarray]]
"""Returns the held-out probabilities (K, Y) of each fit: kept ones, or :meth:`CrossValidation.probabilities`. The names
are those of methods that may also be fitted to all labels now, as one of them will probably be selected."""
Results = Mapping[Fit, np.ndarray]


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
        from sklearn.model_selection import StratifiedKFold  # takes a second, which predictions should not cost

        folds = np.full(len(self.rows), -1, dtype=np.int64)
        known = np.flatnonzero(np.isin(self.labels.numpy(), frequent_classes(self.labels)))
        splitter = StratifiedKFold(FOLDS, shuffle=True, random_state=self.seed)
        for fold, (_, test) in enumerate(splitter.split(known, self.labels.numpy()[known])):
            folds[known[test]] = fold
        return folds

    def held_out(self, fold: int) -> Bool[Tensor, " M"]:
        """Which labelled images a fold holds out."""
        return torch.from_numpy(self.folds == fold)

    def probabilities(self, fit: Fit) -> Float[np.ndarray, "K Y"]:
        """Fit a method without the images of a fold, and return their class probabilities."""
        context, held_out = self.context, self.held_out(fit.fold)
        fitted = torch.nonzero(~held_out)[:, 0]
        if fit.half:
            fitted = fitted[half_of_each_class(self.labels[fitted], (self.seed, fit.fold))]
        method = methods_with(context)[fit.method]
        network = method.fit(context, self.rows[fitted], self.labels[fitted], self.seed)
        if method.kind == "encoder" and context.encoded is not None:
            with torch.no_grad():
                logits: Tensor = network(context.encoded.codes.mean[self.rows[held_out]])
            return logits.softmax(-1).numpy()
        return predict_with(network, self.seed, context.compute)(context.images.take(self.rows[held_out])).numpy()

    def weights(self, method: str) -> dict[str, np.ndarray]:
        """Fit a method to all labelled images, and return the weights of its network."""
        fit = methods_with(self.context)[method].fit
        network = fit(self.context, self.rows, self.labels, self.seed).cpu()
        return {name: value.numpy() for name, value in network.state_dict().items()}

    def select(self, results: Results) -> MethodSelection:
        """Compare the methods that were fitted on every fold; the others were stopped."""
        positions = np.flatnonzero(self.folds >= 0)
        methods = methods_with(self.context)
        complete = [name for name in methods if all(Fit(name, fold) in results for fold in range(FOLDS))]
        probabilities = {name: self._joined(results, name)[positions] for name in complete}
        labels = self.labels[positions]
        temperatures = {name: fit_temperature(each, labels) for name, each in probabilities.items()}
        selection = MethodSelection(labels, probabilities, self.folds[positions], temperatures, positions)
        stopped = {
            name: self._stopped(results, name, selection)
            for name in methods
            if name not in complete and Fit(name, FIRST_FOLDS[0]) in results
        }
        return replace(selection, stopped=stopped, slope=self._slope(results, selection))

    def _joined(self, results: Results, name: str, half: bool = False) -> Float[Tensor, "M Y"]:
        joined = torch.zeros(len(self.rows), self.context.classes)
        for fold in range(FOLDS):
            joined[self.held_out(fold)] = torch.from_numpy(results[Fit(name, fold, half)])
        return joined

    def _stopped(self, results: Results, name: str, selection: MethodSelection) -> StoppedMethod:
        """Compare a method with the selected one on the first folds."""
        correct = np.concatenate([self._correct(results, Fit(name, fold)) for fold in FIRST_FOLDS])
        best = np.concatenate([self._correct(results, Fit(selection.method, fold)) for fold in FIRST_FOLDS])
        return StoppedMethod(correct, best)

    def _correct(self, results: Results, fit: Fit) -> Bool[np.ndarray, " K"]:
        return np.asarray(results[fit].argmax(1) == self.labels[self.held_out(fit.fold)].numpy())

    def _slope(self, results: Results, selection: MethodSelection) -> LearningSlope | None:
        """Error rates of the best method that was also fitted to half of the labels."""
        names = [name for name in selection.probabilities if Fit(name, 0, True) in results]
        if not names:
            return None
        best = max(names, key=selection.accuracies.__getitem__)
        predicted = self._joined(results, best, half=True)[selection.positions].argmax(1)
        return LearningSlope.of(best, selection.correct[best], (predicted == selection.labels).numpy())


def methods_with(context: MethodContext) -> dict[str, Method]:
    """Methods by name, those of an encoder only where there is one."""
    return METHODS if context.encoded is None else METHODS | ENCODER_METHODS


def half_of_each_class(labels: Int[Tensor, " M"], seed: tuple[int, int]) -> Int[Tensor, " K"]:
    """Return the sorted positions of a random half, rounded up, of the labels of each class."""
    order = np.random.default_rng(seed).permutation(len(labels))
    shuffled = labels.numpy()[order]
    members = (order[shuffled == label] for label in np.unique(shuffled))
    return torch.from_numpy(np.sort(np.concatenate([each[: (len(each) + 1) // 2] for each in members])))


def frequent_classes(labels: Int[Tensor, " M"]) -> Int[np.ndarray, " Y"]:
    """Classes that have the ``MIN_LABELS`` labels that a cross-validation needs."""
    return torch.nonzero(torch.bincount(labels) >= MIN_LABELS)[:, 0].numpy()


def can_cross_validate(labels: Int[Tensor, " M"]) -> bool:
    """Whether two classes or more can be cross-validated."""
    return len(frequent_classes(labels)) >= 2


def cross_validate(validation: CrossValidation, run_fits: RunFits) -> Iterator[MethodSelection]:
    """Yield the selection among the methods without a network, then, if any network was fitted, among all.

    Successive halving: a network is trained on the folds ``FIRST_FOLDS`` unless the best of the other methods errs on
    at most ``FEW_ERRORS`` of the labels, and on the other folds where it is not behind on the first by more than one
    standard error of the difference. Images of classes with fewer than ``MIN_LABELS`` labels are fitted to in every
    fold and evaluated in none.
    """
    methods = methods_with(validation.context)
    cheap = [name for name, method in methods.items() if not method.trains_network]
    fits = [Fit(name, fold, half) for half in (False, True) for name in cheap for fold in range(FOLDS)]
    results = dict(run_fits(fits, ()))
    selection = validation.select(results)
    yield selection
    if not leaves_a_chance(selection):
        return
    networks = [name for name in methods if name not in cheap]
    results |= run_fits([Fit(name, fold) for name in networks for fold in FIRST_FOLDS], ())
    stopped = validation.select(results).stopped
    left = [name for name in networks if stopped[name].has_a_chance]
    others = [fold for fold in range(FOLDS) if fold not in FIRST_FOLDS]
    ahead = [name for name in left if stopped[name].is_ahead]
    results |= run_fits([Fit(name, fold) for name in left for fold in others], ahead)
    yield validation.select(results)


def leaves_a_chance(selection: MethodSelection) -> bool:
    """Whether the selected method errs on more than ``FEW_ERRORS`` of the labels, so that a network may be better."""
    return 1 - selection.accuracies[selection.method] > FEW_ERRORS


def selected_method(selection: MethodSelection | None) -> tuple[str, float]:
    """Name and temperature of the selected method; the default ones without a cross-validation."""
    return (DEFAULT, TEMPERATURE) if selection is None else (selection.method, selection.temperatures[selection.method])
