"""SPREADERS: labels carried from a few codes to all others along a graph of nearest neighbours."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int
from pydantic import Field
from scipy import sparse

from vaebench.core.frozen import Frozen, one_of
from vaebench.data.images import HIDDEN
from vaebench.semi_supervised.neighbours import nearest

NEIGHBOURS = 10
SHARPNESS = 4.0
"""Neighbour j of i weighs exp(-4 d_ij^2 / d_ik^2), where d_ik is the distance to the farthest of the k."""


TOLERANCE = 1e-10
"""A system is solved where its preconditioned residual has fallen by this."""


@dataclass(frozen=True)
class Graph:
    """Codes joined to their nearest neighbours; new codes join it without changing it."""

    weights: sparse.csr_array
    """Symmetric, (N, N), no code joined to itself."""
    codes: Float[np.ndarray, "N D"]
    neighbours: int

    @classmethod
    def of(cls, codes: Float[np.ndarray, "N D"], neighbours: int = NEIGHBOURS) -> Graph:
        """The graph of these codes, by Euclidean distance; a code with fewer others joins them all."""
        count = min(neighbours, len(codes) - 1)
        distances, found = _others(*nearest(codes, codes, count + 1))
        weights = _matrix(distances, found, len(codes))
        return cls(sparse.csr_array((weights + weights.T) / 2), codes, count)

    def join(self, codes: Float[np.ndarray, "M D"]) -> sparse.csr_array:
        """Weights (M, N) of the nearest neighbours of new codes; each row sums to 1."""
        distances, found = nearest(self.codes, codes, self.neighbours)
        weights = _matrix(distances, found, self.weights.shape[0])
        return sparse.csr_array(weights / weights.sum(axis=1)[:, None])

    @property
    def degrees(self) -> Float[np.ndarray, " N"]:
        """The sum of each code's weights."""
        return np.asarray(self.weights.sum(axis=1)).ravel()


def _others(
    distances: Float[np.ndarray, "N K"], found: Int[np.ndarray, "N K"]
) -> tuple[Float[np.ndarray, "N L"], Int[np.ndarray, "N L"]]:
    """Neighbours but for the code itself, which need not come first among equal codes, nor be found at all."""
    itself = found == np.arange(len(found))[:, None]
    itself[~itself.any(1), -1] = True
    shape = len(found), found.shape[1] - 1
    return distances[~itself].reshape(shape), found[~itself].reshape(shape)


def _matrix(distances: np.ndarray, found: np.ndarray, size: int) -> sparse.csr_array:
    squares = distances.astype(np.float64) ** 2
    farthest = np.where(squares[:, -1:] > 0, squares[:, -1:], 1.0)
    starts = np.arange(len(found) + 1) * found.shape[1]
    values = np.exp(-SHARPNESS * squares / farthest).ravel()
    return sparse.csr_array((values, found.ravel(), starts), shape=(len(found), size))


@runtime_checkable
class LabelPropagation(Protocol):
    """A way to carry labels along a graph."""

    @property
    def name(self) -> str:
        """What results and figures call it."""
        ...

    def spread(
        self, graph: Graph, rows: Int[np.ndarray, " M"], labels: Int[np.ndarray, " M"], classes: int
    ) -> Float[np.ndarray, "N Y"]:
        """Scores of every code of the graph, the highest its class; only ``labels`` of ``rows`` are read."""
        ...


class PoissonLearning(Frozen):
    """Each label is a source, the rest of the graph a sink: L u = sum_j (y_j - mean y) delta_j.

    Calder et al. 2020, "Poisson learning: graph based semi-supervised learning at very low label rates", section 2,
    by conjugate gradients. Unlike the harmonic function of label propagation it does not collapse to one
    constant with spikes when labels are few.
    """

    kind: Literal["poisson"] = "poisson"
    name: str = "poisson"
    iterations: int = Field(60, ge=1)
    """Conjugate gradient steps; stopping early keeps parts of the graph without a label near 0."""

    def spread(
        self, graph: Graph, rows: Int[np.ndarray, " M"], labels: Int[np.ndarray, " M"], classes: int
    ) -> Float[np.ndarray, "N Y"]:
        """Scores with degree-weighted mean 0."""
        sources = np.eye(classes)[labels]
        right = np.zeros((graph.weights.shape[0], classes))
        right[rows] = sources - sources.mean(0)
        degrees = graph.degrees
        laplacian = sparse.csr_array(sparse.diags_array(degrees) - graph.weights)
        scores = _solve(laplacian, right, degrees, self.iterations)
        return np.asarray(scores - degrees @ scores / degrees.sum())


class LabelSpreading(Frozen):
    """Each code takes its neighbours' labels and holds on to its own: F = (I - alpha S)^-1 Y, S = D^-1/2 W D^-1/2.

    Zhou et al. 2004, "Learning with local and global consistency", without its constant factor; columns are
    divided by the number of labels of their class.
    """

    kind: Literal["spreading"] = "spreading"
    name: str = "label spreading"
    alpha: float = Field(0.99, gt=0, lt=1)
    """The weight of the neighbours."""
    iterations: int = Field(100, ge=1)

    def spread(
        self, graph: Graph, rows: Int[np.ndarray, " M"], labels: Int[np.ndarray, " M"], classes: int
    ) -> Float[np.ndarray, "N Y"]:
        """Scores at or above 0."""
        size = graph.weights.shape[0]
        root = sparse.diags_array(1 / np.sqrt(np.maximum(graph.degrees, 1e-12)))
        system = sparse.eye_array(size) - self.alpha * (root @ graph.weights @ root)
        right = np.zeros((size, classes))
        right[rows] = np.eye(classes)[labels] / np.maximum(np.bincount(labels, minlength=classes), 1)
        return np.asarray(np.maximum(_solve(sparse.csr_array(system), right, np.ones(size), self.iterations), 0))


class CentredSpreading(Frozen):
    """Label spreading less what all codes get alike: the part of a column along D^1/2 1, the leading eigenvector of S.

    That part knows a class only by how many neighbours its labelled codes have, and grows as 1 / (1 - alpha): where
    classes are no clusters, one of them takes most of the graph by it. Mai & Couillet 2021, "Consistent semi-supervised
    graph regularization for high dimensional data", centre the weights for the same reason.
    """

    kind: Literal["centred-spreading"] = "centred-spreading"
    name: str = "centred label spreading"
    spreading: LabelSpreading = LabelSpreading()

    def spread(
        self, graph: Graph, rows: Int[np.ndarray, " M"], labels: Int[np.ndarray, " M"], classes: int
    ) -> Float[np.ndarray, "N Y"]:
        """Scores whose mean, weighted by the roots of degrees, is 0."""
        scores = self.spreading.spread(graph, rows, labels, classes)
        leading = np.sqrt(graph.degrees / graph.degrees.sum())
        return np.asarray(scores - np.outer(leading, leading @ scores))


def confident_labels(scores: Float[np.ndarray, "N Y"], keep: float) -> Int[np.ndarray, " N"]:
    """The class of the highest score of each code, hidden for the share 1 - ``keep`` of each class whose lead over the
    second is least."""
    first = scores.argmax(1)
    ordered = np.sort(scores, axis=1)
    lead = ordered[:, -1] - ordered[:, -2]
    found = np.full(len(scores), HIDDEN)
    for label in np.unique(first):
        members = np.flatnonzero(first == label)
        best = members[np.argsort(-lead[members], kind="stable")[: math.ceil(keep * len(members))]]
        found[best] = label
    return found


class PoissonThenSpreading(Frozen):
    """Poisson learning, then label spreading from the given labels and the surest answers of each class: a label that
    lies at the edge of its class is helped by those in its middle."""

    kind: Literal["poisson-then-spreading"] = "poisson-then-spreading"
    name: str = "poisson, then spreading"
    share: float = Field(0.5, gt=0, le=1)
    """Of each class's answers."""
    first: PoissonLearning = PoissonLearning()
    then: LabelSpreading = LabelSpreading()

    def spread(
        self, graph: Graph, rows: Int[np.ndarray, " M"], labels: Int[np.ndarray, " M"], classes: int
    ) -> Float[np.ndarray, "N Y"]:
        """Scores at or above 0."""
        taken = confident_labels(self.first.spread(graph, rows, labels, classes), self.share)
        taken[rows] = labels
        sure = np.flatnonzero(taken != HIDDEN)
        return self.then.spread(graph, sure, taken[sure], classes)


class PropagationByLabelCount(Frozen):
    """Poisson learning and spreading of its surest answers where labels are few, spreading alone where there are
    more."""

    kind: Literal["by-labels"] = "by-labels"
    name: str = "by labels"
    many: float = Field(4, gt=0)
    """Labels a class from which on labels are spread alone. With five a class, the least for a cross-validation of five
    folds, the folds have four: each then spreads as all labels together do."""
    few_labels: PoissonLearning | PoissonThenSpreading = PoissonThenSpreading()
    many_labels: LabelSpreading | CentredSpreading = CentredSpreading()

    def spread(
        self, graph: Graph, rows: Int[np.ndarray, " M"], labels: Int[np.ndarray, " M"], classes: int
    ) -> Float[np.ndarray, "N Y"]:
        """Scores of the one or the other."""
        chosen = self.many_labels if len(rows) >= self.many * classes else self.few_labels
        return chosen.spread(graph, rows, labels, classes)


LABEL_PROPAGATIONS = {
    "poisson": PoissonLearning,
    "spreading": LabelSpreading,
    "centred-spreading": CentredSpreading,
    "poisson-then-spreading": PoissonThenSpreading,
    "by-labels": PropagationByLabelCount,
}

if TYPE_CHECKING:
    AnyLabelPropagation = LabelPropagation
else:
    AnyLabelPropagation = one_of(LABEL_PROPAGATIONS)


def _solve(system: sparse.csr_array, right: np.ndarray, diagonal: np.ndarray, iterations: int) -> np.ndarray:
    """Conjugate gradients, preconditioned by the diagonal, for at most so many steps; each column runs on its own."""
    inverse = (1 / np.maximum(diagonal, 1e-12))[:, None]
    found, residual = np.zeros_like(right), right.copy()
    direction = inverse * residual
    size = first = (residual * direction).sum(0)
    for _ in range(iterations):
        if (size <= TOLERANCE**2 * first).all():
            break
        ahead = system @ direction
        step = _ratio(size, (direction * ahead).sum(0))
        found += step * direction
        residual -= step * ahead
        steep = inverse * residual
        size, before = (residual * steep).sum(0), size
        direction = steep + _ratio(size, before) * direction
    return found


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Their ratio; 0 for a column that is solved."""
    return np.asarray(np.divide(above, below, out=np.zeros_like(above), where=below > 0))


def uniform_class_fractions(scores: Float[np.ndarray, "N Y"], softness: float = 0.1, rounds: int = 200) -> np.ndarray:
    """Scores (N, Y) with an offset for each class, so that all classes are equally often the highest.

    Sinkhorn's rescaling of softmax(scores / t), t being ``softness`` times the spread of the scores. Equal sizes are
    prior knowledge: results that use them say "uniform assumed".
    """
    scaled = scores / (softness * max(float(scores.std()), 1e-300))
    offsets = np.zeros(scores.shape[1])
    for _ in range(rounds):
        shifted = scaled + offsets
        shares = np.exp(shifted - np.logaddexp.reduce(shifted, axis=1, keepdims=True)).mean(0)
        step = -np.log(np.maximum(shares, 1e-12) * scores.shape[1])
        offsets += step
        if np.abs(step).max() < 1e-3:
            break
    return np.asarray(scaled + offsets)
