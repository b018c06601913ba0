"""Many linear heads as one program: each the line that training it alone would give, in a fraction of the time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeGuard

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from vaebench.data.images import epoch_batches
from vaebench.evaluation.features import Codes
from vaebench.evaluation.probes import Head, Line, Probe
from vaebench.models.networks import MLP
from vaebench.training.schedules import BETA1, Adam

EPSILON = 1e-8
"""Of torch.optim.AdamW."""


@dataclass(frozen=True)
class Job:
    """One head's training: its rows among all, its steps and seed."""

    head: Head
    first: int
    count: int
    seed: int
    width: int

    @property
    def epochs(self) -> int:
        """Passes through its rows."""
        return self.head.training(self.count, self.seed).epochs

    def batches(self) -> Iterator[Int[Tensor, " W"]]:
        """Rows of every batch, in the loop's order, -1 where a batch is smaller than the others."""
        for epoch in range(self.epochs):
            for rows in epoch_batches(self.count, self.head.batch, (self.seed, epoch)):
                yield F.pad(rows + self.first, (0, self.width - len(rows)), value=-1)


def are_lines(probe: Probe, source: object) -> TypeGuard[Head]:
    """Whether this probe on these codes is a line by Adam without noise, which can be trained beside others."""
    if not isinstance(probe, Head) or not isinstance(source, Codes) or source.sampled:
        return False
    return isinstance(probe.network, MLP) and not probe.network.hidden and isinstance(probe.optimiser, Adam)


def fit_lines(head: Head, sources: Sequence[Codes], classes: int, seeds: Sequence[int]) -> list[Line]:
    """Train the same linear head on each source with its seed, all at once, in full precision.

    Weights are those of training one by one but for rounding: the same first weights, batches and learning rates, with
    the gradient of softmax cross-entropy in closed form, (p - onehot(label)) x^T.
    """
    everything, labels = torch.cat([s.mean for s in sources]), torch.cat([s.labels for s in sources])
    counts = [len(source) for source in sources]
    firsts = torch.tensor([0, *counts]).cumsum(0).tolist()
    width = min(head.batch, max(counts))
    jobs = [Job(head, *one, width) for one in zip(firsts, counts, seeds, strict=False)]
    steps = [job.epochs * sum(1 for _ in epoch_batches(job.count, head.batch, (job.seed, 0))) for job in jobs]
    order = sorted(range(len(jobs)), key=lambda index: -steps[index])  # so that those under way come first
    start = [
        list(head.build(source.shape, classes, seed).parameters()) for source, seed in zip(sources, seeds, strict=True)
    ]
    weight = torch.stack([start[index][0].detach() for index in order])
    bias = torch.stack([start[index][1].detach() for index in order])
    _descend(head, [jobs[i] for i in order], [steps[i] for i in order], everything, labels, weight, bias)
    place = {index: at for at, index in enumerate(order)}
    return [Line(weight[place[index]], bias[place[index]]) for index in range(len(jobs))]


def _descend(
    head: Head,
    jobs: list[Job],
    steps: list[int],
    everything: Float[Tensor, "N D"],
    labels: Int[Tensor, " N"],
    weight: Float[Tensor, "J Y D"],
    bias: Float[Tensor, "J Y"],
) -> None:
    """All steps of Adam, in place; the jobs' steps fall."""
    batches = [job.batches() for job in jobs]
    moments = [(torch.zeros_like(values), torch.zeros_like(values)) for values in (weight, bias)]
    rate, schedule = head.optimiser.rate, head.schedule
    alive = len(jobs)
    for step in range(steps[0]):
        while steps[alive - 1] <= step:
            alive -= 1
        rows = torch.stack([next(each) for each in batches[:alive]])
        rates = weight.new_tensor([rate * schedule(step / all_steps) for all_steps in steps[:alive]])
        gradients = _gradients(everything, labels, rows, weight[:alive], bias[:alive])
        for values, gradient, (mean, square) in zip((weight, bias), gradients, moments, strict=True):
            shape = (-1, *[1] * (values.dim() - 1))
            _adam(head, values[:alive], gradient, mean[:alive], square[:alive], rates.view(shape), step + 1)


def _gradients(
    everything: Float[Tensor, "N D"],
    labels: Int[Tensor, " N"],
    rows: Int[Tensor, "A W"],
    weight: Float[Tensor, "A Y D"],
    bias: Float[Tensor, "A Y"],
) -> tuple[Float[Tensor, "A Y D"], Float[Tensor, "A Y"]]:
    """Of the mean cross-entropy of each job's batch."""
    there = rows >= 0
    rows = rows.clamp(min=0)
    x = everything[rows]
    error = torch.baddbmm(bias[:, None], x, weight.mT).softmax(-1)
    error.scatter_add_(2, labels[rows][..., None], -torch.ones_like(error[..., :1]))
    error *= (there / there.sum(1, keepdim=True))[..., None].to(error.dtype)
    return error.mT @ x, error.sum(1)


def _adam(head: Head, values: Tensor, gradient: Tensor, mean: Tensor, square: Tensor, rates: Tensor, step: int) -> None:
    """One step, as torch.optim.AdamW has it."""
    optimiser = head.optimiser
    assert isinstance(optimiser, Adam)
    beta2 = optimiser.beta2
    mean.lerp_(gradient, 1 - BETA1)
    square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    spread = square.sqrt().div_((1 - beta2**step) ** 0.5).add_(EPSILON)
    if optimiser.weight_decay:
        values.mul_(1 - rates * optimiser.weight_decay)
    values.sub_(mean / spread * (rates / (1 - BETA1**step)))
