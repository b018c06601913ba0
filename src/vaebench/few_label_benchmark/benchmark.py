"""climb(): the whole ladder on every data set, each cell once; rows, page and figures."""

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
from vaebench.few_label_benchmark.all_labels import bottleneck_rows, bottlenecks, full_rows
from vaebench.few_label_benchmark.context import PAIRED, PARTS, VAES, DatasetContext
from vaebench.few_label_benchmark.generative import Kept, kept
from vaebench.few_label_benchmark.published import PUBLISHED
from vaebench.few_label_benchmark.registry import CHOOSERS, SMALL, BenchmarkMethod, benchmark_methods
from vaebench.few_label_benchmark.results import TEMPERATURES, result
from vaebench.few_label_benchmark.selection import (
    CANDIDATES,
    GRAPHS,
    Choice,
    best,
    choose,
    graph_scores,
    kept_as,
    method_of,
    spreads,
    wholes,
)
from vaebench.models.networks import Conv
from vaebench.models.vae import Model

HELD_SHARE = {"mnist": 1 / 6, "fashion-mnist": 1 / 6, "quickdraw": 1 / 5, "cifar10": 1 / 5}
"""Of the training part: 10,000 images where there are 50,000 or 60,000."""
DIMENSIONS = 128
"""Of frozen representations that are compared."""
PASSES = {"mnist": 10, "fashion-mnist": 10, "quickdraw": 14, "cifar10": 10}

Task = Callable[[], object]


@dataclass
class Benchmark:
    """One ladder under way."""

    experiment: Experiment
    contexts: dict[str, DatasetContext] = field(default_factory=dict)
    choices: dict[str, Choice] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    kept: dict[str, Kept] = field(default_factory=dict)

    def run(self) -> None:
        """Choose on other data, then climb every rung: first every step, by all workers; then the rows, from what is
        kept."""
        self.contexts = {name: dataset_context(self.experiment, name) for name in HELD_SHARE}
        self.experiment.share(self.networks())
        for stage in (self.searched_graphs, self.searched_wholes):
            self.experiment.share(stage())
        self.choices = {name: choose(self.contexts, name) for name in self.contexts}
        self.experiment.share(self.measurements())
        self.collect()

    def networks(self) -> dict[str, Task]:
        """The VAEs that are read, and the graphs of those that are chosen from."""
        return {
            f"{name}/{key}": partial(one.vae, key)
            for name, one in self.contexts.items()
            for key in VAES
            if name in SMALL or key == "elbo" or key.startswith("contrastive") or (name in CHOOSERS and key in PAIRED)
        }

    def searched_graphs(self) -> dict[str, Task]:
        """The search for representation and graph."""
        found: dict[str, Task] = {}
        for name in self.contexts:
            for representation, graph in product(PAIRED, GRAPHS):
                found |= spreads(self.contexts, name, representation, graph)
        return found

    def searched_wholes(self) -> dict[str, Task]:
        """The search for the whole method, on what that chose."""
        found: dict[str, Task] = {}
        for name in self.contexts:
            representation, graph = best(graph_scores(self.contexts, name))
            for candidate in CANDIDATES:
                found |= wholes(self.contexts, name, representation, graph, candidate)
        return found

    def measurements(self) -> dict[str, Task]:
        """Everything that is measured once choices are made."""
        found: dict[str, Task] = {}
        for name, one in self.contexts.items():
            for key, rung in self.methods(name).items():
                if name in rung.contexts:
                    for count, draw in self.draws(one, rung):
                        found[f"{name}/{key}/{count}-{draw}"] = partial(self.result, one, key, rung, count, draw)
        found |= {f"{name}/generative": partial(self.generative, name) for name in SMALL}
        found |= {
            f"{name}/all": partial(full_rows, self.experiment, one, self.choices[name])
            for name, one in self.contexts.items()
        }
        return found | bottlenecks(self.experiment, self.contexts["mnist"])

    def collect(self) -> None:
        """All rows."""
        for name, one in self.contexts.items():
            for key, rung in self.methods(name).items():
                if name in rung.contexts:
                    self.rows += self.curve(one, key, rung)
        for name in SMALL:
            self.kept[name] = self.generative(name)
            self.rows += self.kept[name].rows
        for name, one in self.contexts.items():
            self.rows += full_rows(self.experiment, one, self.choices[name])
        self.rows += bottleneck_rows(self.experiment, self.contexts["mnist"])

    def shared_seconds(self) -> dict[str, dict[str, float]]:
        """Seconds of training of the VAEs that the rungs of each data set read."""
        found = {}
        for name, one in self.contexts.items():
            read = [
                (rung.method.codes, rung.method.graph) for rung in self.methods(name).values() if name in rung.contexts
            ]
            used = dict.fromkeys(key for pair in read for key in pair if key in VAES)
            found[name] = {key: one.vae(key).seconds for key in used}
        return found

    def generative(self, name: str) -> Kept:
        """What the whole method, with its generative term and without, leaves of the VAE."""
        choice = self.choices[name]
        whole = method_of(self.contexts[name], choice.graph, choice.candidate)
        without = whole.model_copy(update={"objective": whole.objective.model_copy(update={"generative": 0.0})})
        return kept(self.contexts[name], choice.representation, {"whole": whole, "without-generative": without})

    def methods(self, name: str) -> dict[str, BenchmarkMethod]:
        """The ladder of one data set."""
        choice, one = self.choices[name], self.contexts[name]
        method = method_of(one, choice.graph, choice.candidate)
        return benchmark_methods(choice.representation, method, self.experiment.pick(1, 6, 60))

    def draws(self, one: DatasetContext, rung: BenchmarkMethod) -> list[tuple[int, int]]:
        """Labels a class and draw of every cell of a method on a data set."""
        counts = self.experiment.pick(rung.counts[:1], rung.counts, rung.counts)
        tried = {count: rung.draws_at(one.name, count) for count in counts}
        return [
            (count, draw) for count in counts for draw in range(self.experiment.pick(1, tried[count], tried[count]))
        ]

    def result(self, one: DatasetContext, key: str, rung: BenchmarkMethod, count: int, draw: int) -> dict[str, Any]:
        """One draw of a method."""
        choice = self.choices[one.name]
        name = kept_as(choice.representation, choice.graph, choice.candidate) if key == "whole" else key
        return result(one, name, rung.method, rung.settings, count, draw)

    def curve(self, one: DatasetContext, key: str, rung: BenchmarkMethod) -> list[dict[str, Any]]:
        """The rows of one method on one data set."""
        found, draws = [], self.draws(one, rung)
        for count in dict.fromkeys(count for count, _ in draws):
            cells = [self.result(one, key, rung, count, draw) for at, draw in draws if at == count]
            temperature = self.choices[one.name].temperature if key == "whole" else 1.0
            found += [row(one, key, rung, count, part, cells, temperature) for part in PARTS]
        return found


def dataset_context(experiment: Experiment, name: str) -> DatasetContext:
    """A data set with its network and its augmentation."""
    source = cifar10() if name == "cifar10" else Data(source=name)
    data = experiment.data(source.model_copy(update={"validation_share": HELD_SHARE[name]}))
    colour = name == "cifar10"
    network = Conv(filters=(32, 64, 128), stride=(2,)) if colour else Conv()
    model = Model(latent=128 if colour else 32, network=network)
    passes, steps = experiment.pick(2, PASSES[name], 4 * PASSES[name]), experiment.pick(6, 1200, 12_000)
    return DatasetContext(experiment, name, data, model, AUGMENTATIONS[name], DIMENSIONS, passes, steps)


def _at(cells: list[dict[str, Any]], score: str, temperature: float) -> float:
    return float(np.mean([found["tempered"][score][TEMPERATURES.index(temperature)] for found in cells]))


def row(
    one: DatasetContext,
    key: str,
    rung: BenchmarkMethod,
    count: int,
    part: str,
    cells: list[dict[str, Any]],
    temperature: float = 1.0,
) -> dict[str, Any]:
    """One row: an accuracy with its spread over draws, what it cost, and what it knew beforehand."""
    values = [found[part] for found in cells]
    published = PUBLISHED.get(key, {}).get((one.name, count))
    uniform = [found[f"uniform_{part}"] for found in cells if f"uniform_{part}" in found]
    return {
        "data": one.name,
        "split": part,
        "method": key,
        "words": rung.words,
        "group": rung.group,
        "labels_per_class": count,
        "metric": "accuracy",
        **summary(values),
        "worst": min(values),
        "uniform_assumed": float(np.mean(uniform)) if uniform else None,
        "temperature": temperature,
        "calibration_error": _at(cells, f"calibration_{part}", temperature),
        "log_loss": _at(cells, f"log_loss_{part}", temperature),
        "seconds": float(np.mean([found["seconds"] for found in cells])),
        "images": int(np.mean([found["images"] for found in cells])),
        "augmentation": one.known(rung.knowledge).amounts or None,
        "published": published[0] if published else None,
        "source": published[1] if published else None,
        "budget": one.experiment.budget,
    }
