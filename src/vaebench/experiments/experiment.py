"""Study: one subject under one budget. Every training and every measurement is a step that is done once and kept."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from vaebench.core.errors import OtherTrainingError
from vaebench.core.files import atomic, read_json, write_arrays, write_json
from vaebench.core.frozen import stable_key
from vaebench.core.locks import file_lock
from vaebench.core.progress import ProgressCallback, ProgressEvent
from vaebench.data.datasets import Data
from vaebench.data.download import find
from vaebench.data.images import Dataset, Images, Source
from vaebench.evaluation.probes import Head, Probe
from vaebench.evaluation.scores import Split, head_curves, score
from vaebench.experiments.info import Budget, ExperimentInfo
from vaebench.experiments.trained import ProbeInput, TrainedModel
from vaebench.models.loss import Objective
from vaebench.models.vae import VAE, Model
from vaebench.plotting.style import STYLE, png
from vaebench.training.checkpoint import Checkpoint, read_tensors, write_tensors
from vaebench.training.compute import Compute, machine
from vaebench.training.loop import Training, TrainingEvent, train

T = TypeVar("T")
FIGURE_DPI = 100
QUICK_PER_CLASS = 30
"""Images a class, in each official part, that the quick budget looks at."""


@dataclass
class Experiment:
    """One subject under one budget, in its own folder."""

    subject: ExperimentInfo
    budget: Budget
    folder: Path
    compute: Compute
    callback: ProgressCallback = lambda tick: None
    seeds_asked: int | None = None
    workers: int = 1
    """Processes that do the steps of this study together."""
    took: dict[str, float] = field(default_factory=dict)
    """What each step of this study took when it was made, in seconds."""
    accounted: float = 0.0
    """Seconds of what was made so far in this call."""
    made: list[str] = field(default_factory=list)
    """Steps that were not there and were made now."""
    drawn: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.datasets: dict[str, Dataset] = {}
        self.expected = 60 * self.subject.minutes[self.budget]

    @property
    def seconds(self) -> float:
        """What the steps of this study took in all."""
        return float(sum(self.took.values()))

    @property
    def device(self) -> str:
        """The machine in words."""
        here = machine()
        return here["gpu"] or f"{here['cores']} cores"

    def pick(self, quick: T, cpu: T, full: T) -> T:
        """The value for this budget."""
        return {"quick": quick, "cpu": cpu, "full": full}[self.budget]

    def seeds(self, cpu: int = 1) -> range:
        """Seeds 0, 1, ...: one in quick, ``cpu`` of them otherwise, or what ``--seeds`` asked."""
        return range(self.seeds_asked or self.pick(1, cpu, cpu))

    def data(self, data: Data) -> Dataset:
        """A data set; the quick budget keeps the first few images of each class."""
        if self.budget == "quick" and (data.per_class is None or data.per_class > QUICK_PER_CLASS):
            data = data.model_copy(update={"per_class": QUICK_PER_CLASS})
        name = data.model_dump_json()
        if name not in self.datasets:
            self.datasets[name] = data.load(lambda what, share: self.tell(what))
        return self.datasets[name]

    # -- steps ---------------------------------------------------------------------------------------------------

    def step(self, name: str, identity: dict[str, Any], make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """A measurement as a JSON object: read if it was made under this identity, else made and kept.

        Args:
            name: the step's file under ``steps/``; slashes make folders.
            identity: all that decides the result, as JSON values (keys of trials, seeds, settings).
            make: does it.
        """
        path = self.folder / "steps" / f"{name}.json"
        with self._alone(name):
            if (kept := self._kept(path, identity)) is None:
                with self._timed(name):
                    result = make()
                kept = {"identity": _plain(identity), "seconds": self.took[name], "result": result}
                write_json(path, kept | {"machine": self._machine()})
                kept = read_json(path)
        self.took[name] = kept["seconds"]
        result = kept["result"]
        return dict(result)

    def arrays(
        self, name: str, identity: dict[str, Any], make: Callable[[], dict[str, np.ndarray]]
    ) -> dict[str, np.ndarray]:
        """A measurement as named arrays, kept as ``steps/NAME.npz`` beside its identity."""
        path, values = self.folder / "steps" / f"{name}.json", self.folder / "steps" / f"{name}.npz"
        with self._alone(name):
            if (kept := self._kept(path, identity)) is None or not values.exists():
                with self._timed(name):
                    result = make()
                kept = {"identity": _plain(identity), "seconds": self.took[name], "result": {}}
                write_arrays(values, result)
                write_json(path, kept | {"machine": self._machine()})
        self.took[name] = kept["seconds"]
        with np.load(values, allow_pickle=False) as found:
            return dict(found)

    def vae(
        self, name: str, data: Dataset, model: Model, objective: Objective, training: Training, seed: int = 0
    ) -> TrainedModel:
        """A VAE trained without labels; validation chooses the epoch."""

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
        """Any network trained on ``parts`` (to train on; to choose the epoch by, or none, which keeps the last);
        ``identity`` describes it."""
        path = self.folder / "networks" / f"{name}.safetensors"
        identity = _plain(
            {
                **identity,
                "objective": stable_key(objective),
                "training": training.model_dump(),
                "compute": self.compute.model_dump(exclude={"threads"}),
                "data": self.fingerprint(data),
                "seed": seed,
            }
        )
        with self._alone(f"networks/{name}"):
            kept = self._kept(path.with_suffix(".json"), identity)
            if kept is None or not path.exists():
                kept = self._train(name, path, build, parts, objective, training, seed, identity)
        self.took[name] = kept["seconds"]

        def load() -> nn.Module:
            network = build()
            network.load_state_dict(read_tensors(path)[0])
            return network.to(self.compute.device).eval()

        return TrainedModel(_key(identity), data, kept["history"], kept["best_epoch"], kept["seconds"], load)

    def _train(
        self,
        name: str,
        path: Path,
        build: Callable[[], nn.Module],
        parts: tuple[Source, Source | None],
        objective: Objective,
        training: Training,
        seed: int,
        identity: dict[str, Any],
    ) -> dict[str, Any]:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = build()
        checkpoint = Checkpoint(
            self.folder / "networks" / f"{name}.checkpoint", _plain({**identity, "machine": machine()})
        )
        try:
            checkpoint.load()
        except OtherTrainingError:  # of an older recipe: nothing that this training could go on from
            checkpoint.clear()
        self.made.append(name)
        trained = train(
            network,
            objective,
            _placed(parts[0], self.compute),
            training,
            compute=self.compute,
            seed=seed,
            validation=parts[1],
            checkpoint=checkpoint,
            callback=lambda at: self.tell(name, at),
        )
        kept = {
            "identity": identity,
            "seconds": trained.seconds,
            "history": trained.history,
            "best_epoch": trained.best_epoch,
        }
        self.accounted += trained.seconds
        write_tensors(path, network.state_dict(), {"name": name})
        write_json(path.with_suffix(".json"), kept | {"machine": self._machine()})
        checkpoint.clear()
        return kept

    def probe(self, name: str, probe: Probe, reading: ProbeInput, classes: int, seed: int = 0) -> dict[str, Any]:
        """A probe fitted and tested; see :func:`vaebench.evaluation.scores.score` for what is returned."""
        identity = {"probe": stable_key(probe), "reading": reading.key, "seed": seed}
        return self.step(name, identity, lambda: score(probe, reading.split, classes, seed, self.compute))

    def curves(self, name: str, head: Head, reading: ProbeInput, classes: int, seed: int = 0) -> dict[str, Any]:
        """A head with its curves, its epoch chosen on validation, as :func:`vaebench.evaluation.scores.head_curves`."""
        identity = {"head": stable_key(head), "reading": reading.key, "seed": seed}
        return self.step(name, identity, lambda: head_curves(head, reading.split, classes, seed, self.compute))

    def images(self, data: Dataset) -> ProbeInput:
        """The images themselves, for networks that read them."""
        return ProbeInput(self.fingerprint(data), lambda: Split(data.train, data.validation, data.test))

    def fingerprint(self, data: Dataset) -> str:
        """Names the very images, labels and split of a data set."""
        known: dict[int, str] = self.__dict__.setdefault("_fingerprints", {})
        if id(data) not in known:
            parts = (data.train, data.validation, data.test)
            known[id(data)] = _key([part.fingerprint() for part in parts])
            self.datasets.setdefault(known[id(data)], data)  # keeps the object, so that its id stays its own
        return known[id(data)]

    # -- figures and progress --------------------------------------------------------------------------------------

    def figure(self, name: str, draw: Callable[[], Figure]) -> None:
        """Draw one of the subject's figures in the house style.

        Raises:
            KeyError: the subject has no caption for it.
        """
        self.subject.captions[name]
        with matplotlib.rc_context(STYLE):
            self.drawn[name] = png(draw(), FIGURE_DPI)
        path = self.folder / "figures" / f"{name}.png"
        with atomic(path) as temporary:
            temporary.write_bytes(self.drawn[name])

    def tell(self, what: str, at: TrainingEvent | None = None) -> None:
        """Report progress: the whole study's, and what is being done now."""
        share = self.seconds / self.expected if self.expected else 0.0
        left = max(0.0, self.expected - self.seconds)
        note = what if at is None else f"{what}, step {at.step:,} of {at.steps:,}, {at.seconds_left:.0f} s left"
        self.callback(ProgressEvent(self.subject.title_in_short, min(share, 0.99), left, note=note))

    def telling(self, what: str) -> Callable[[float], None]:
        """Reports the share of a step that is done, to whoever calls it."""
        return lambda share: self.tell(f"{what}, {share:.0%} of it done")

    def finish(self) -> None:
        """Say that all is done."""
        self.callback(ProgressEvent(self.subject.title_in_short, 1.0, 0.0, note="done"))

    def share(self, tasks: Mapping[str, Callable[[], object]]) -> None:
        """Do all tasks, each by one of the workers. Those that another hand is at are left to it."""
        for name, task in tasks.items():
            if self.workers == 1:
                task()
                continue
            with file_lock(self.folder / "claims" / "tasks" / f"{name}.lock", patient=False) as mine:
                if mine:
                    task()

    def _alone(self, name: str) -> AbstractContextManager[object]:
        """Held while a step is read or made, so that no other hand makes it too."""
        return nullcontext() if self.workers == 1 else file_lock(self.folder / "claims" / "steps" / f"{name}.lock")

    def _machine(self) -> dict[str, Any]:
        """What this step is made on."""
        return {"processor": machine()["processor"], "precision": self.compute.precision, "workers": self.workers}

    def _kept(self, path: Path, identity: dict[str, Any]) -> dict[str, Any] | None:
        if not path.exists():
            return None
        kept: dict[str, Any] = read_json(path)
        return kept if kept["identity"] == _plain(identity) else None

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        """A step's own seconds: those of steps and trainings that it called for are theirs."""
        self.tell(name)
        self.made.append(name)
        start, before = time.monotonic(), self.accounted
        yield
        own = time.monotonic() - start - (self.accounted - before)
        self.took[name] = max(own, 0.0)  # a resumed training counts what it took before, too
        self.accounted += self.took[name]


def cifar10() -> Data:
    """CIFAR-10: the JPEG copy where $VAEBENCH_DATA holds one, else the official set."""
    copy = find("cifar-10", "cifar-10-jpeg.zip")
    return Data(source="cifar10" if copy is None else str(copy), channels=3)


def of_classes(trials: Sequence[dict[str, Any]], what: str = "accuracy") -> list[float]:
    """One value a seed out of the results of :meth:`Study.probe`."""
    return [float(result[what]) for result in trials]


def _placed(source: Source, compute: Compute) -> Source:
    """Images on the device, those that are binarised to be drawn anew at each visit."""
    return source.to(compute.device or "cpu").training_source if isinstance(source, Images) else source


def _plain(value: Any) -> Any:
    """The value as it comes back from JSON."""
    return json.loads(json.dumps(value))


def _key(value: Any) -> str:
    return hashlib.blake2b(json.dumps(_plain(value), sort_keys=True).encode(), digest_size=12).hexdigest()
