"""Networks trained once: weights and history are kept under everything that decided them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vaebench.core.errors import OtherTrainingError
from vaebench.core.frozen import stable_key
from vaebench.core.steps import StepCache, as_json, content_key
from vaebench.data.images import Dataset, Images, Source
from vaebench.experiments.trained import TrainedModel
from vaebench.models.loss import Objective
from vaebench.training.checkpoint import Checkpoint, read_tensors, write_tensors
from vaebench.training.compute import Compute, machine
from vaebench.training.loop import Training, TrainingEvent, TrainingResult, train


@dataclass(frozen=True)
class TrainingJob:
    """Everything that decides the weights of one network."""

    data: Dataset
    build: Callable[[], nn.Module]
    """Returns the untrained network; called with torch seeded."""
    sources: tuple[Source, Source | None]
    """Training data, and validation data that selects the epoch; without the latter the last epoch is kept."""
    objective: Objective
    training: Training
    seed: int
    network: dict[str, Any]
    """Identifies the network as JSON values."""

    def identity(self, compute: Compute) -> dict[str, Any]:
        """Identity of the kept weights, as JSON values."""
        identity: dict[str, Any] = as_json(
            {
                **self.network,
                "objective": stable_key(self.objective),
                "training": self.training.model_dump(),
                "compute": compute.model_dump(exclude={"threads"}),
                "data": self.data.fingerprint,
                "seed": self.seed,
            }
        )
        return identity

    def train(
        self, checkpoint: Checkpoint, compute: Compute, callback: Callable[[TrainingEvent], None]
    ) -> TrainingResult:
        """Train the network, continuing from the checkpoint where there is one of the same job."""
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            network = self.build()
        try:
            checkpoint.load()
        except OtherTrainingError:  # left by an older recipe: this training cannot continue from it
            checkpoint.clear()
        return train(
            network,
            self.objective,
            _on_device(self.sources[0], compute),
            self.training,
            compute=compute,
            seed=self.seed,
            validation=self.sources[1],
            checkpoint=checkpoint,
            callback=callback,
        )


def trained_model(
    cache: StepCache, name: str, job: TrainingJob, compute: Compute, callback: Callable[[TrainingEvent], None]
) -> TrainedModel:
    """Return the network of this job, trained now or in an earlier call; kept as ``networks/NAME.safetensors``.

    A network that another worker is training is left to it, so that several workers that run through the same steps
    train different networks; the first use of its record or weights waits.
    """
    path, identity = cache.folder / "networks" / f"{name}.safetensors", job.identity(compute)

    def read(wait: bool = True) -> dict[str, Any] | None:
        with cache.exclusive(f"networks/{name}", wait) as acquired:
            if not acquired:
                return None
            record = cache.read(path.with_suffix(".json"), identity)
            if record is None or not path.exists():
                record = _train(cache, name, path, job, compute, callback)
        cache.note(name, record)
        return record

    def load() -> nn.Module:
        network = job.build()
        network.load_state_dict(read_tensors(path)[0])
        return network.to(compute.device).eval()

    record = read(wait=False)
    return TrainedModel(content_key(identity), job.data, lambda: record or read() or {}, load)


def _train(
    cache: StepCache,
    name: str,
    path: Path,
    job: TrainingJob,
    compute: Compute,
    callback: Callable[[TrainingEvent], None],
) -> dict[str, Any]:
    identity = job.identity(compute)
    there = {"machine": machine(), "threads": compute.threads}  # with others the bits would be neither's
    checkpoint = Checkpoint(path.with_name(f"{path.stem}.checkpoint"), as_json({**identity, **there}))
    cache.computed.append(name)
    trained = job.train(checkpoint, compute, callback)
    cache.seconds[name] = trained.seconds
    cache.spent += trained.seconds
    write_tensors(path, trained.model.state_dict(), {"name": name})
    record = {"history": trained.history, "best_epoch": trained.best_epoch}
    record = cache.write(path.with_suffix(".json"), name, identity, record)
    checkpoint.clear()
    return record


def _on_device(source: Source, compute: Compute) -> Source:
    """Return images on the device; binarised ones are drawn anew at each visit."""
    return source.to(compute.device or "cpu").training_source if isinstance(source, Images) else source
