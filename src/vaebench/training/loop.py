"""The training loop of every model and objective, and its configuration."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from vaebench.core.frozen import Frozen
from vaebench.data.draws import epoch_batches
from vaebench.data.images import Source
from vaebench.models.loss import AttachableObjective, Objective
from vaebench.training.averaging import moving_average
from vaebench.training.checkpoint import (
    Checkpoint,
    generator_tensors,
    join_groups,
    optimiser_tensors,
    restore_generators,
    restore_optimiser,
    select_prefix,
)
from vaebench.training.compute import Compute
from vaebench.training.distributed import DistributedContext, current_context
from vaebench.training.metrics import MetricAccumulator, validate
from vaebench.training.numerics import CLEAR_EVERY, FiniteCheck, clear_subnormals
from vaebench.training.schedules import Adam, AnyOptimiser, AnySchedule, OneCycle
from vaebench.training.stopping import stoppable
from vaebench.training.threads import ThreadTuner

Callback = Callable[["TrainingEvent"], None]


class Training(Frozen):
    """Configuration of a training."""

    epochs: int = Field(12, ge=1)
    batch: int = Field(128, ge=1)
    """Images per step."""
    optimiser: AnyOptimiser = Adam(rate=5e-3, beta2=0.99)
    schedule: AnySchedule = OneCycle()
    clip_value: float | None = Field(None, gt=0)
    """Largest absolute value of a gradient."""
    clip_norm: float | None = Field(None, gt=0)
    """Largest norm of all gradients together."""
    ema: float = Field(0.0, ge=0, lt=1)
    """Decay per step of the averaged weights, which are validated and kept; 0 keeps the weights themselves."""
    patience: int | None = Field(None, ge=1)
    """Number of epochs without a better validation loss after which to stop; none never stops early."""
    checkpoint_seconds: float = Field(20.0, ge=0)
    """Seconds between checkpoints: the most work that is lost when the process is killed."""


class TrainingEvent(NamedTuple):
    """Progress of a training, passed to its callback within epochs and at the end of each."""

    step: int
    steps: int
    seconds_left: float
    epoch: dict[str, Any] | None
    """Record of the epoch that just ended, or None within an epoch."""


@dataclass
class TrainingResult:
    """A trained model, with its best weights and in evaluation mode, and its history."""

    model: nn.Module
    history: list[dict[str, Any]]
    """One record per epoch: means of loss and components in training and validation, nats per image; ``trace`` has
    the means over every 50 steps of training."""
    best_epoch: int
    seconds: float
    threads: list[tuple[int, int]]
    """Step and number of threads at each change; the bits depend on them."""


def train(
    model: nn.Module,
    objective: Objective,
    source: Source,
    training: Training,
    *,
    compute: Compute,
    seed: int = 0,
    validation: Source | None = None,
    checkpoint: Checkpoint | None = None,
    callback: Callback | None = None,
) -> TrainingResult:
    """Train a model with one optimiser step per batch, and keep the weights with the lowest validation loss.

    The same arguments give the same bits, whether or not the training is stopped and resumed from ``checkpoint``. The
    processes of a torch.distributed group share each batch and end with the same weights; the main one alone writes
    checkpoints and calls ``callback``.

    Raises:
        FloatingPointError: the loss is not finite; step and components are named, the checkpoint is the last good one.
        KeyboardInterrupt: Ctrl-C, after the checkpoint is written.
        VaebenchError: the checkpoint belongs to another training.
    """
    compute = compute.resolve()
    with torch.random.fork_rng(), stoppable() as stop_requested, compute.matmul_precision():
        if isinstance(objective, AttachableObjective):
            torch.manual_seed(seed)
            objective.attach(model)
        run = _TrainingRun(
            compute.place(model), objective, source, training, compute, seed, validation, checkpoint, callback,
            current_context(),
        )  # fmt: skip
        run.resume()
        while run.epoch < training.epochs and not run.out_of_patience():
            for rows in run.remaining_batches():
                with run.tuner.timed(run.step):
                    run.take_step(rows)
                save, stop = run.context.any_process(run.step, run.checkpoint_due(), stop_requested())
                if save or stop:
                    run.save()
                if stop:
                    raise KeyboardInterrupt
            run.end_epoch()
        return run.finish()


def seed_of_epoch(seed: int, epoch: int) -> int:
    """Seed of the noise, dropout and augmentation of an epoch."""
    return seed * 1_000_003 + epoch


@dataclass
class _TrainingRun:
    """State of a training in progress."""

    model: nn.Module
    objective: Objective
    source: Source
    training: Training
    compute: Compute
    seed: int
    validation: Source | None
    checkpoint: Checkpoint | None
    callback: Callback | None
    context: DistributedContext
    epoch: int = 0
    step: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    best_epoch: int = -1
    metrics: MetricAccumulator = field(default_factory=MetricAccumulator)
    seconds_before: float = 0.0

    def __post_init__(self) -> None:
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.optimiser = self.training.optimiser.build(self.parameters)
        decay = self.training.ema
        self.averaged = (
            AveragedModel(self.model, multi_avg_fn=moving_average(decay), use_buffers=True) if decay else None
        )
        self.evaluated: nn.Module = self.model if self.averaged is None else self.averaged.module
        self.loss = self.context.loss_function(self.model, self.compute.compile_objective(self.objective))
        self.steps_per_epoch = sum(1 for _ in self._batches(0))
        self.steps = self.steps_per_epoch * self.training.epochs
        self.finite = FiniteCheck(self.steps)
        self.tuner = ThreadTuner(self.compute.maximum_threads if self.compute.threads is None else 1)
        self.first_step, self.started, self.saved = 0, time.monotonic(), time.monotonic()
        self.last_event = 0.0

    def _batches(self, epoch: int) -> Iterator[Tensor]:
        batches = epoch_batches(self.source, self.training.batch, (self.seed, epoch))
        return (rows for rows in batches if self.context.size == 1 or len(rows) >= 2 * self.context.size)

    def remaining_batches(self) -> Iterator[Tensor]:
        """Set the model to training mode, seed a new epoch, and return the rows of the remaining batches of the
        epoch."""
        if self.step == self.epoch * self.steps_per_epoch:
            torch.manual_seed(self.context.process_seed(seed_of_epoch(self.seed, self.epoch)))
        self.model.train()
        return islice(self._batches(self.epoch), self.step - self.epoch * self.steps_per_epoch, None)

    def take_step(self, rows: Tensor) -> None:
        """Take one step of the optimiser on these rows."""
        progress = self.step / self.steps
        for group in self.optimiser.param_groups:
            group["lr"] = self.training.optimiser.rate * self.training.schedule(progress)
        shard = self.context.shard(rows)
        batch = self.source.batch(shard).to(self.compute.device)
        with self.compute.autocast():
            output = self.loss(batch, progress)
        self.optimiser.zero_grad(set_to_none=True)
        weight = len(shard) * self.context.size / len(rows)  # gradients are averaged over processes, not over images
        (output.loss if weight == 1 else output.loss * weight).backward()
        if self.training.clip_value is not None:
            nn.utils.clip_grad_value_(self.parameters, self.training.clip_value)
        if self.training.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.training.clip_norm)
        with self.compute.autocast():  # affects the matrix products of Muon only
            self.optimiser.step()
        if self.averaged is not None:
            self.averaged.update_parameters(self.model)
        self.step += 1
        if self.step % CLEAR_EVERY == 0:
            clear_subnormals(self.optimiser)
        self.metrics.update(self.step, output, len(shard))
        self.finite.add(self.step, output)
        self.notify(None)

    def notify(self, epoch: dict[str, Any] | None) -> None:
        """Call the callback at the end of an epoch, and at most every 0.2 seconds within one."""
        now = time.monotonic()
        if self.callback is None or not self.context.is_main or (epoch is None and now - self.last_event < 0.2):
            return
        self.last_event = now
        done = self.step - self.first_step
        left = (now - self.started) / max(done, 1) * (self.steps - self.step)
        self.callback(TrainingEvent(self.step, self.steps, left, epoch))

    def end_epoch(self) -> None:
        """Validate, keep the weights if they are the best, and save a checkpoint if it is due."""
        self.finite.check()
        self.context.reduce_metrics(self.metrics)
        record = self.context.broadcast(self.epoch_record)
        if not math.isfinite(loss := record.get("validation_loss", 0.0)):
            prefix = "validation_"
            means = {name.removeprefix(prefix): value for name, value in record.items() if name.startswith(prefix)}
            raise self.finite.error(f"the validation loss is {loss} at step {self.step}", means)
        self.epoch += 1
        self.metrics = MetricAccumulator()
        if self._is_best(record):
            self.best_epoch = self.epoch
            if self.validation is not None:  # otherwise the last weights are kept
                self.best = {name: value.detach().clone() for name, value in self.evaluated.state_dict().items()}
        self.history.append(record)
        self.notify(record)  # before the checkpoint, so that a callback killed here is called again on resume
        if self.context.any_process(0, self.checkpoint_due())[0]:
            self.save()

    def epoch_record(self) -> dict[str, Any]:
        """Means of training and validation of the epoch that ends."""
        record: dict[str, Any] = {"epoch": self.epoch + 1, "step": self.step, **self.metrics.means()}
        record["trace"] = self.metrics.trace()
        if self.validation is not None:
            means = validate(self.evaluated, self.objective, self.validation)
            record |= {f"validation_{name}": value for name, value in means.items()}
        return record

    def _is_best(self, record: dict[str, Any]) -> bool:
        if self.validation is None:
            return True
        earlier = [r["validation_loss"] for r in self.history]
        return bool(record["validation_loss"] < min(earlier, default=math.inf))

    def out_of_patience(self) -> bool:
        """Whether the validation loss has not improved for ``patience`` epochs."""
        patience = self.training.patience
        return patience is not None and self.epoch - self.best_epoch >= patience and self.epoch > 0

    def checkpoint_due(self) -> bool:
        """Whether the checkpoint interval has passed."""
        return self.checkpoint is not None and time.monotonic() - self.saved > self.training.checkpoint_seconds

    def save(self) -> None:
        """Check that the state is finite, and write the checkpoint."""
        if self.checkpoint is None:
            return
        self.finite.check()
        self.finite.check_weights(self.parameters, self.step, self.metrics)
        self.context.reduce_metrics(self.metrics)
        generators = self.context.gather_generators(generator_tensors())
        self.saved = time.monotonic()
        if not self.context.is_main:
            return
        groups = {
            "model": self.model.state_dict(),
            "best": self.best,
            "optimiser": optimiser_tensors(self.optimiser),
            "sums": self.metrics.totals,
            "averaged": {} if self.averaged is None else self.averaged.state_dict(),
        }
        groups |= {_generator_prefix(rank): states for rank, states in enumerate(generators)}
        record = {name: getattr(self, name) for name in ("epoch", "step", "best_epoch", "history")}
        record |= {
            "threads": self.tuner.state(),
            "images": self.metrics.images,
            "marks": self.metrics.numeric_snapshots(),
        }
        self.checkpoint.save(join_groups(groups), record | {"seconds_before": self.seconds()})
        self.saved = time.monotonic()

    def resume(self) -> None:
        """Restore the state of the checkpoint, if there is one."""
        loaded = self.checkpoint.load() if self.checkpoint is not None else None
        if loaded is None:
            return
        tensors, record = loaded
        self.model.load_state_dict(select_prefix("model", tensors))
        device = self.compute.device
        self.best = {name: value.to(device) for name, value in select_prefix("best", tensors).items()}
        restore_optimiser(self.optimiser, select_prefix("optimiser", tensors))
        restore_generators(select_prefix(_generator_prefix(self.context.rank), tensors))
        totals = {name: value.to(device) for name, value in select_prefix("sums", tensors).items()}
        self.metrics = MetricAccumulator(totals, record.pop("images"), record.pop("marks"))
        if not self.context.is_main:
            self.metrics.reset()
        if self.averaged is not None:
            self.averaged.load_state_dict(select_prefix("averaged", tensors))
        self.tuner.restore(record.pop("threads", self.tuner.state()))
        for name, value in record.items():
            setattr(self, name, value)
        self.first_step = self.step

    def seconds(self) -> float:
        """Seconds of training so far, without the time between stop and resume."""
        return self.seconds_before + time.monotonic() - self.started

    def threads(self) -> list[tuple[int, int]]:
        """Step and number of threads at each change."""
        return self.tuner.choices or [(0, self.compute.threads or 1)]

    def finish(self) -> TrainingResult:
        """Load the best weights and return the result."""
        self.finite.check_weights(self.parameters, self.step, self.metrics)
        self.model.load_state_dict(self.best or self.evaluated.state_dict())
        self.context.broadcast_weights(self.model)
        if isinstance(self.objective, AttachableObjective):
            self.objective.detach(self.model)
        return TrainingResult(self.model.eval(), self.history, self.best_epoch, self.seconds(), self.threads())


def _generator_prefix(rank: int) -> str:
    """Prefix in a checkpoint of the generator states of a process."""
    return "generator" if rank == 0 else f"generator-{rank}"
