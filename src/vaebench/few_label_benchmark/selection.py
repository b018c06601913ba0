"""Selection of a data set's representation and self-training by validation accuracies on other data sets."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import NamedTuple

import numpy as np

from vaebench.few_label_benchmark.context import PAIRED, DatasetContext
from vaebench.few_label_benchmark.methods import FewLabelMethod, propagation_method, self_training_method
from vaebench.few_label_benchmark.results import TEMPERATURES, Result, ResultTasks, result_tasks
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


class Choice(NamedTuple):
    """Settings that were selected for one data set."""

    representation: str
    graph: str
    candidate: str
    temperature: float
    """Divides the logits of self-training."""
    scores: dict[str, float]
    """Mean validation accuracy on the other data sets of everything that was tried."""


@dataclass(frozen=True)
class Selection:
    """Selection of the settings of data set ``name``: the representation with its label propagation, then self-training
    on them, each by the best mean validation accuracy over ``COUNTS``, draws and the other data sets."""

    contexts: Mapping[str, DatasetContext]
    name: str

    @cached_property
    def choice(self) -> Choice:
        """The selected settings."""
        results = {candidate: _compute(tasks) for candidate, tasks in self.self_training_tasks().items()}
        means = {candidate: _mean_accuracy(each) for candidate, each in results.items()}
        candidate = max(means, key=lambda one: means[one])
        losses = np.mean([result["tempered"]["log_loss_validation"] for result in results[candidate]], axis=0)
        scores = {", ".join(pair): score for pair, score in self.propagation_scores.items()} | means
        return Choice(*self.best_pair, candidate, TEMPERATURES[int(losses.argmin())], scores)

    @cached_property
    def propagation_scores(self) -> dict[tuple[str, str], float]:
        """Mean validation accuracy on the other data sets by representation and label propagation."""
        return {pair: _mean_accuracy(_compute(tasks)) for pair, tasks in self.propagation_tasks().items()}

    @property
    def best_pair(self) -> tuple[str, str]:
        """Representation and label propagation of the highest score."""
        return max(self.propagation_scores, key=lambda pair: self.propagation_scores[pair])

    def propagation_tasks(self) -> dict[tuple[str, str], ResultTasks]:
        """Results on the other data sets by representation and label propagation."""
        tasks = {}
        for representation, graph in product(PAIRED, GRAPHS):
            method = propagation_method(representation, GRAPHS[graph])
            tasks[representation, graph] = self._tasks(
                f"{representation}-{graph}", dict.fromkeys(self.others, method), 5
            )
        return tasks

    def self_training_tasks(self) -> dict[str, ResultTasks]:
        """Results on the other data sets by candidate, with the best representation and label propagation."""
        representation, graph = self.best_pair
        tasks = {}
        for candidate in CANDIDATES:
            methods = {
                other: self_training_method(representation, self_training_of(self.contexts[other], graph, candidate))
                for other in self.others
            }
            tasks[candidate] = self._tasks(self_training_step(representation, graph, candidate), methods, 3)
        return tasks

    @property
    def others(self) -> Collection[str]:
        """Data sets on which the settings are selected."""
        return SELECTED_ON[self.name]

    def _tasks(self, step: str, methods: Mapping[str, FewLabelMethod], draws: int) -> ResultTasks:
        tasks: ResultTasks = {}
        for other, method in methods.items():
            context = self.contexts[other]
            pick = context.experiment.pick
            for count in pick(COUNTS[:1], COUNTS, COUNTS):
                tasks |= result_tasks(context, step, method, count, pick(1, draws, draws))
        return tasks


def self_training_of(context: DatasetContext, graph: str, candidate: str) -> SelfTraining:
    """Self-training with a label propagation and a source of pseudo-labels, and the data set's own augmentation."""
    rounds, pseudo_labeller = CANDIDATES[candidate]
    objective = SelfTrainingLoss(strong=context.augmentation, generative=0.001)
    steps = (context.steps // rounds,) * rounds
    return SelfTraining(propagation=GRAPHS[graph], pseudo_labeller=pseudo_labeller, objective=objective, rounds=steps)


def self_training_step(representation: str, graph: str, candidate: str) -> str:
    """Folder of self-training's results, shared by a data set's own results and the selection for others."""
    return f"whole/{representation}-{graph}-{candidate}"


def _compute(tasks: ResultTasks) -> list[Result]:
    return [compute() for compute in tasks.values()]


def _mean_accuracy(results: list[Result]) -> float:
    return float(np.mean([result["validation"] for result in results]))
