"""train(): the one loop for every model, objective and data set. Everything else watches."""

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
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from vaebench.core.frozen import Frozen
from vaebench.data.images import Source, epoch_batches
from vaebench.models.loss import AttachableObjective, Objective
from vaebench.training.checkpoint import (
    Checkpoint,
    generator_tensors,
    optimiser_tensors,
    prefixed,
    restore_generators,
    restore_optimiser,
    under,
)
from vaebench.training.compute import Compute
from vaebench.training.distributed import DistributedContext, current_context
from vaebench.training.finite import Finite
from vaebench.training.metrics import MetricAccumulator
from vaebench.training.schedules import Adam, AnyOptimiser, AnySchedule, OneCycle
from vaebench.training.stopping import stoppable
from vaebench.training.subnormals import EVERY, clear_subnormals
from vaebench.training.validation import validate

Watch = Callable[["TrainingEvent"], None]


class Training(Frozen):
    """How long and by which rule a model is trained."""

    epochs: int = Field(12, ge=1)
    batch: int = Field(128, ge=1)
    """Images a step."""
    optimiser: AnyOptimiser = Adam(rate=5e-3, beta2=0.99)
    schedule: AnySchedule = OneCycle()
    clip_value: float | None = Field(None, gt=0)
    """Each gradient is kept within +-this."""
    clip_norm: float | None = Field(None, gt=0)
    """The norm of all gradients together is kept at or below this."""
    ema: float = Field(0.0, ge=0, lt=1)
    """Decay a step of the averaged weights that are validated and kept; 0 keeps the weights themselves."""
    patience: int | None = Field(None, ge=1)
    """Stop after this many epochs without a better validation loss; none never stops early."""
    checkpoint_seconds: float = Field(20.0, ge=0)
    """At most this much work is lost when the process is killed."""


class TrainingEvent(NamedTuple):
    """What a callback receives."""

    step: int
    steps: int
    seconds_left: float
    epoch: dict[str, Any] | None
    """The record of the epoch that just ended, or nothing within an epoch."""


@dataclass
class Trained:
    """What training leaves: the model holds the best weights, in evaluation mode."""

    model: nn.Module
    history: list[dict[str, Any]]
    """One record an epoch: means of the parts in training and in validation, nats per image; its ``trace`` holds the
    same means over every 50 steps of training."""
    best_epoch: int
    seconds: float


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
    callback: Watch | None = None,
) -> Trained:
    """One optimiser step per batch; validation chooses the weights that are kept.

    The same arguments give the same bits, stopped and resumed from ``checkpoint`` or not. The processes of a
    torch.distributed group share each batch; all end with the same weights, and the first alone writes and tells.

    Raises:
        FloatingPointError: the loss is not finite; step and parts are named, the checkpoint is the last good one.
        KeyboardInterrupt: Ctrl-C, once the checkpoint is written.
        VaebenchError: the checkpoint belongs to another training.
    """
    compute = compute.resolve()
    with torch.random.fork_rng(), stoppable() as stopped, compute.products():
        if isinstance(objective, AttachableObjective):
            torch.manual_seed(seed)
            objective.attach(model)
        run = _Run(
            compute.place(model),
            objective,
            source,
            training,
            compute,
            seed,
            validation,
            checkpoint,
            callback,
            current_context(),
        )
        run.resume()
        while run.epoch < training.epochs and not run.out_of_patience():
            for rows in run.batches_left():
                run.take_step(rows)
                due, stop = run.context.any_process(run.step, run.due(), stopped())
                if due or stop:
                    run.save()
                if stop:
                    raise KeyboardInterrupt
            run.end_epoch()
        return run.finish()


def seed_of_epoch(seed: int, epoch: int) -> int:
    """What the random stream of an epoch begins with: noise, dropout, augmentation."""
    return seed * 1_000_003 + epoch


@dataclass
class _Run:
    """The state of one training, from the first step to the last."""

    model: nn.Module
    objective: Objective
    source: Source
    training: Training
    compute: Compute
    seed: int
    validation: Source | None
    checkpoint: Checkpoint | None
    callback: Watch | None
    context: DistributedContext
    epoch: int = 0
    step: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    best_epoch: int = -1
    account: MetricAccumulator = field(default_factory=MetricAccumulator)
    seconds_before: float = 0.0

    def __post_init__(self) -> None:
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.optimiser = self.training.optimiser.build(self.parameters)
        decay = self.training.ema
        self.averaged = (
            AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True) if decay else None
        )
        self.loss = self.context.loss(self.model, self.compute.compiled(self.objective))
        self.steps_an_epoch = sum(1 for _ in self._batches(0))
        self.steps = self.steps_an_epoch * self.training.epochs
        self.finite = Finite(self.steps)
        self.first_step, self.started, self.saved = 0, time.monotonic(), time.monotonic()
        self.watched = 0.0

    def _batches(self, epoch: int) -> Iterator[Tensor]:
        every = epoch_batches(self.source, self.training.batch, (self.seed, epoch))
        return (rows for rows in every if self.context.size == 1 or len(rows) >= 2 * self.context.size)

    def batches_left(self) -> Iterator[Tensor]:
        """Rows of the batches of this epoch that are not done, the model ready for them; a new epoch begins its own
        random stream."""
        if self.step == self.epoch * self.steps_an_epoch:
            torch.manual_seed(self.context.seed(seed_of_epoch(self.seed, self.epoch)))
        self.model.train()  # what comes finished, or was validated, was in evaluation mode
        return islice(self._batches(self.epoch), self.step - self.epoch * self.steps_an_epoch, None)

    def take_step(self, rows: Tensor) -> None:
        """One step of the optimiser."""
        progress = self.step / self.steps
        for group in self.optimiser.param_groups:
            group["lr"] = self.training.optimiser.rate * self.training.schedule(progress)
        mine = self.context.shard(rows)
        batch = self.source.batch(mine).to(self.compute.device)
        with self.compute.autocast():
            terms = self.loss(batch, progress)
        self.optimiser.zero_grad(set_to_none=True)
        share = len(mine) * self.context.size / len(rows)  # gradients are averaged over processes, not over images
        (terms.loss if share == 1 else terms.loss * share).backward()
        if self.training.clip_value is not None:
            nn.utils.clip_grad_value_(self.parameters, self.training.clip_value)
        if self.training.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.training.clip_norm)
        with self.compute.autocast():  # for the products of Muon; all else of a step stays as it is
            self.optimiser.step()
        if self.averaged is not None:
            self.averaged.update_parameters(self.model)
        self.step += 1
        if self.step % EVERY == 0:
            clear_subnormals(self.optimiser)
        self.account.add(self.step, terms, len(mine))
        self.finite.saw(self.step, terms)
        self.tell(None)

    def tell(self, epoch: dict[str, Any] | None) -> None:
        """Call the watcher at the end of an epoch, and now and then within one."""
        now = time.monotonic()
        if self.callback is None or not self.context.is_main or (epoch is None and now - self.watched < 0.2):
            return
        self.watched = now
        done = self.step - self.first_step
        left = (now - self.started) / max(done, 1) * (self.steps - self.step)
        self.callback(TrainingEvent(self.step, self.steps, left, epoch))

    def end_epoch(self) -> None:
        """Validate, keep the weights if they are the best, write the checkpoint."""
        self.finite.look()
        candidate = self.model if self.averaged is None else self.averaged.module
        self.context.all_reduce(self.account)
        record = self.context.broadcast(lambda: self.record(candidate))
        if not math.isfinite(loss := record.get("validation_loss", 0.0)):
            raise self.finite.diverged(f"the validation loss is {loss} at step {self.step}", _validated(record))
        self.epoch += 1
        self.account = MetricAccumulator()
        if self._is_best(record):
            self.best_epoch = self.epoch
            if self.validation is not None:  # else the last weights are the best, and need no copy
                self.best = {name: value.detach().clone() for name, value in candidate.state_dict().items()}
        self.history.append(record)
        self.tell(record)  # before the checkpoint, so that a watcher killed here sees this end again
        if self.context.any_process(0, self.due())[0]:
            self.save()

    def record(self, candidate: nn.Module) -> dict[str, Any]:
        """What the epoch that ends was: means of training, and of validation."""
        record: dict[str, Any] = {"epoch": self.epoch + 1, "step": self.step, **self.account.means()}
        record["trace"] = self.account.trace()
        if self.validation is not None:
            parts = validate(candidate, self.objective, self.validation)
            record |= {f"validation_{name}": value for name, value in parts.items()}
        return record

    def _is_best(self, record: dict[str, Any]) -> bool:
        if self.validation is None:
            return True
        earlier = [r["validation_loss"] for r in self.history]
        return bool(record["validation_loss"] < min(earlier, default=math.inf))

    def out_of_patience(self) -> bool:
        """Whether validation has not improved for long enough."""
        patience = self.training.patience
        return patience is not None and self.epoch - self.best_epoch >= patience and self.epoch > 0

    def due(self) -> bool:
        """Whether the checkpoint interval has passed."""
        late = time.monotonic() - self.saved > self.training.checkpoint_seconds
        return self.checkpoint is not None and late

    def save(self) -> None:
        """Write everything that the next step depends on; never a state that is not finite."""
        if self.checkpoint is None:
            return
        self.finite.look()
        self.finite.require(self.parameters, self.step, self.account)
        self.context.all_reduce(self.account)
        generators = self.context.generators(generator_tensors())
        self.saved = time.monotonic()
        if not self.context.is_main:
            return
        tensors = {
            **prefixed("model", self.model.state_dict()),
            **prefixed("best", self.best),
            **prefixed("optimiser", optimiser_tensors(self.optimiser)),
            **prefixed("sums", self.account.sums),
        }
        for rank, states in enumerate(generators):
            tensors |= prefixed(_of(rank), states)
        if self.averaged is not None:
            tensors |= prefixed("averaged", self.averaged.state_dict())
        keep = {name: getattr(self, name) for name in ("epoch", "step", "best_epoch", "history")}
        keep |= {"images": self.account.images, "marks": self.account.plain_marks(), "seconds_before": self.seconds()}
        self.checkpoint.save(tensors, keep)
        self.saved = time.monotonic()

    def resume(self) -> None:
        """Go back to where the checkpoint was written, if there is one."""
        loaded = self.checkpoint.load() if self.checkpoint is not None else None
        if loaded is None:
            return
        tensors, keep = loaded
        self.model.load_state_dict(under("model", tensors))
        self.best = {name: value.to(self.compute.device) for name, value in under("best", tensors).items()}
        restore_optimiser(self.optimiser, under("optimiser", tensors))
        restore_generators(under(_of(self.context.rank), tensors))
        sums = {name: value.to(self.compute.device) for name, value in under("sums", tensors).items()}
        self.account = MetricAccumulator(sums, keep.pop("images"), keep.pop("marks"))
        if not self.context.is_main:
            self.account.empty()
        if self.averaged is not None:
            self.averaged.load_state_dict(under("averaged", tensors))
        for name, value in keep.items():
            setattr(self, name, value)
        self.first_step = self.step

    def seconds(self) -> float:
        """Time spent so far, stops left out."""
        return self.seconds_before + time.monotonic() - self.started

    def finish(self) -> Trained:
        """The model with its best weights, in evaluation mode."""
        self.finite.require(self.parameters, self.step, self.account)
        last = self.model if self.averaged is None else self.averaged.module
        self.model.load_state_dict(self.best or last.state_dict())
        self.context.broadcast_weights(self.model)
        if isinstance(self.objective, AttachableObjective):
            self.objective.detach(self.model)
        return Trained(self.model.eval(), self.history, self.best_epoch, self.seconds())


def _validated(record: dict[str, Any]) -> dict[str, float]:
    """The parts of validation in a record of an epoch."""
    prefix = "validation_"
    return {name.removeprefix(prefix): value for name, value in record.items() if name.startswith(prefix)}


def _of(rank: int) -> str:
    """Where a checkpoint keeps the generators of a process."""
    return "generator" if rank == 0 else f"generator-{rank}"
