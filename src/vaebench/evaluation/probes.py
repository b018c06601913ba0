"""PROBES: classifiers of representations, fitted on labelled rows: logistic regression, kNN, networks."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from vaebench.core.frozen import Frozen, one_of
from vaebench.data.draws import epoch_batches
from vaebench.models.networks import MLP, AnyNetwork, Shape
from vaebench.models.objectives import CrossEntropy
from vaebench.training.compute import Compute
from vaebench.training.loop import Training, train
from vaebench.training.prediction import LabelledSource, Predict, predict_with
from vaebench.training.schedules import Adam, AnyOptimiser, AnySchedule, Constant

IMPOSSIBLE = -30.0
"""Logit of a class without labels."""


@runtime_checkable
class Probe(Protocol):
    """A classifier of a representation."""

    @property
    def name(self) -> str:
        """Name in results and figures."""
        ...

    def fit(self, source: LabelledSource, classes: int, seed: int, compute: Compute) -> Predict:
        """Fit labelled rows and return the predictor; the same arguments give the same predictions."""
        ...


@dataclass(frozen=True)
class LinearClassifier:
    """A fitted linear probe, softmax(weight z + bias). Weight (Y, D), bias (Y,)."""

    weight: Float[Tensor, "Y D"]
    bias: Float[Tensor, " Y"]
    seed: int = 0
    """Seed of sampled codes."""

    def __call__(self, codes: LabelledSource) -> Float[Tensor, "N Y"]:
        """Class probabilities of the rows of ``codes``."""
        return (torch.from_numpy(_flat_rows(codes, self.seed)) @ self.weight.T + self.bias).softmax(-1)

    def unstandardised(self, centre: Float[Tensor, " D"], scale: Float[Tensor, ""]) -> LinearClassifier:
        """The equivalent classifier of codes that are not shifted by ``centre`` and divided by ``scale``."""
        weight = self.weight / scale
        return LinearClassifier(weight, self.bias - weight @ centre, self.seed)


class Logistic(Frozen):
    """Multinomial logistic regression with an L2 penalty (scikit-learn, L-BFGS)."""

    kind: Literal["logistic"] = "logistic"
    name: str = "logistic"
    inverse_penalty: float = Field(1.0, gt=0)
    """scikit-learn's C, for features of unit scale."""
    iterations: int = Field(300, ge=1)
    """Maximum number of iterations; stopping early is a mild regularisation."""

    def fit(self, source: LabelledSource, classes: int, seed: int, compute: Compute) -> Predict:
        """Fit on all rows at once."""
        return _fit_sklearn(self._model(), source, classes)

    def fit_linear(self, source: LabelledSource, classes: int) -> LinearClassifier:
        """Fit and return the weights; classes without a label get probability 0."""
        model = self._model()
        labels = source.labels.numpy()
        weight, bias = torch.zeros(classes, source.shape[0]), torch.full((classes,), IMPOSSIBLE)
        if len(np.unique(labels)) == 1:
            bias[int(labels[0])] = 0.0
            return LinearClassifier(weight, bias)
        _fit_quietly(model, _flat_rows(source), labels)
        coef, intercept = torch.from_numpy(model.coef_).float(), torch.from_numpy(model.intercept_).float()
        if len(model.classes_) == 2:  # scikit-learn keeps one row of weights for two classes
            coef, intercept = torch.cat([-coef, coef]) / 2, torch.cat([-intercept, intercept]) / 2
        weight[model.classes_], bias[model.classes_] = coef, intercept
        return LinearClassifier(weight, bias)

    def _model(self) -> Any:
        """The classifier before fitting."""
        from sklearn.linear_model import LogisticRegression  # takes a second, which trainings should not cost

        return LogisticRegression(C=self.inverse_penalty, max_iter=self.iterations, tol=1e-3)


class KNN(Frozen):
    """k nearest neighbours among the labelled codes, by Euclidean distance (scikit-learn)."""

    kind: Literal["knn"] = "knn"
    name: str = "knn"
    neighbours: int = Field(10, ge=1)
    """k; with fewer than 2k labels of some class, the largest odd number up to half of them."""

    def fit(self, source: LabelledSource, classes: int, seed: int, compute: Compute) -> Predict:
        """Store all rows."""
        fewest = int(np.unique(source.labels.numpy(), return_counts=True)[1].min())
        k = self.neighbours if fewest >= 2 * self.neighbours else max(1, (fewest // 2 - 1) // 2 * 2 + 1)
        from sklearn.neighbors import KNeighborsClassifier

        return _fit_sklearn(KNeighborsClassifier(k, n_jobs=compute.threads), source, classes)


class Head(Frozen):
    """A network trained by cross-entropy: linear, an MLP or a CNN, by its ``network``. On images it is a supervised
    classifier; on sampled codes every batch has fresh samples of z."""

    kind: Literal["head"] = "head"
    name: str = "linear"
    network: AnyNetwork = MLP(hidden=())
    """Linear without hidden layers."""
    epochs: int = Field(100, ge=1)
    batch: int = Field(128, ge=1)
    optimiser: AnyOptimiser = Adam(rate=1e-2)
    schedule: AnySchedule = Constant()
    least_steps: int = Field(0, ge=0)
    """Minimum number of steps: epochs are added until it is reached, since epochs of few labels are short."""

    def fit(self, source: LabelledSource, classes: int, seed: int, compute: Compute) -> Predict:
        """Train from random weights."""
        model = self.build(source.shape, classes, seed)
        training = self.training(len(source), seed)
        model = train(model, CrossEntropy(), source, training, compute=compute, seed=seed).model
        return predict_with(model, seed, compute)

    def build(self, shape: Shape, classes: int, seed: int) -> nn.Module:
        """Build the network with random weights."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return self.network.encoder(shape, classes)

    def training(self, rows: int, seed: int) -> Training:
        """Training settings for this number of rows."""
        steps_per_epoch = sum(1 for _ in epoch_batches(rows, self.batch, (seed, 0)))
        return Training(
            epochs=max(self.epochs, math.ceil(self.least_steps / steps_per_epoch)),
            batch=self.batch,
            optimiser=self.optimiser,
            schedule=self.schedule,
        )


def _fit_sklearn(model: Any, source: LabelledSource, classes: int) -> Predict:
    """Fit a scikit-learn classifier on rows (N, D); classes without a label get probability 0."""
    labels = source.labels.numpy()
    if len(np.unique(labels)) == 1:
        only = int(labels[0])
        return lambda codes: torch.nn.functional.one_hot(torch.full((len(codes),), only), classes).float()
    _fit_quietly(model, _flat_rows(source), labels)

    def predict(codes: LabelledSource) -> Tensor:
        probabilities = torch.from_numpy(model.predict_proba(_flat_rows(codes))).float()
        return torch.zeros(len(codes), classes).index_copy_(1, torch.from_numpy(model.classes_), probabilities)

    return predict


def _fit_quietly(model: Any, x: np.ndarray, labels: np.ndarray) -> None:
    """Fit a scikit-learn classifier without its warning that the maximum number of iterations was reached."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        model.fit(x, labels)


def _flat_rows(source: LabelledSource, seed: int = 0) -> np.ndarray:
    """All rows, flat (N, D); sampled codes are drawn with ``seed``, as in :func:`predict_with`."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        parts = torch.arange(len(source)).split(1000)
        return torch.cat([source.batch(rows).x.flatten(1) for rows in parts]).numpy()


PROBES = {"logistic": Logistic, "knn": KNN, "head": Head}

if TYPE_CHECKING:
    AnyProbe = Probe
else:
    AnyProbe = one_of(PROBES)
