"""PROBES: what reads class labels from a representation. Each fits labelled rows and gives probabilities."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor, nn

from vaebench.core.frozen import Frozen, one_of
from vaebench.data.images import epoch_batches
from vaebench.models.networks import MLP, AnyNetwork, Shape
from vaebench.models.objectives import CrossEntropy
from vaebench.training.compute import Compute
from vaebench.training.loop import Training, train
from vaebench.training.prediction import LabelledSource, Predict, predict_with
from vaebench.training.schedules import Adam, AnyOptimiser, AnySchedule, Constant

IMPOSSIBLE = -30.0
"""The logit of a class that no label was seen of."""


@runtime_checkable
class Probe(Protocol):
    """A way of reading labels."""

    @property
    def name(self) -> str:
        """What results and figures call it."""
        ...

    def fit(self, source: LabelledSource, classes: int, seed: int, compute: Compute) -> Predict:
        """Learn from labelled rows; the same arguments give the same predictions."""
        ...


@dataclass(frozen=True)
class LinearClassifier:
    """Class probabilities by one line a class: softmax(weight z + bias). Weight (Y, D), bias (Y,)."""

    weight: Float[Tensor, "Y D"]
    bias: Float[Tensor, " Y"]
    seed: int = 0
    """Sampled codes are drawn with it."""

    def __call__(self, codes: LabelledSource) -> Float[Tensor, "N Y"]:
        """Probabilities of the rows of ``codes``."""
        return (torch.from_numpy(_rows(codes, self.seed)) @ self.weight.T + self.bias).softmax(-1)

    def before(self, centre: Float[Tensor, " D"], scale: Float[Tensor, ""]) -> LinearClassifier:
        """The same line for codes that are not yet shifted by ``centre`` and divided by ``scale``."""
        weight = self.weight / scale
        return LinearClassifier(weight, self.bias - weight @ centre, self.seed)


class Logistic(Frozen):
    """Multinomial logistic regression with an L2 penalty (scikit-learn, L-BFGS)."""

    kind: Literal["logistic"] = "logistic"
    name: str = "logistic"
    inverse_penalty: float = Field(1.0, gt=0)
    """scikit-learn's C, for features of unit scale."""
    iterations: int = Field(300, ge=1)
    """At most so many; stopping there is a mild penalty of its own."""

    def fit(self, source: LabelledSource, classes: int, seed: int, compute: Compute) -> Predict:
        """Fit on all rows at once."""
        return _fitted(self._model(), source, classes)

    def line(self, source: LabelledSource, classes: int) -> LinearClassifier:
        """The same fit, as weights; classes without a label get probability 0."""
        model = self._model()
        labels = source.labels.numpy()
        weight, bias = torch.zeros(classes, source.shape[0]), torch.full((classes,), IMPOSSIBLE)
        if len(np.unique(labels)) == 1:
            bias[int(labels[0])] = 0.0
            return LinearClassifier(weight, bias)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(_rows(source), labels)
        found, offsets = torch.from_numpy(model.coef_).float(), torch.from_numpy(model.intercept_).float()
        if len(model.classes_) == 2:  # scikit-learn keeps one line for two classes
            found, offsets = torch.cat([-found, found]) / 2, torch.cat([-offsets, offsets]) / 2
        weight[model.classes_], bias[model.classes_] = found, offsets
        return LinearClassifier(weight, bias)

    def _model(self) -> LogisticRegression:
        return LogisticRegression(C=self.inverse_penalty, max_iter=self.iterations, tol=1e-3)


class KNN(Frozen):
    """The k nearest labelled codes vote, by Euclidean distance (scikit-learn)."""

    kind: Literal["knn"] = "knn"
    name: str = "knn"
    neighbours: int = Field(10, ge=1)
    """k where there are many labels; with fewer than 2k labels a class, the odd number at or below half of them."""

    def fit(self, source: LabelledSource, classes: int, seed: int, compute: Compute) -> Predict:
        """Keep all rows."""
        least = int(np.unique(source.labels.numpy(), return_counts=True)[1].min())
        k = self.neighbours if least >= 2 * self.neighbours else max(1, (least // 2 - 1) // 2 * 2 + 1)
        return _fitted(KNeighborsClassifier(k, n_jobs=compute.threads), source, classes)


class Head(Frozen):
    """A network trained by cross-entropy: a line, an MLP or a CNN by its ``network``. On images it is the plain
    supervised classifier, on sampled codes it sees a fresh z at every visit."""

    kind: Literal["head"] = "head"
    name: str = "linear"
    network: AnyNetwork = MLP(hidden=())
    """No hidden layers make it linear."""
    epochs: int = Field(100, ge=1)
    batch: int = Field(128, ge=1)
    optimiser: AnyOptimiser = Adam(rate=1e-2)
    schedule: AnySchedule = Constant()
    least_steps: int = Field(0, ge=0)
    """Epochs are added until there are this many steps: few labels make short epochs."""

    def fit(self, source: LabelledSource, classes: int, seed: int, compute: Compute) -> Predict:
        """Train from fresh weights."""
        model = self.build(source.shape, classes, seed)
        training = self.training(len(source), seed)
        model = train(model, CrossEntropy(), source, training, compute=compute, seed=seed).model
        return predict_with(model, seed, compute)

    def build(self, shape: Shape, classes: int, seed: int) -> nn.Module:
        """The network with fresh weights."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return self.network.encoder(shape, classes)

    def training(self, rows: int, seed: int) -> Training:
        """How it is trained on so many rows."""
        steps_an_epoch = sum(1 for _ in epoch_batches(rows, self.batch, (seed, 0)))
        return Training(
            epochs=max(self.epochs, math.ceil(self.least_steps / steps_an_epoch)),
            batch=self.batch,
            optimiser=self.optimiser,
            schedule=self.schedule,
        )


def _fitted(model: Any, source: LabelledSource, classes: int) -> Predict:
    """A scikit-learn classifier on rows (N, D); classes without a label get probability 0."""
    x, labels = _rows(source), source.labels.numpy()
    if len(np.unique(labels)) == 1:
        only = int(labels[0])
        return lambda codes: torch.nn.functional.one_hot(torch.full((len(codes),), only), classes).float()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x, labels)

    def predict(codes: LabelledSource) -> Tensor:
        found = torch.from_numpy(model.predict_proba(_rows(codes))).float()
        return torch.zeros(len(codes), classes).index_copy_(1, torch.from_numpy(model.classes_), found)

    return predict


def _rows(source: LabelledSource, seed: int = 0) -> np.ndarray:
    """All rows, flat (N, D); sampled codes are drawn with ``seed``, as :func:`predict_with` does."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        parts = torch.arange(len(source)).split(1000)
        return torch.cat([source.batch(rows).x.flatten(1) for rows in parts]).numpy()


PROBES = {"logistic": Logistic, "knn": KNN, "head": Head}

if TYPE_CHECKING:
    AnyProbe = Probe
else:
    AnyProbe = one_of(PROBES)
