"""LABEL_PROPAGATIONS: propagation of a few labels to all codes of a nearest-neighbour graph."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int
from pydantic import Field
from scipy import sparse

from vaebench.core.frozen import Frozen, one_of
from vaebench.data.images import HIDDEN
from vaebench.semi_supervised.graphs import Graph

Labels = Int[np.ndarray, " M"]
Scores = Float[np.ndarray, "N Y"]
TOLERANCE = 1e-10
"""Relative tolerance of the preconditioned residual of a linear system."""


@runtime_checkable
class LabelPropagation(Protocol):
    """A method that propagates labels along a graph."""

    @property
    def name(self) -> str:
        """Name in results and figures."""
        ...

    def propagate(self, graph: Graph, rows: Labels, labels: Labels, classes: int) -> Scores:
        """Class scores of every code of the graph, from the ``labels`` of ``rows``; the highest score is the class.

        Codes of a component of the graph without a label have scores without information, such as 0 for every class.
        """
        ...


class PoissonLearning(Frozen):
    """Poisson learning: solves L u = sum_j (y_j - mean y) delta_j, with a source at each labelled code.

    Calder et al. 2020, "Poisson learning: graph based semi-supervised learning at very low label rates", section 2,
    by conjugate gradients. Unlike the harmonic functions of classical label propagation, solutions do not degenerate to
    a constant with spikes at the labels when labels are few.
    """

    kind: Literal["poisson"] = "poisson"
    name: str = "poisson"
    iterations: int = Field(60, ge=1)
    """Conjugate gradient steps; early stopping keeps components of the graph without a label near 0."""

    def propagate(self, graph: Graph, rows: Labels, labels: Labels, classes: int) -> Scores:
        """Class scores with a degree-weighted mean of 0."""
        one_hot = np.eye(classes)[labels]
        sources = np.zeros((graph.weights.shape[0], classes))
        sources[rows] = one_hot - one_hot.mean(0)
        degrees = graph.degrees
        laplacian = sparse.csr_array(sparse.diags_array(degrees) - graph.weights)
        scores = _conjugate_gradients(laplacian, sources, degrees, self.iterations)
        return np.asarray(scores - degrees @ scores / degrees.sum())


class LabelSpreading(Frozen):
    """Label spreading: F = (I - alpha S)^-1 Y with S = D^-1/2 W D^-1/2.

    Zhou et al. 2004, "Learning with local and global consistency", without its constant factor; the columns of Y are
    divided by the number of labels of their class.
    """

    kind: Literal["spreading"] = "spreading"
    name: str = "label spreading"
    alpha: float = Field(0.99, gt=0, lt=1)
    """Weight of the neighbours' scores relative to the own label."""
    iterations: int = Field(100, ge=1)
    """Maximum number of conjugate gradient steps."""

    def propagate(self, graph: Graph, rows: Labels, labels: Labels, classes: int) -> Scores:
        """Non-negative class scores."""
        size = graph.weights.shape[0]
        root = sparse.diags_array(1 / np.sqrt(np.maximum(graph.degrees, 1e-12)))
        system = sparse.csr_array(sparse.eye_array(size) - self.alpha * (root @ graph.weights @ root))
        one_hot = np.zeros((size, classes))
        one_hot[rows] = np.eye(classes)[labels] / np.maximum(np.bincount(labels, minlength=classes), 1)
        return np.asarray(np.maximum(_conjugate_gradients(system, one_hot, np.ones(size), self.iterations), 0))


class CentredSpreading(Frozen):
    """Label spreading without the component of each score column along D^1/2 1, the leading eigenvector of S.

    That component depends on a class only by the degrees of its labelled codes, and grows as 1 / (1 - alpha): where
    classes are not clusters, it assigns most of the graph to one class. Mai & Couillet 2021, "Consistent
    semi-supervised graph regularization for high dimensional data", centre the weights for the same reason.
    """

    kind: Literal["centred-spreading"] = "centred-spreading"
    name: str = "centred label spreading"
    spreading: LabelSpreading = LabelSpreading()

    def propagate(self, graph: Graph, rows: Labels, labels: Labels, classes: int) -> Scores:
        """Class scores whose mean, weighted by the square roots of degrees, is 0."""
        scores = self.spreading.propagate(graph, rows, labels, classes)
        leading = np.sqrt(graph.degrees / graph.degrees.sum())
        return np.asarray(scores - np.outer(leading, leading @ scores))


class PoissonThenSpreading(Frozen):
    """Poisson learning, then label spreading from the labels and the most confident predictions of each class, so that
    labels at the edge of their class are supplemented by codes in its middle."""

    kind: Literal["poisson-then-spreading"] = "poisson-then-spreading"
    name: str = "poisson, then spreading"
    confident_fraction: float = Field(0.5, gt=0, le=1)
    """Most confident fraction of the predictions of each class that are spread."""
    first: PoissonLearning = PoissonLearning()
    then: LabelSpreading = LabelSpreading()

    def propagate(self, graph: Graph, rows: Labels, labels: Labels, classes: int) -> Scores:
        """Non-negative class scores."""
        predictions = confident_labels(self.first.propagate(graph, rows, labels, classes), self.confident_fraction)
        predictions[rows] = labels
        confident = np.flatnonzero(predictions != HIDDEN)
        return self.then.propagate(graph, confident, predictions[confident], classes)


class PropagationByLabelCount(Frozen):
    """One propagation for few labels and another for many labels."""

    kind: Literal["by-labels"] = "by-labels"
    name: str = "by labels"
    many: float = Field(4, gt=0)
    """Labels per class from which ``many_labels`` is used."""
    few_labels: PoissonLearning | PoissonThenSpreading = PoissonThenSpreading()
    many_labels: LabelSpreading | CentredSpreading = CentredSpreading()

    def propagate(self, graph: Graph, rows: Labels, labels: Labels, classes: int) -> Scores:
        """Class scores of ``many_labels`` or ``few_labels``."""
        chosen = self.many_labels if len(rows) >= self.many * classes else self.few_labels
        return chosen.propagate(graph, rows, labels, classes)


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


def confident_labels(scores: Scores, fraction: float) -> Int[np.ndarray, " N"]:
    """Predicted class of the most confident ``fraction`` of each class, by the margin between the two highest scores;
    HIDDEN for all others."""
    predicted = scores.argmax(1)
    ordered = np.sort(scores, axis=1)
    margin = ordered[:, -1] - ordered[:, -2]
    labels = np.full(len(scores), HIDDEN)
    for label in np.unique(predicted):
        members = np.flatnonzero(predicted == label)
        best = members[np.argsort(-margin[members], kind="stable")[: math.ceil(fraction * len(members))]]
        labels[best] = label
    return labels


def unit_scale(scores: np.ndarray) -> np.ndarray:
    """Scores divided by their standard deviation."""
    return scores / max(float(scores.std()), 1e-300)


def uniform_class_fractions(scores: Scores, softness: float = 0.1, rounds: int = 200) -> Scores:
    """Scores (N, Y) with an offset for each class, such that all classes are equally frequent.

    Sinkhorn's rescaling of softmax(scores / t), where t is ``softness`` times the standard deviation of the scores.
    Equal class frequencies are prior knowledge: results that use them say "uniform assumed".
    """
    scaled = scores / (softness * max(float(scores.std()), 1e-300))
    offsets = np.zeros(scores.shape[1])
    for _ in range(rounds):
        shifted = scaled + offsets
        fractions = np.exp(shifted - np.logaddexp.reduce(shifted, axis=1, keepdims=True)).mean(0)
        step = -np.log(np.maximum(fractions, 1e-12) * scores.shape[1])
        offsets += step
        if np.abs(step).max() < 1e-3:
            break
    return np.asarray(scaled + offsets)


def _conjugate_gradients(
    system: sparse.csr_array, right: np.ndarray, diagonal: np.ndarray, iterations: int
) -> np.ndarray:
    """Solve for all columns of ``right`` at once, with a diagonal preconditioner and at most ``iterations`` steps."""
    inverse = (1 / np.maximum(diagonal, 1e-12))[:, None]
    solution, residual = np.zeros_like(right), right.copy()
    direction = inverse * residual
    size = first = (residual * direction).sum(0)
    for _ in range(iterations):
        if (size <= TOLERANCE**2 * first).all():
            break
        product = system @ direction
        step = _ratio(size, (direction * product).sum(0))
        solution += step * direction
        residual -= step * product
        preconditioned = inverse * residual
        size, before = (residual * preconditioned).sum(0), size
        direction = preconditioned + _ratio(size, before) * direction
    return solution


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Ratio of two arrays, 0 for columns that are solved."""
    return np.asarray(np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0))
