"""The choice: a data set's representation and method, by what others' held parts say. Its own images choose nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from vaebench.evaluation.graphs import LabelSpreading, PoissonLearning, Spreader
from vaebench.evaluation.semi_supervised import SemiSupervised
from vaebench.ladder.arena import PAIRED, Arena
from vaebench.ladder.cells import cell
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
GRAPHS: dict[str, Spreader] = {"poisson": PoissonLearning(), "spreading": LabelSpreading()}
CANDIDATES = {
    "generative-0.001-keep-0.95": (0.001, 0.95),
    "generative-0.001-keep-0.8": (0.001, 0.8),
    "generative-0.01-keep-0.95": (0.01, 0.95),
}
"""Weight of the generative term, and the share of each class that is taken as taught: the whole method's choices."""


class Choice(NamedTuple):
    """What was chosen for one data set, and by which scores."""

    representation: str
    graph: str
    candidate: str
    scores: dict[str, float]
    """Mean held accuracy on the other data sets, of all that was tried."""


def method_of(arena: Arena, graph: str, candidate: str) -> SemiSupervised:
    """The whole method by its names, with a data set's own augmentation."""
    generative, keep = CANDIDATES[candidate]
    taught = SelfTraining(strong=arena.augmentation, generative=generative)
    return SemiSupervised(spreader=GRAPHS[graph], keep=keep, objective=taught, rounds=arena.rounds)


def choose(arenas: Mapping[str, Arena], name: str) -> Choice:
    """First the representation with its graph, then the method on it: the best mean held accuracy over ``COUNTS``,
    draws and the other data sets."""
    others = [arenas[other] for other in ON[name]]
    draws = others[0].study.pick(1, 5, 5)
    scores: dict[str, float] = {}
    for representation in PAIRED:
        for graph, spreader in GRAPHS.items():
            tried = [
                _held(arena, f"{representation}-{graph}", spread(representation, spreader), repr(spreader), draws)
                for arena in others
            ]
            scores[f"{representation}, {graph}"] = float(np.mean(tried))
    representation, graph = max(scores, key=lambda pair: scores[pair]).split(", ")
    for candidate in CANDIDATES:
        scores[candidate] = float(np.mean([_whole(arena, representation, graph, candidate) for arena in others]))
    return Choice(representation, graph, max(CANDIDATES, key=lambda candidate: scores[candidate]), scores)


def _whole(arena: Arena, representation: str, graph: str, candidate: str) -> float:
    method = method_of(arena, graph, candidate)
    name = f"tried/{representation}-{graph}-{candidate}"
    return _held(arena, name, whole(representation, method), f"{representation} {method!r}", arena.study.pick(1, 2, 2))


def _held(arena: Arena, name: str, method: Method, settings: str, draws: int) -> float:
    counts = arena.study.pick(COUNTS[:1], COUNTS, COUNTS)
    found = [cell(arena, name, method, settings, count, draw)["held"] for count in counts for draw in range(draws)]
    return float(np.mean(found))
