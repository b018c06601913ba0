"""The choice: a data set's representation and method, by what others' held parts say. Its own images choose nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from vaebench.evaluation.graphs import ByLabels, LabelSpreading, PoissonLearning, Spreader
from vaebench.evaluation.semi_supervised import SemiSupervised
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
GRAPHS: dict[str, Spreader] = {"poisson": PoissonLearning(), "spreading": LabelSpreading(), "by-labels": ByLabels()}
CANDIDATES = {"keep-0.8": 0.8, "keep-0.95": 0.95}
"""The share of each class that the whole method takes of the graph's answers."""
GENERATIVE = 0.001
"""Weight of its generative term."""


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
    taught = SelfTraining(strong=arena.augmentation, generative=GENERATIVE)
    return SemiSupervised(spreader=GRAPHS[graph], keep=CANDIDATES[candidate], objective=taught, rounds=arena.rounds)


def choose(arenas: Mapping[str, Arena], name: str) -> Choice:
    """First the representation with its graph, then the method on it: the best mean held accuracy over ``COUNTS``,
    draws and the other data sets."""
    others = [arenas[other] for other in ON[name]]
    draws = others[0].study.pick(1, 5, 5)
    scores: dict[str, float] = {}
    for representation in PAIRED:
        for graph, spreader in GRAPHS.items():
            name, method = f"{representation}-{graph}", spread(representation, spreader)
            cells = [found for arena in others for found in _cells(arena, name, method, repr(spreader), draws)]
            scores[f"{representation}, {graph}"] = float(np.mean([found["held"] for found in cells]))
    representation, graph = max(scores, key=lambda pair: scores[pair]).split(", ")
    tried = {candidate: _tried(others, representation, graph, candidate) for candidate in CANDIDATES}
    scores |= {candidate: float(np.mean([found["held"] for found in cells])) for candidate, cells in tried.items()}
    candidate = max(CANDIDATES, key=lambda candidate: scores[candidate])
    losses = np.mean([found["tempered"]["log_loss_held"] for found in tried[candidate]], axis=0)
    return Choice(representation, graph, candidate, TEMPERATURES[int(losses.argmin())], scores)


def _tried(others: Sequence[Arena], representation: str, graph: str, candidate: str) -> list[dict[str, Any]]:
    """Cells of the whole method on the other data sets."""
    found = []
    for arena in others:
        method, name = method_of(arena, graph, candidate), f"tried/{representation}-{graph}-{candidate}"
        draws = arena.study.pick(1, 2, 2)
        found += _cells(arena, name, whole(representation, method), f"{representation} {method!r}", draws)
    return found


def _cells(arena: Arena, name: str, method: Method, settings: str, draws: int) -> list[dict[str, Any]]:
    counts = arena.study.pick(COUNTS[:1], COUNTS, COUNTS)
    return [cell(arena, name, method, settings, count, draw) for count in counts for draw in range(draws)]
