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
from vaebench.evaluation.probes import Head, LinearClassifier, Probe
from vaebench.models.networks import MLP
from vaebench.training.compute import Compute
from vaebench.training.loop import seed_of_epoch
from vaebench.training.prediction import LabelledSource, Predict
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

    def batches(self) -> Iterator[tuple[Int[Tensor, " W"], torch.Generator]]:
        """Rows of every batch, in the loop's order, -1 where a batch is smaller than the others; and the stream that
        the loop would draw its noise from."""
        generator = torch.Generator()
        for epoch in range(self.epochs):
            generator.manual_seed(seed_of_epoch(self.seed, epoch))
            for rows in epoch_batches(self.count, self.head.batch, (self.seed, epoch)):
                yield F.pad(rows + self.first, (0, self.width - len(rows)), value=-1), generator


@dataclass(frozen=True)
class Rows:
    """All rows of all heads: codes with a 1 behind them, their deviations if each visit draws anew, labels."""

    codes: Float[Tensor, "N D_plus_1"]
    deviations: Float[Tensor, "N D"] | None
    labels: Int[Tensor, " N"]

    @classmethod
    def of(cls, sources: Sequence[Codes]) -> Rows:
        """The rows of these, one after another."""
        codes = torch.cat([F.pad(source.mean, (0, 1), value=1.0) for source in sources])
        spreads = [source.log_variance for source in sources if source.sampled and source.log_variance is not None]
        deviations = torch.cat(spreads).mul(0.5).exp() if spreads else None
        return cls(codes, deviations, torch.cat([source.labels for source in sources]))

    def drawn(self, rows: Int[Tensor, "A W"], streams: Sequence[torch.Generator]) -> Float[Tensor, "A W D_plus_1"]:
        """The codes of these rows, a line for each stream."""
        x = self.codes[rows]
        if self.deviations is not None:
            for one, some, stream in zip(x, rows, streams, strict=True):
                there = some[: int((some >= 0).sum())]
                deviations = self.deviations[there]
                noise = torch.randn(deviations.shape, generator=stream, dtype=x.dtype)
                one[: len(there), :-1] += deviations * noise
        return x


def fit_each(
    probe: Probe, sources: Sequence[LabelledSource], classes: int, seeds: Sequence[int], compute: Compute
) -> list[Predict]:
    """The same probe fitted on each source with its seed: lines by Adam on codes all at once, others one by one."""
    if are_linear_probes(probe, sources):
        return [*fit_linear_probes(probe, [source for source in sources if isinstance(source, Codes)], classes, seeds)]
    return [probe.fit(source, classes, seed, compute) for source, seed in zip(sources, seeds, strict=True)]


def are_linear_probes(probe: Probe, sources: Sequence[object]) -> TypeGuard[Head]:
    """Whether this probe is a line by Adam and these are codes, all sampled or none: trained beside each other."""
    if not isinstance(probe, Head) or not isinstance(probe.network, MLP) or probe.network.hidden:
        return False
    codes = [source for source in sources if isinstance(source, Codes)]
    alike = len({(one.sampled, one.log_variance is None) for one in codes}) == 1
    return isinstance(probe.optimiser, Adam) and alike and len(codes) == len(sources)


def fit_linear_probes(
    head: Head, sources: Sequence[Codes], classes: int, seeds: Sequence[int]
) -> list[LinearClassifier]:
    """Train the same linear head on each source with its seed, all at once, in full precision.

    Weights are those of training one by one but for rounding: the same first weights, batches, noise and learning
    rates, with the gradient of softmax cross-entropy in closed form, (p - onehot(label)) x^T.
    """
    counts = [len(source) for source in sources]
    firsts = torch.tensor([0, *counts]).cumsum(0).tolist()
    width = min(head.batch, max(counts))
    jobs = [Job(head, *one, width) for one in zip(firsts, counts, seeds, strict=False)]
    steps = [job.epochs * sum(1 for _ in epoch_batches(job.count, head.batch, (job.seed, 0))) for job in jobs]
    order = sorted(range(len(jobs)), key=lambda index: -steps[index])  # so that those under way come first
    start = [
        list(head.build(source.shape, classes, seed).parameters()) for source, seed in zip(sources, seeds, strict=True)
    ]
    lines = torch.stack([torch.cat([start[i][0], start[i][1][:, None]], 1).detach() for i in order])
    _descend(head, [jobs[i] for i in order], [steps[i] for i in order], Rows.of(sources), lines)
    place = {index: at for at, index in enumerate(order)}
    found = [lines[place[index]] for index in range(len(jobs))]
    return [
        LinearClassifier(one[:, :-1].contiguous(), one[:, -1].contiguous(), seed)
        for one, seed in zip(found, seeds, strict=True)
    ]


def _descend(head: Head, jobs: list[Job], steps: list[int], everything: Rows, lines: Float[Tensor, "J Y E"]) -> None:
    """All steps of Adam, in place; the jobs' steps fall."""
    batches = [job.batches() for job in jobs]
    mean, square = torch.zeros_like(lines), torch.zeros_like(lines)
    rate, schedule = head.optimiser.rate, head.schedule
    alive = len(jobs)
    for step in range(steps[0]):
        while steps[alive - 1] <= step:
            alive -= 1
        rows, streams = zip(*(next(each) for each in batches[:alive]), strict=True)
        gradient = _gradient(everything, torch.stack(rows), streams, lines[:alive])
        rates = lines.new_tensor([rate * schedule(step / all_steps) for all_steps in steps[:alive]])
        _adam(head, lines[:alive], gradient, mean[:alive], square[:alive], rates[:, None, None], step + 1)


def _gradient(
    everything: Rows, rows: Int[Tensor, "A W"], streams: Sequence[torch.Generator], lines: Float[Tensor, "A Y E"]
) -> Float[Tensor, "A Y E"]:
    """Of the mean cross-entropy of each job's batch."""
    there = rows >= 0
    x = everything.drawn(rows, streams)
    error = torch.bmm(x, lines.mT).softmax(-1)
    error.scatter_add_(2, everything.labels[rows][..., None], -torch.ones_like(error[..., :1]))
    error *= (there / there.sum(1, keepdim=True))[..., None].to(error.dtype)
    return torch.bmm(error.mT, x)


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
