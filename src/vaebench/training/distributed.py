"""The processes of one training: a single one, or those that torchrun started, each on its part of every batch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from jaxtyping import Int
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from vaebench.core.errors import VaebenchError
from vaebench.data.images import Batch
from vaebench.models.loss import LossOutput, Objective
from vaebench.training.metrics import MetricAccumulator

T = TypeVar("T")
LossFunction = Callable[[Batch, float], LossOutput]
SYNC_EVERY = 20
"""Steps between synchronisations of :meth:`ProcessGroup.any_process`, which wait for the slowest process."""
TIMEOUT = timedelta(minutes=30)
"""Longest wait for other processes; the main one may have to download the data."""
CONNECTION_ERRORS = ("connection closed", "connection reset", "timed out", "nccl", "broken pipe")
SEED_STRIDE = 7_368_787
"""Difference between the random seeds of two processes."""


class _LossModule(nn.Module):
    """Model and objective as one module, as DistributedDataParallel requires."""

    def __init__(self, model: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.model, self.objective = model, objective

    def forward(self, batch: Batch, progress: float) -> LossOutput:
        return self.objective(self.model, batch, progress)


@dataclass(frozen=True)
class DistributedContext:
    """The processes of a training: a single one, or those of a torch.distributed group, of which process r of n sees
    images r, r + n, ... of a batch."""

    rank: int = 0
    size: int = 1
    """Number of processes."""
    device: str = "cpu"
    """Device of the tensors that the processes exchange."""

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes files and reports progress."""
        return self.rank == 0

    def process_seed(self, seed: int) -> int:
        """Random seed of this process; that of the main process is ``seed``."""
        return seed + SEED_STRIDE * self.rank

    def shard(self, rows: Int[Tensor, " B"]) -> Int[Tensor, " M"]:
        """This process's part of the rows of a batch."""
        return rows if self.size == 1 else rows[self.rank :: self.size]

    def loss_function(self, model: nn.Module, objective: Objective) -> LossFunction:
        """The objective of the model as a function of a shard, whose gradients are averaged over processes.

        Batch normalisation uses the images of this process on the CPU, of all processes on GPUs.
        """
        if self.size == 1:
            return lambda batch, progress: objective(model, batch, progress)
        if self.device == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        return DistributedDataParallel(_LossModule(model, objective), find_unused_parameters=True)

    def any_process(self, step: int, *flags: bool) -> list[bool]:
        """For each flag, whether it is true on any process; of several processes, false at steps that are not
        multiples of :data:`SYNC_EVERY`."""
        if self.size == 1:
            return list(flags)
        if step % SYNC_EVERY:
            return [False] * len(flags)
        votes = torch.tensor(flags, dtype=torch.int32, device=self.device)
        dist.all_reduce(votes, dist.ReduceOp.MAX)
        return [bool(vote) for vote in votes.tolist()]

    def reduce_metrics(self, metrics: MetricAccumulator) -> None:
        """Move the totals of all processes to the main one, and reset those of the others, in place."""
        if self.size == 1:
            return
        names = [*metrics.totals, "images"]
        records = [metrics.totals | {"images": metrics.images}, *metrics.snapshots]
        values = torch.tensor(
            [[float(record[name]) for name in names] for record in records], dtype=torch.float64, device=self.device
        )
        dist.all_reduce(values)
        *totals, images = values[0]
        metrics.images = int(images)
        metrics.totals = dict(zip(metrics.totals, totals, strict=True))
        metrics.snapshots = [
            {"step": snapshot["step"]} | dict(zip(names, row, strict=True)) | {"images": int(row[-1])}
            for snapshot, row in zip(metrics.snapshots, values[1:].tolist(), strict=True)
        ]
        if not self.is_main:
            metrics.reset()

    def gather_generators(self, states: dict[str, Tensor]) -> list[dict[str, Tensor]]:
        """Generator states of all processes on the main one; on others, only their own."""
        if self.size == 1:
            return [states]
        gathered: list[Any] | None = [None] * self.size if self.is_main else None
        dist.gather_object({name: value.numpy() for name, value in states.items()}, gathered)
        if gathered is None:
            return [states]
        return [{name: torch.from_numpy(value) for name, value in one.items()} for one in gathered]

    def broadcast(self, compute: Callable[[], T]) -> T:
        """The result of ``compute``, called on the main process, on every process."""
        result = [compute() if self.is_main else None]
        if self.size > 1:
            dist.broadcast_object_list(result, 0)
        return result[0]  # type: ignore[return-value]

    def broadcast_weights(self, model: nn.Module) -> None:
        """Copy weights and buffers of the main process to every process."""
        for value in model.state_dict().values() if self.size > 1 else ():
            dist.broadcast(value, 0)


def current_context() -> DistributedContext:
    """The context of this process."""
    if not (dist.is_available() and dist.is_initialized()):
        return DistributedContext()
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    return DistributedContext(dist.get_rank(), dist.get_world_size(), device)


@contextmanager
def distributed() -> Iterator[DistributedContext]:
    """Join the processes that torchrun started, if it started any, until the end of the block.

    Raises:
        VaebenchError: another process ended unexpectedly.
    """
    if not _started_by_torchrun() or dist.is_initialized():
        yield current_context()
        return
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if cuda else "gloo", timeout=TIMEOUT)
    try:
        yield current_context()
    except RuntimeError as error:
        if not any(sign in str(error).lower() for sign in CONNECTION_ERRORS):
            raise
        raise VaebenchError(
            "another process of this training was lost; the same command with --resume goes on from the last checkpoint"
        ) from error
    finally:
        dist.destroy_process_group()


def is_main_process() -> bool:
    """Whether this process is the only one or the first of those that torchrun started."""
    return not _started_by_torchrun() or os.environ["RANK"] == "0"


def _started_by_torchrun() -> bool:
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ
