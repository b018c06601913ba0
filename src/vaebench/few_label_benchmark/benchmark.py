"""Benchmark: selection of settings, then every method on every data set; each result is computed once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from vaebench.core.statistics import summary
from vaebench.data.augment import AUGMENTATIONS
from vaebench.data.datasets import Data
from vaebench.experiments.experiment import Experiment, cifar10
from vaebench.experiments.trained import TrainedModel
from vaebench.few_label_benchmark.all_labels import all_label_rows, bottleneck_rows, bottleneck_tasks
from vaebench.few_label_benchmark.context import PAIRED, PARTS, VAES, DatasetContext
from vaebench.few_label_benchmark.generative import GenerativeQuality, measure_generative_quality
from vaebench.few_label_benchmark.methods import SELECTION, SMALL, FewLabelMethod, benchmark_methods, with_objective
from vaebench.few_label_benchmark.results import TEMPERATURES, Result, ResultTasks, result_tasks
from vaebench.few_label_benchmark.selection import Choice, Selection, self_training_of, self_training_step
from vaebench.few_label_benchmark.titles import METHOD_TITLES, PUBLISHED
from vaebench.models.networks import Conv
from vaebench.models.vae import Model
from vaebench.semi_supervised.self_training import SelfTraining

VALIDATION_FRACTION = {"mnist": 1 / 6, "fashion-mnist": 1 / 6, "quickdraw": 1 / 5, "cifar10": 1 / 5}
"""Of the training part: 10,000 images where there are 50,000 or 60,000."""
DIMENSIONS = 128
"""Dimensions of the compared frozen representations."""
PASSES = {"mnist": 10, "fashion-mnist": 10, "quickdraw": 14, "cifar10": 10}

Row = dict[str, Any]


@dataclass(frozen=True)
class Measurement:
    """A method on a data set with ``count`` labels per class."""

    context: DatasetContext
    key: str
    method: FewLabelMethod
    count: int
    step: str
    """Folder of the results."""
    temperature: float = 1.0
    """Divides the logits for the calibration; one of ``TEMPERATURES``."""

    def tasks(self) -> ResultTasks:
        """Results of all draws."""
        most = self.method.count_draws(self.context.name, self.count)
        draws = self.context.experiment.pick(1, most, most)
        return result_tasks(self.context, self.step, self.method, self.count, draws)

    def row(self, part: str, results: Sequence[Result]) -> Row:
        """Row of the accuracy on a part over draws, with its calibration, cost and augmentation."""

        def at_temperature(metric: str) -> float:
            index = TEMPERATURES.index(self.temperature)
            return float(np.mean([result["tempered"][f"{metric}_{part}"][index] for result in results]))

        accuracies = [result[part] for result in results]
        published, source = PUBLISHED.get(self.key, {}).get((self.context.name, self.count), (None, None))
        uniform = [result[f"uniform_{part}"] for result in results if f"uniform_{part}" in result]
        return {
            "data": self.context.name,
            "split": part,
            "method": self.key,
            "title": METHOD_TITLES[self.key],
            "group": self.method.group,
            "labels_per_class": self.count,
            "metric": "accuracy",
            **summary(accuracies),
            "worst": min(accuracies),
            "uniform_assumed": float(np.mean(uniform)) if uniform else None,
            "temperature": self.temperature,
            "calibration_error": at_temperature("calibration"),
            "log_loss": at_temperature("log_loss"),
            "seconds": float(np.mean([result["seconds"] for result in results])),
            "images": int(np.mean([result["images"] for result in results])),
            "augmentation": self.context.augmentation_at(self.method.augmentation).amounts or None,
            "published": published,
            "source": source,
            "budget": self.context.experiment.budget,
        }


@dataclass
class Benchmark:
    """One run of the benchmark, by one of the processes that share its tasks."""

    experiment: Experiment
    contexts: dict[str, DatasetContext] = field(default_factory=dict)
    choices: dict[str, Choice] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    generative: dict[str, GenerativeQuality] = field(default_factory=dict)

    def run(self) -> None:
        """Run all tasks, shared by the workers, then collect the rows from the kept results."""
        self.contexts = {name: make_context(self.experiment, name) for name in VALIDATION_FRACTION}
        self.experiment.run_tasks(self.vae_tasks())
        selections = [Selection(self.contexts, name) for name in self.contexts]
        for search in (Selection.propagation_tasks, Selection.self_training_tasks):
            searches = [tasks for one in selections for tasks in search(one).values()]
            self.experiment.run_tasks({name: task for tasks in searches for name, task in tasks.items()})
        self.choices = {one.name: one.choice for one in selections}
        self.measure()

    def vae_tasks(self) -> dict[str, Callable[[], TrainedModel]]:
        """Training of the VAEs that the methods and the selection read."""
        return {
            f"{name}/{key}": partial(context.vae, key)
            for name, context in self.contexts.items()
            for key in VAES
            if name in SMALL or key == "elbo" or key.startswith("contrastive") or (name in SELECTION and key in PAIRED)
        }

    def measure(self) -> None:
        """Measure everything with the selected settings and fill ``rows`` and ``generative``."""
        measurements, mnist = list(self.measurements()), self.contexts["mnist"]
        others = {f"{name}/generative": partial(self.generative_rows, name) for name in SMALL} | {
            f"{name}/all": partial(all_label_rows, context, self.choices[name].representation)
            for name, context in self.contexts.items()
        }
        draws = {name: task for one in measurements for name, task in one.tasks().items()}
        self.experiment.run_tasks({**draws, **others, **bottleneck_tasks(mnist)})
        for one in measurements:
            results = [compute() for compute in one.tasks().values()]
            self.rows += [one.row(part, results) for part in PARTS]
        self.rows += [row for rows in others.values() for row in rows()] + bottleneck_rows(mnist)

    def measurements(self) -> Iterator[Measurement]:
        """Every method on its data sets and numbers of labels, with the selected settings."""
        for name, context in self.contexts.items():
            choice = self.choices[name]
            whole = self_training_step(choice.representation, choice.graph, choice.candidate), choice.temperature
            for key, method in self.methods(name).items():
                for count in self.experiment.pick(method.counts[:1], method.counts, method.counts):
                    yield Measurement(context, key, method, count, *(whole if key == "whole" else (key,)))

    def generative_rows(self, name: str) -> list[Row]:
        """Rows of generative quality after self-training with and without the generative term."""
        full = self.self_training(name)
        methods = {"whole": full, "without-generative": with_objective(full, generative=0.0)}
        representation = self.choices[name].representation
        self.generative[name] = measure_generative_quality(self.contexts[name], representation, methods)
        return self.generative[name].rows

    def shared_seconds(self) -> dict[str, dict[str, float]]:
        """Training time of the VAEs that the methods of each data set read, in seconds."""
        seconds = {}
        for name, context in self.contexts.items():
            methods = self.methods(name).values()
            read = dict.fromkeys(key for one in methods for key in (one.representation, one.graph) if key in VAES)
            seconds[name] = {key: context.vae(key).seconds for key in read}
        return seconds

    def methods(self, name: str) -> dict[str, FewLabelMethod]:
        """Methods that are run on a data set, with its selected settings."""
        epochs = self.experiment.pick(1, 6, 60)
        methods = benchmark_methods(self.choices[name].representation, self.self_training(name), epochs)
        return {key: method for key, method in methods.items() if name in method.contexts}

    def self_training(self, name: str) -> SelfTraining:
        """Self-training with the selected settings of a data set."""
        return self_training_of(self.contexts[name], self.choices[name].graph, self.choices[name].candidate)


def make_context(experiment: Experiment, name: str) -> DatasetContext:
    """Context of a data set, with its network and augmentation."""
    source = cifar10() if name == "cifar10" else Data(source=name)
    data = experiment.data(source.model_copy(update={"validation_fraction": VALIDATION_FRACTION[name]}))
    colour = name == "cifar10"
    network = Conv(filters=(32, 64, 128), stride=(2,)) if colour else Conv()
    model = Model(latent=128 if colour else 32, network=network)
    passes, steps = experiment.pick(2, PASSES[name], 4 * PASSES[name]), experiment.pick(6, 1200, 12_000)
    return DatasetContext(experiment, name, data, model, AUGMENTATIONS[name], DIMENSIONS, passes, steps)
