"""Benchmark: selection of settings, then every method on every data set; each result is computed once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from vaebench.core.statistics import summary
from vaebench.data.augment import AUGMENTATIONS
from vaebench.data.datasets import Data
from vaebench.experiments.experiment import Experiment, cifar10
from vaebench.few_label_benchmark import selection
from vaebench.few_label_benchmark.all_labels import all_label_rows, bottleneck_rows, bottleneck_tasks
from vaebench.few_label_benchmark.context import PAIRED, PARTS, VAES, DatasetContext
from vaebench.few_label_benchmark.generative import GenerativeQuality, measure_generative_quality
from vaebench.few_label_benchmark.published import PUBLISHED
from vaebench.few_label_benchmark.registry import SELECTION, SMALL, BenchmarkMethod, benchmark_methods
from vaebench.few_label_benchmark.results import TEMPERATURES, compute_result
from vaebench.few_label_benchmark.selection import CANDIDATES, GRAPHS, Choice
from vaebench.few_label_benchmark.titles import METHOD_TITLES
from vaebench.models.networks import Conv
from vaebench.models.vae import Model

VALIDATION_FRACTION = {"mnist": 1 / 6, "fashion-mnist": 1 / 6, "quickdraw": 1 / 5, "cifar10": 1 / 5}
"""Of the training part: 10,000 images where there are 50,000 or 60,000."""
DIMENSIONS = 128
"""Dimensions of the compared frozen representations."""
PASSES = {"mnist": 10, "fashion-mnist": 10, "quickdraw": 14, "cifar10": 10}

Task = Callable[[], object]


@dataclass
class Benchmark:
    """One run of the benchmark, by one of the processes that share its tasks."""

    experiment: Experiment
    contexts: dict[str, DatasetContext] = field(default_factory=dict)
    choices: dict[str, Choice] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    generative: dict[str, GenerativeQuality] = field(default_factory=dict)

    def run(self) -> None:
        """Run all tasks, shared by the workers, then collect the rows from the kept results."""
        self.contexts = {name: make_context(self.experiment, name) for name in VALIDATION_FRACTION}
        for tasks in (self.vae_tasks, self.propagation_search_tasks, self.self_training_search_tasks):
            self.experiment.run_tasks(tasks())
        self.choices = {name: selection.select(self.contexts, name) for name in self.contexts}
        self.experiment.run_tasks(self.measurement_tasks())
        self.collect_rows()

    def vae_tasks(self) -> dict[str, Task]:
        """Training of the VAEs that the methods and the selection read."""
        return {
            f"{name}/{key}": partial(context.vae, key)
            for name, context in self.contexts.items()
            for key in VAES
            if name in SMALL or key == "elbo" or key.startswith("contrastive") or (name in SELECTION and key in PAIRED)
        }

    def propagation_search_tasks(self) -> dict[str, Task]:
        """Results that select representation and label propagation."""
        tasks: dict[str, Task] = {}
        for name, representation, graph in product(self.contexts, PAIRED, GRAPHS):
            tasks |= selection.propagation_tasks(self.contexts, name, representation, graph)
        return tasks

    def self_training_search_tasks(self) -> dict[str, Task]:
        """Results that select self-training, given the selected representation and label propagation."""
        tasks: dict[str, Task] = {}
        for name in self.contexts:
            representation, graph = selection.best_pair(selection.propagation_scores(self.contexts, name))
            for candidate in CANDIDATES:
                tasks |= selection.self_training_tasks(self.contexts, name, representation, graph, candidate)
        return tasks

    def measurement_tasks(self) -> dict[str, Task]:
        """Everything that is measured with the selected settings."""
        tasks: dict[str, Task] = {}
        for context in self.contexts.values():
            for key, method in self.methods(context).items():
                for count, draw in self.draws(context, method):
                    name = f"{context.name}/{key}/{count}-{draw}"
                    tasks[name] = partial(self.compute, context, key, method, count, draw)
        tasks |= {f"{name}/generative": partial(self.measure_generative_quality, name) for name in SMALL}
        tasks |= {
            f"{name}/all": partial(all_label_rows, self.experiment, context, self.choices[name])
            for name, context in self.contexts.items()
        }
        return tasks | bottleneck_tasks(self.experiment, self.contexts["mnist"])

    def collect_rows(self) -> None:
        """Fill ``rows`` and ``generative`` from the kept results."""
        for context in self.contexts.values():
            for key, method in self.methods(context).items():
                self.rows += self.method_rows(context, key, method)
        for name in SMALL:
            self.generative[name] = self.measure_generative_quality(name)
            self.rows += self.generative[name].rows
        for name, context in self.contexts.items():
            self.rows += all_label_rows(self.experiment, context, self.choices[name])
        self.rows += bottleneck_rows(self.experiment, self.contexts["mnist"])

    def shared_seconds(self) -> dict[str, dict[str, float]]:
        """Training time of the VAEs that the methods of each data set read, in seconds."""
        seconds = {}
        for name, context in self.contexts.items():
            methods = [each.method for each in self.methods(context).values()]
            read = dict.fromkeys(key for one in methods for key in (one.representation, one.graph) if key in VAES)
            seconds[name] = {key: context.vae(key).seconds for key in read}
        return seconds

    def measure_generative_quality(self, name: str) -> GenerativeQuality:
        """Generative quality after self-training with and without the generative term."""
        choice, context = self.choices[name], self.contexts[name]
        full = selection.self_training_of(context, choice.graph, choice.candidate)
        without = full.model_copy(update={"objective": full.objective.model_copy(update={"generative": 0.0})})
        methods = {"whole": full, "without-generative": without}
        return measure_generative_quality(context, choice.representation, methods)

    def methods(self, context: DatasetContext) -> dict[str, BenchmarkMethod]:
        """Methods that are run on a data set, with its selected settings."""
        choice = self.choices[context.name]
        method = selection.self_training_of(context, choice.graph, choice.candidate)
        methods = benchmark_methods(choice.representation, method, self.experiment.pick(1, 6, 60))
        return {key: one for key, one in methods.items() if context.name in one.contexts}

    def draws(self, context: DatasetContext, method: BenchmarkMethod) -> list[tuple[int, int]]:
        """Labels per class and draw of every result of a method on a data set."""
        counts = self.experiment.pick(method.counts[:1], method.counts, method.counts)
        quick = self.experiment.budget == "quick"
        draws = {count: 1 if quick else method.count_draws(context.name, count) for count in counts}
        return [(count, draw) for count in counts for draw in range(draws[count])]

    def compute(
        self, context: DatasetContext, key: str, method: BenchmarkMethod, count: int, draw: int
    ) -> dict[str, Any]:
        """Result of one draw."""
        choice = self.choices[context.name]
        if key == "whole":
            key = selection.self_training_step(choice.representation, choice.graph, choice.candidate)
        return compute_result(context, key, method.method, method.settings, count, draw)

    def method_rows(self, context: DatasetContext, key: str, method: BenchmarkMethod) -> list[dict[str, Any]]:
        """Rows of one method on one data set."""
        rows, draws = [], self.draws(context, method)
        temperature = self.choices[context.name].temperature if key == "whole" else 1.0
        for count in dict.fromkeys(count for count, _ in draws):
            results = [self.compute(context, key, method, count, draw) for each, draw in draws if each == count]
            rows += [make_row(context, key, method, count, part, results, temperature) for part in PARTS]
        return rows


def make_context(experiment: Experiment, name: str) -> DatasetContext:
    """Context of a data set, with its network and augmentation."""
    source = cifar10() if name == "cifar10" else Data(source=name)
    data = experiment.data(source.model_copy(update={"validation_fraction": VALIDATION_FRACTION[name]}))
    colour = name == "cifar10"
    network = Conv(filters=(32, 64, 128), stride=(2,)) if colour else Conv()
    model = Model(latent=128 if colour else 32, network=network)
    passes, steps = experiment.pick(2, PASSES[name], 4 * PASSES[name]), experiment.pick(6, 1200, 12_000)
    return DatasetContext(experiment, name, data, model, AUGMENTATIONS[name], DIMENSIONS, passes, steps)


def make_row(
    context: DatasetContext,
    key: str,
    method: BenchmarkMethod,
    count: int,
    part: str,
    results: list[dict[str, Any]],
    temperature: float = 1.0,
) -> dict[str, Any]:
    """Row of a method's accuracy on a part over draws, with its calibration, cost and augmentation."""

    def at_temperature(metric: str) -> float:
        index = TEMPERATURES.index(temperature)
        return float(np.mean([result["tempered"][f"{metric}_{part}"][index] for result in results]))

    accuracies = [result[part] for result in results]
    published = PUBLISHED.get(key, {}).get((context.name, count))
    uniform = [result[f"uniform_{part}"] for result in results if f"uniform_{part}" in result]
    return {
        "data": context.name,
        "split": part,
        "method": key,
        "title": METHOD_TITLES[key],
        "group": method.group,
        "labels_per_class": count,
        "metric": "accuracy",
        **summary(accuracies),
        "worst": min(accuracies),
        "uniform_assumed": float(np.mean(uniform)) if uniform else None,
        "temperature": temperature,
        "calibration_error": at_temperature("calibration"),
        "log_loss": at_temperature("log_loss"),
        "seconds": float(np.mean([result["seconds"] for result in results])),
        "images": int(np.mean([result["images"] for result in results])),
        "augmentation": context.augmentation_at(method.augmentation).amounts or None,
        "published": published[0] if published else None,
        "source": published[1] if published else None,
        "budget": context.experiment.budget,
    }
