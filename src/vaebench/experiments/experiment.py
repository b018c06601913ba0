"""Experiment: one protocol under one budget, its steps, networks and figures kept in one folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from matplotlib.figure import Figure
from torch import nn

from vaebench.core.frozen import stable_key
from vaebench.core.progress import ProgressCallback, ProgressEvent
from vaebench.core.steps import Arrays, StepCache
from vaebench.data.datasets import Data
from vaebench.data.download import find
from vaebench.data.images import Dataset, Source
from vaebench.evaluation.probes import Head, Probe
from vaebench.evaluation.scores import Split, head_curves, score
from vaebench.experiments.figures import FigureWriter
from vaebench.experiments.info import Budget, ExperimentInfo
from vaebench.experiments.networks import TrainingJob, trained_model
from vaebench.experiments.trained import ProbeInput, TrainedModel
from vaebench.models.loss import Objective
from vaebench.models.vae import VAE, VAEModel
from vaebench.training.compute import Compute, machine
from vaebench.training.loop import Training, TrainingEvent

T = TypeVar("T")
QUICK_PER_CLASS = 30
"""Images of each class, in each official part, that the quick budget uses."""


@dataclass
class Experiment:
    """One protocol under one budget, in its own folder.

    The work is done by its parts: ``cache`` keeps steps, ``figures`` draws, :func:`trained_model` trains.
    """

    info: ExperimentInfo
    budget: Budget
    folder: Path
    compute: Compute
    callback: ProgressCallback = lambda event: None
    requested_seeds: int | None = None
    workers: int = 1
    """Processes that share the steps."""

    def __post_init__(self) -> None:
        self.datasets: dict[str, Dataset] = {}
        self.expected_seconds = 60 * self.info.minutes[self.budget]
        here = {
            "processor": machine()["processor"],
            "precision": self.compute.precision,
            "threads": self.compute.threads,
        }
        self.cache = StepCache(self.folder, self.workers, here, self.report)
        self.figures = FigureWriter(self.folder / "figures", self.info.captions)

    @property
    def seconds(self) -> float:
        """Seconds that all steps took, in this call or an earlier one."""
        return float(sum(self.cache.seconds.values()))

    @cached_property
    def device(self) -> str:
        """GPU name, or number of cores of a training."""
        here = machine()
        cores = f"{here['cores']} cores"
        return here["gpu"] or (cores if self.workers == 1 else f"one of {cores}")

    def pick(self, quick: T, cpu: T, full: T) -> T:
        """Return the value for this budget."""
        return {"quick": quick, "cpu": cpu, "full": full}[self.budget]

    def seeds(self, cpu: int = 1) -> range:
        """Return seeds 0, 1, ...: one in quick, otherwise ``cpu`` of them, or as many as ``--seeds`` asked for."""
        return range(self.requested_seeds or self.pick(1, cpu, cpu))

    def data(self, data: Data) -> Dataset:
        """Load a data set once; the quick budget keeps the first few images of each class."""
        if self.budget == "quick" and (data.per_class is None or data.per_class > QUICK_PER_CLASS):
            data = data.model_copy(update={"per_class": QUICK_PER_CLASS})
        name = data.model_dump_json()
        if name not in self.datasets:
            self.datasets[name] = data.load(lambda task, fraction: self.report(task))
        return self.datasets[name]

    @property
    def computed(self) -> list[str]:
        """Names of the steps that this call computed."""
        return self.cache.computed

    def provenance(self, commit: str | None) -> dict[str, Any]:
        """Return how the results were computed, for the page that shows them."""
        return {
            "seconds": round(sum(self.cache.wall_seconds.values()), 1),
            "workers": self.workers,
            "date": time.strftime("%Y-%m-%d"),
            "commit": commit,
            "machine": machine(),
            "compute": self.compute.model_dump(),
        }

    # -- steps ---------------------------------------------------------------------------------------------------

    def step(self, name: str, identity: dict[str, Any], compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return a JSON object, computed once; see :meth:`StepCache.json`."""
        return self.cache.json(name, identity, compute)

    def arrays(self, name: str, identity: dict[str, Any], compute: Callable[[], Arrays]) -> Arrays:
        """Return named arrays, computed once; see :meth:`StepCache.arrays`."""
        return self.cache.arrays(name, identity, compute)

    def vae(
        self, name: str, data: Dataset, model: VAEModel, objective: Objective, training: Training, seed: int = 0
    ) -> TrainedModel:
        """Return a VAE trained without labels; the validation images select the epoch."""

        def build() -> VAE:
            return model.build(data.train.shape)

        parts = data.train.without_labels(), data.validation.without_labels()
        return self.network(name, data, build, parts, objective, training, seed, {"model": model.model_dump()})

    def network(
        self,
        name: str,
        data: Dataset,
        build: Callable[[], nn.Module],
        parts: tuple[Source, Source | None],
        objective: Objective,
        training: Training,
        seed: int,
        identity: dict[str, Any],
    ) -> TrainedModel:
        """Return any network, trained once; the arguments are the fields of :class:`TrainingJob`."""
        job = TrainingJob(data, build, parts, objective, training, seed, identity)
        return trained_model(self.cache, name, job, self.compute, lambda event: self.report(name, event))

    def probe(self, name: str, probe: Probe, data: ProbeInput, classes: int, seed: int = 0) -> dict[str, Any]:
        """Return the test scores of a probe; see :func:`vaebench.evaluation.scores.score`."""
        identity = {"probe": stable_key(probe), "reading": data.key, "seed": seed}
        return self.step(name, identity, lambda: score(probe, data.split, classes, seed, self.compute))

    def curves(self, name: str, head: Head, data: ProbeInput, classes: int, seed: int = 0) -> dict[str, Any]:
        """Return a head's curves by epoch; see :func:`vaebench.evaluation.scores.head_curves`."""
        identity = {"head": stable_key(head), "reading": data.key, "seed": seed}
        return self.step(name, identity, lambda: head_curves(head, data.split, classes, seed, self.compute))

    def images(self, data: Dataset) -> ProbeInput:
        """Return the images themselves, for networks that read them."""
        return ProbeInput(data.fingerprint, lambda: Split(data.train, data.validation, data.test))

    def run_tasks(self, tasks: Mapping[str, Callable[[], object]]) -> None:
        """Run every task once among all workers, before their results are read one after the other."""
        self.cache.run_tasks(tasks)

    def figure(self, name: str, make: Callable[[], Figure]) -> None:
        """Draw one of the experiment's figures; see :meth:`FigureWriter.draw`."""
        self.figures.draw(name, make)

    # -- progress ------------------------------------------------------------------------------------------------

    def report(self, step: str, event: TrainingEvent | None = None) -> None:
        """Report the fraction done and the time left of the whole experiment, and the current step."""
        done = self.seconds / self.expected_seconds if self.expected_seconds else 0.0
        left = max(0.0, self.expected_seconds - self.seconds)
        note = step
        if event is not None:
            note += f", step {event.step:,} of {event.steps:,}, {event.seconds_left:.0f} s left"
        self.callback(ProgressEvent(self.info.title_in_short, min(done, 0.99), left, note=note))

    def progress_callback(self, step: str) -> Callable[[float], None]:
        """Return a callback for the completed fraction of a step."""
        return lambda fraction: self.report(f"{step}, {fraction:.0%} of it done")

    def finish(self) -> None:
        """Report that everything is done."""
        self.callback(ProgressEvent(self.info.title_in_short, 1.0, 0.0, note="done"))


def cifar10() -> Data:
    """Return CIFAR-10: the JPEG copy where $VAEBENCH_DATA holds one, else the official set."""
    copy = find("cifar-10", "cifar-10-jpeg.zip")
    return Data(source="cifar10" if copy is None else str(copy), channels=3)
