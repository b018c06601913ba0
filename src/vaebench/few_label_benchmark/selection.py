"""The choice: a data set's representation and method, by what others' held parts say. Its own images choose nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from vaebench.core.frozen import stable_key
from vaebench.few_label_benchmark.context import PAIRED, DatasetContext
from vaebench.few_label_benchmark.methods import FewLabelMethod, propagation_method, self_training_method
from vaebench.few_label_benchmark.results import TEMPERATURES, result
from vaebench.models.classifying_vae import SelfTrainingLoss
from vaebench.semi_supervised.label_propagation import (
    CentredSpreading,
    LabelPropagation,
    PoissonLearning,
    PoissonThenSpreading,
    PropagationByLabelCount,
)
from vaebench.semi_supervised.pseudo_labels import GraphPseudoLabels, NetworkPseudoLabels, PseudoLabeller
from vaebench.semi_supervised.self_training import SelfTraining

ON = {
    "mnist": ("fashion-mnist", "quickdraw"),
    "fashion-mnist": ("mnist", "quickdraw"),
    "quickdraw": ("mnist", "fashion-mnist"),
    "cifar10": ("fashion-mnist", "quickdraw"),
}
"""Each data set's settings are chosen on these."""
COUNTS = (1, 10)
GRAPHS: dict[str, LabelPropagation] = {
    "poisson": PoissonLearning(),
    "spreading": CentredSpreading(),
    "twice": PoissonThenSpreading(),
    "by-labels": PropagationByLabelCount(),
}
CANDIDATES: dict[str, tuple[int, PseudoLabeller]] = {
    "own-answers": (2, NetworkPseudoLabels()),
    "feature-graph": (3, GraphPseudoLabels()),
}
"""Who teaches the whole method after its first round, and in how many rounds of its steps."""
GENERATIVE = 0.001
"""Weight of its generative term."""


Cell = Callable[[], dict[str, Any]]
"""Makes a cell, or reads it."""


class Choice(NamedTuple):
    """What was chosen for one data set, and by which scores."""

    representation: str
    graph: str
    candidate: str
    temperature: float
    """By which the whole method's logits are divided."""
    scores: dict[str, float]
    """Mean held accuracy on the other data sets, of all that was tried."""


def method_of(context: DatasetContext, graph: str, candidate: str) -> SelfTraining:
    """The whole method by its names, with a data set's own augmentation."""
    rounds, pseudo_labeller = CANDIDATES[candidate]
    taught = SelfTrainingLoss(strong=context.augmentation, generative=GENERATIVE)
    steps = (context.steps // rounds,) * rounds
    return SelfTraining(propagation=GRAPHS[graph], pseudo_labeller=pseudo_labeller, objective=taught, rounds=steps)


def choose(contexts: Mapping[str, DatasetContext], name: str) -> Choice:
    """First the representation with its graph, by the best mean held accuracy over ``COUNTS``, draws and the other data
    sets; then the method on it, likewise."""
    scores = graph_scores(contexts, name)
    representation, graph = best(scores)
    tried = {candidate: _all(wholes(contexts, name, representation, graph, candidate)) for candidate in CANDIDATES}
    means = {candidate: _held(cells) for candidate, cells in tried.items()}
    candidate = max(means, key=lambda one: means[one])
    losses = np.mean([found["tempered"]["log_loss_held"] for found in tried[candidate]], axis=0)
    return Choice(representation, graph, candidate, TEMPERATURES[int(losses.argmin())], scores | means)


def graph_scores(contexts: Mapping[str, DatasetContext], name: str) -> dict[str, float]:
    """Mean held accuracy on the other data sets of each representation with each graph."""
    return {
        f"{representation}, {graph}": _held(_all(spreads(contexts, name, representation, graph)))
        for representation in PAIRED
        for graph in GRAPHS
    }


def best(scores: Mapping[str, float]) -> tuple[str, str]:
    """The representation and the graph of the best score."""
    representation, graph = max(scores, key=lambda pair: scores[pair]).split(", ")
    return representation, graph


def spreads(contexts: Mapping[str, DatasetContext], name: str, representation: str, graph: str) -> dict[str, Cell]:
    """Cells of a graph on the other data sets."""
    found: dict[str, Cell] = {}
    for context in (contexts[other] for other in ON[name]):
        propagation, draws = GRAPHS[graph], context.experiment.pick(1, 5, 5)
        method = propagation_method(representation, propagation)
        found |= _cells(context, f"{representation}-{graph}", method, stable_key(propagation), draws)
    return found


def wholes(
    contexts: Mapping[str, DatasetContext], name: str, representation: str, graph: str, candidate: str
) -> dict[str, Cell]:
    """Cells of the whole method on the other data sets."""
    found: dict[str, Cell] = {}
    for context in (contexts[other] for other in ON[name]):
        method, key = method_of(context, graph, candidate), kept_as(representation, graph, candidate)
        draws = context.experiment.pick(1, 3, 3)
        found |= _cells(
            context, key, self_training_method(representation, method), f"{representation} {stable_key(method)}", draws
        )
    return found


def kept_as(representation: str, graph: str, candidate: str) -> str:
    """Where cells of the whole method are kept: a data set's own rung and the search for others share them."""
    return f"whole/{representation}-{graph}-{candidate}"


def _cells(context: DatasetContext, name: str, method: FewLabelMethod, settings: str, draws: int) -> dict[str, Cell]:
    counts = context.experiment.pick(COUNTS[:1], COUNTS, COUNTS)
    return {
        f"{context.name}/{name}/{count}-{draw}": partial(result, context, name, method, settings, count, draw)
        for count in counts
        for draw in range(draws)
    }


def _all(cells: Mapping[str, Cell]) -> list[dict[str, Any]]:
    return [make() for make in cells.values()]


def _held(cells: Sequence[dict[str, Any]]) -> float:
    return float(np.mean([found["held"] for found in cells]))
