"""Selection of a data set's representation and self-training by validation accuracies on other data sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from vaebench.core.frozen import stable_key
from vaebench.few_label_benchmark.context import PAIRED, DatasetContext
from vaebench.few_label_benchmark.methods import FewLabelMethod, propagation_method, self_training_method
from vaebench.few_label_benchmark.results import TEMPERATURES, compute_result
from vaebench.models.classifying_vae import SelfTrainingLoss
from vaebench.semi_supervised import label_propagation
from vaebench.semi_supervised.pseudo_labels import GraphPseudoLabels, NetworkPseudoLabels, PseudoLabeller
from vaebench.semi_supervised.self_training import SelfTraining

SELECTED_ON = {
    "mnist": ("fashion-mnist", "quickdraw"),
    "fashion-mnist": ("mnist", "quickdraw"),
    "quickdraw": ("mnist", "fashion-mnist"),
    "cifar10": ("fashion-mnist", "quickdraw"),
}
"""Data sets on which each data set's settings are selected."""
COUNTS = (1, 10)
"""Labels per class in the selection."""
GRAPHS: dict[str, label_propagation.LabelPropagation] = {
    "poisson": label_propagation.PoissonLearning(),
    "spreading": label_propagation.CentredSpreading(),
    "twice": label_propagation.PoissonThenSpreading(),
    "by-labels": label_propagation.PropagationByLabelCount(),
}
"""Label propagations to select from."""
CANDIDATES: dict[str, tuple[int, PseudoLabeller]] = {
    "own-answers": (2, NetworkPseudoLabels()),
    "feature-graph": (3, GraphPseudoLabels()),
}
"""Self-trainings to select from: number of rounds, and source of the pseudo-labels after the first round."""
GENERATIVE = 0.001
"""Weight of the generative term."""

ResultTask = Callable[[], dict[str, Any]]
"""Computes a result, or reads it if it is kept."""


class Choice(NamedTuple):
    """Settings that were selected for one data set."""

    representation: str
    graph: str
    candidate: str
    temperature: float
    """Divides the logits of self-training."""
    scores: dict[str, float]
    """Mean validation accuracy on the other data sets of everything that was tried."""


def self_training_of(context: DatasetContext, graph: str, candidate: str) -> SelfTraining:
    """Self-training with a label propagation and a source of pseudo-labels, and the data set's own augmentation."""
    rounds, pseudo_labeller = CANDIDATES[candidate]
    objective = SelfTrainingLoss(strong=context.augmentation, generative=GENERATIVE)
    steps = (context.steps // rounds,) * rounds
    return SelfTraining(propagation=GRAPHS[graph], pseudo_labeller=pseudo_labeller, objective=objective, rounds=steps)


def select(contexts: Mapping[str, DatasetContext], name: str) -> Choice:
    """Select the representation with its label propagation, then self-training on them, each by the best mean
    validation accuracy over ``COUNTS``, draws and the other data sets."""
    scores = propagation_scores(contexts, name)
    representation, graph = best_pair(scores)
    results = {
        candidate: _compute(self_training_tasks(contexts, name, representation, graph, candidate))
        for candidate in CANDIDATES
    }
    means = {candidate: _mean_accuracy(each) for candidate, each in results.items()}
    candidate = max(means, key=lambda one: means[one])
    losses = np.mean([result["tempered"]["log_loss_validation"] for result in results[candidate]], axis=0)
    return Choice(representation, graph, candidate, TEMPERATURES[int(losses.argmin())], scores | means)


def propagation_scores(contexts: Mapping[str, DatasetContext], name: str) -> dict[str, float]:
    """Mean validation accuracy on the other data sets by "representation, label propagation"."""
    return {
        f"{representation}, {graph}": _mean_accuracy(_compute(propagation_tasks(contexts, name, representation, graph)))
        for representation in PAIRED
        for graph in GRAPHS
    }


def best_pair(scores: Mapping[str, float]) -> tuple[str, str]:
    """Representation and label propagation of the highest score."""
    representation, graph = max(scores, key=lambda pair: scores[pair]).split(", ")
    return representation, graph


def propagation_tasks(
    contexts: Mapping[str, DatasetContext], name: str, representation: str, graph: str
) -> dict[str, ResultTask]:
    """Results of a label propagation on the other data sets."""
    tasks: dict[str, ResultTask] = {}
    for context in (contexts[other] for other in SELECTED_ON[name]):
        propagation, draws = GRAPHS[graph], context.experiment.pick(1, 5, 5)
        method = propagation_method(representation, propagation)
        tasks |= _tasks(context, f"{representation}-{graph}", method, stable_key(propagation), draws)
    return tasks


def self_training_tasks(
    contexts: Mapping[str, DatasetContext], name: str, representation: str, graph: str, candidate: str
) -> dict[str, ResultTask]:
    """Results of self-training on the other data sets."""
    tasks: dict[str, ResultTask] = {}
    for context in (contexts[other] for other in SELECTED_ON[name]):
        training = self_training_of(context, graph, candidate)
        method, settings = self_training_method(representation, training), f"{representation} {stable_key(training)}"
        step = self_training_step(representation, graph, candidate)
        tasks |= _tasks(context, step, method, settings, context.experiment.pick(1, 3, 3))
    return tasks


def self_training_step(representation: str, graph: str, candidate: str) -> str:
    """Folder of self-training's results, shared by a data set's own results and the selection for others."""
    return f"whole/{representation}-{graph}-{candidate}"


def _tasks(
    context: DatasetContext, name: str, method: FewLabelMethod, settings: str, draws: int
) -> dict[str, ResultTask]:
    counts = context.experiment.pick(COUNTS[:1], COUNTS, COUNTS)
    return {
        f"{context.name}/{name}/{count}-{draw}": partial(compute_result, context, name, method, settings, count, draw)
        for count in counts
        for draw in range(draws)
    }


def _compute(tasks: Mapping[str, ResultTask]) -> list[dict[str, Any]]:
    return [compute() for compute in tasks.values()]


def _mean_accuracy(results: list[dict[str, Any]]) -> float:
    return float(np.mean([result["validation"] for result in results]))
