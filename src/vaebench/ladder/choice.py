"""The choice: a data set's representation and method, by what others' held parts say. Its own images choose nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from vaebench.evaluation.graphs import ByLabels, CentredSpreading, PoissonLearning, PoissonThenSpreading, Spreader
from vaebench.evaluation.semi_supervised import SemiSupervised
from vaebench.evaluation.teachers import FeatureGraph, OwnAnswers, Teacher
from vaebench.frozen import stable_key
from vaebench.ladder.arena import PAIRED, Arena
from vaebench.ladder.cells import TEMPERATURES, cell
from vaebench.ladder.methods import Method, spread, whole
from vaebench.models.self_training import SelfTraining

ON = {
    "mnist": ("fashion-mnist", "quickdraw"),
    "fashion-mnist": ("mnist", "quickdraw"),
    "quickdraw": ("mnist", "fashion-mnist"),
    "cifar10": ("fashion-mnist", "quickdraw"),
}
"""Each data set's settings are chosen on these."""
COUNTS = (1, 10)
GRAPHS: dict[str, Spreader] = {
    "poisson": PoissonLearning(),
    "spreading": CentredSpreading(),
    "twice": PoissonThenSpreading(),
    "by-labels": ByLabels(),
}
CANDIDATES: dict[str, tuple[int, Teacher]] = {"own-answers": (2, OwnAnswers()), "feature-graph": (3, FeatureGraph())}
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


def method_of(arena: Arena, graph: str, candidate: str) -> SemiSupervised:
    """The whole method by its names, with a data set's own augmentation."""
    rounds, teacher = CANDIDATES[candidate]
    taught = SelfTraining(strong=arena.augmentation, generative=GENERATIVE)
    steps = (arena.steps // rounds,) * rounds
    return SemiSupervised(spreader=GRAPHS[graph], teacher=teacher, objective=taught, rounds=steps)


def choose(arenas: Mapping[str, Arena], name: str) -> Choice:
    """First the representation with its graph, by the best mean held accuracy over ``COUNTS``, draws and the other data
    sets; then the method on it, likewise."""
    scores = graph_scores(arenas, name)
    representation, graph = best(scores)
    tried = {candidate: _all(wholes(arenas, name, representation, graph, candidate)) for candidate in CANDIDATES}
    means = {candidate: _held(cells) for candidate, cells in tried.items()}
    candidate = max(means, key=lambda one: means[one])
    losses = np.mean([found["tempered"]["log_loss_held"] for found in tried[candidate]], axis=0)
    return Choice(representation, graph, candidate, TEMPERATURES[int(losses.argmin())], scores | means)


def graph_scores(arenas: Mapping[str, Arena], name: str) -> dict[str, float]:
    """Mean held accuracy on the other data sets of each representation with each graph."""
    return {
        f"{representation}, {graph}": _held(_all(spreads(arenas, name, representation, graph)))
        for representation in PAIRED
        for graph in GRAPHS
    }


def best(scores: Mapping[str, float]) -> tuple[str, str]:
    """The representation and the graph of the best score."""
    representation, graph = max(scores, key=lambda pair: scores[pair]).split(", ")
    return representation, graph


def spreads(arenas: Mapping[str, Arena], name: str, representation: str, graph: str) -> dict[str, Cell]:
    """Cells of a graph on the other data sets."""
    found: dict[str, Cell] = {}
    for arena in (arenas[other] for other in ON[name]):
        spreader, draws = GRAPHS[graph], arena.study.pick(1, 5, 5)
        method = spread(representation, spreader)
        found |= _cells(arena, f"{representation}-{graph}", method, stable_key(spreader), draws)
    return found


def wholes(arenas: Mapping[str, Arena], name: str, representation: str, graph: str, candidate: str) -> dict[str, Cell]:
    """Cells of the whole method on the other data sets."""
    found: dict[str, Cell] = {}
    for arena in (arenas[other] for other in ON[name]):
        method, key = method_of(arena, graph, candidate), kept_as(representation, graph, candidate)
        draws = arena.study.pick(1, 3, 3)
        found |= _cells(arena, key, whole(representation, method), f"{representation} {stable_key(method)}", draws)
    return found


def kept_as(representation: str, graph: str, candidate: str) -> str:
    """Where cells of the whole method are kept: a data set's own rung and the search for others share them."""
    return f"whole/{representation}-{graph}-{candidate}"


def _cells(arena: Arena, name: str, method: Method, settings: str, draws: int) -> dict[str, Cell]:
    counts = arena.study.pick(COUNTS[:1], COUNTS, COUNTS)
    return {
        f"{arena.name}/{name}/{count}-{draw}": partial(cell, arena, name, method, settings, count, draw)
        for count in counts
        for draw in range(draws)
    }


def _all(cells: Mapping[str, Cell]) -> list[dict[str, Any]]:
    return [make() for make in cells.values()]


def _held(cells: Sequence[dict[str, Any]]) -> float:
    return float(np.mean([found["held"] for found in cells]))
