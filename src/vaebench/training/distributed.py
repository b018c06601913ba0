"""Team: the processes that share one training. Alone is one of them; torchrun starts more, each with its own share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Protocol, TypeVar, runtime_checkable

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
Loss = Callable[[Batch, float], LossOutput]
AGREE_EVERY = 20
"""Steps between two agreements on whether to save or stop: each waits for the slowest process."""
PATIENCE = timedelta(minutes=30)
"""How long a process waits for the others: the first may have to download the data."""
STRIDE = 7_368_787
"""Between the noise seeds of two processes."""


@runtime_checkable
class DistributedContext(Protocol):
    """What the loop asks of the processes of a training."""

    rank: int
    is_main: bool
    """Whether this is the process that writes and tells."""
    size: int

    def seed(self, seed: int) -> int:
        """This process's own noise seed."""
        ...

    def shard(self, rows: Int[Tensor, " B"]) -> Int[Tensor, " M"]:
        """This process's part of a batch."""
        ...

    def loss(self, model: nn.Module, objective: Objective) -> Loss:
        """The objective of the model on a share, so that gradients are those of the whole batch."""
        ...

    def any_process(self, step: int, *asked: bool) -> list[bool]:
        """For each question, whether any process says yes."""
        ...

    def all_reduce(self, account: MetricAccumulator) -> None:
        """Bring what all processes added up to the first, and set the others' to zero."""
        ...

    def generators(self, mine: dict[str, Tensor]) -> list[dict[str, Tensor]]:
        """The state of every process's generators."""
        ...

    def broadcast(self, make: Callable[[], T]) -> T:
        """What the first process makes, told to all."""
        ...

    def broadcast_weights(self, model: nn.Module) -> None:
        """Give every process the first one's weights."""
        ...


class SingleProcess:
    """One process."""

    is_main = True
    rank, size = 0, 1

    def seed(self, seed: int) -> int:
        """The seed itself."""
        return seed

    def shard(self, rows: Int[Tensor, " B"]) -> Int[Tensor, " B"]:
        """All of them."""
        return rows

    def loss(self, model: nn.Module, objective: Objective) -> Loss:
        """The objective itself."""
        return lambda batch, progress: objective(model, batch, progress)

    def any_process(self, step: int, *asked: bool) -> list[bool]:
        """As asked."""
        return list(asked)

    def all_reduce(self, account: MetricAccumulator) -> None:
        """It is all there."""

    def generators(self, mine: dict[str, Tensor]) -> list[dict[str, Tensor]]:
        """This process's alone."""
        return [mine]

    def broadcast(self, make: Callable[[], T]) -> T:
        """What it makes."""
        return make()

    def broadcast_weights(self, model: nn.Module) -> None:
        """There are no others."""


class _Step(nn.Module):
    """Model and objective as one module, whose gradients are averaged over processes."""

    def __init__(self, model: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.model, self.objective = model, objective

    def forward(self, batch: Batch, progress: float) -> LossOutput:
        return self.objective(self.model, batch, progress)


class ProcessGroup:
    """The processes of a torch.distributed group; each sees every so-many-th image of a batch, with its own noise."""

    def __init__(self) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.is_main = self.rank == 0
        self.device = "cuda" if dist.get_backend() == "nccl" else "cpu"

    def seed(self, seed: int) -> int:
        """Another one for each process; the first has the seed itself."""
        return seed + STRIDE * self.rank

    def shard(self, rows: Int[Tensor, " B"]) -> Int[Tensor, " M"]:
        """Every so-many-th row."""
        return rows[self.rank :: self.size]

    def loss(self, model: nn.Module, objective: Objective) -> Loss:
        """DistributedDataParallel averages gradients over processes; batch normalisation sees a process's own images
        on the CPU, all of them on GPUs."""
        if self.device == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        step = DistributedDataParallel(_Step(model, objective), find_unused_parameters=True)

        def loss(batch: Batch, progress: float) -> LossOutput:
            terms: LossOutput = step(batch, progress)
            return terms

        return loss

    def any_process(self, step: int, *asked: bool) -> list[bool]:
        """Asked now and then only."""
        if step % AGREE_EVERY:
            return [False] * len(asked)
        votes = torch.tensor(asked, dtype=torch.int32, device=self.device)
        dist.all_reduce(votes, dist.ReduceOp.MAX)
        return [bool(vote) for vote in votes.tolist()]

    def all_reduce(self, account: MetricAccumulator) -> None:
        """One sum over all processes."""
        names = list(account.sums)
        entries = [account.sums, *account.marks]
        values = torch.tensor(
            [[float(entry[name]) for name in names] for entry in entries], dtype=torch.float64, device=self.device
        )
        counts = [account.images, *(mark["images"] for mark in account.marks)]
        images = torch.tensor(counts, dtype=torch.float64, device=self.device)
        dist.all_reduce(values)
        dist.all_reduce(images)
        account.images = int(images[0])
        account.sums = {name: values[0, index] for index, name in enumerate(names)}
        account.marks = [
            {"step": mark["step"], "images": int(images[at])} | dict(zip(names, values[at].tolist(), strict=True))
            for at, mark in enumerate(account.marks, start=1)
        ]
        if not self.is_main:
            account.empty()

    def generators(self, mine: dict[str, Tensor]) -> list[dict[str, Tensor]]:
        """Gathered by the first; the others get their own alone."""
        every: list[Any] | None = [None] * self.size if self.is_main else None
        dist.gather_object({name: value.numpy() for name, value in mine.items()}, every)
        if every is None:
            return [mine]
        return [{name: torch.from_numpy(value) for name, value in one.items()} for one in every]

    def broadcast(self, make: Callable[[], T]) -> T:
        """Made by the first and sent to the others."""
        box = [make() if self.is_main else None]
        dist.broadcast_object_list(box, 0)
        return box[0]  # type: ignore[return-value]

    def broadcast_weights(self, model: nn.Module) -> None:
        """Weights and buffers of the first."""
        for value in model.state_dict().values():
            dist.broadcast(value, 0)


def current_context() -> DistributedContext:
    """The processes that this one belongs to."""
    return ProcessGroup() if dist.is_available() and dist.is_initialized() else SingleProcess()


@contextmanager
def distributed() -> Iterator[DistributedContext]:
    """Join the processes that torchrun started, for as long as the block lasts; alone where it started none.

    Raises:
        VaebenchError: another process was lost meanwhile.
    """
    if not _is_one_of_several() or dist.is_initialized():
        yield current_context()
        return
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if cuda else "gloo", timeout=PATIENCE)
    try:
        yield current_context()
    except RuntimeError as error:
        if not _was_lost(error):
            raise
        raise VaebenchError(
            "another process of this training was lost; the same command with --resume goes on from the last checkpoint"
        ) from error
    finally:
        dist.destroy_process_group()


def is_main_process() -> bool:
    """Whether this process is alone, or the first of those that torchrun started: the one that tells."""
    return not _is_one_of_several() or os.environ["RANK"] == "0"


def _is_one_of_several() -> bool:
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ


def _was_lost(error: Exception) -> bool:
    words = str(error).lower()
    return any(word in words for word in ("connection closed", "connection reset", "timed out", "nccl", "broken pipe"))
