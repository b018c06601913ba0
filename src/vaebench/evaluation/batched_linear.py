"""Many linear heads trained as one program: the same weights as one by one, in a fraction of the time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeGuard

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from vaebench.data.draws import epoch_batches
from vaebench.evaluation.features import Codes
from vaebench.evaluation.probes import Head, LinearClassifier, Probe
from vaebench.models.networks import MLP
from vaebench.training.compute import Compute
from vaebench.training.loop import seed_of_epoch
from vaebench.training.prediction import LabelledSource, Predict
from vaebench.training.schedules import BETA1, Adam

EPSILON = 1e-8
"""``eps`` of torch.optim.AdamW."""


@dataclass(frozen=True)
class FitJob:
    """Training of one head: its rows among the rows of all heads, and its seed."""

    head: Head
    first: int
    count: int
    seed: int
    width: int

    @property
    def epochs(self) -> int:
        """Number of passes through the rows of this head."""
        return self.head.training(self.count, self.seed).epochs

    @property
    def steps(self) -> int:
        """Number of steps in all epochs."""
        return self.epochs * sum(1 for _ in epoch_batches(self.count, self.head.batch, (self.seed, 0)))

    def batches(self) -> Iterator[tuple[Int[Tensor, " W"], torch.Generator]]:
        """Yield the rows of every batch in the order of the training loop, padded with -1 to ``width``, and the
        generator from which that loop would draw noise."""
        generator = torch.Generator()
        for epoch in range(self.epochs):
            generator.manual_seed(seed_of_epoch(self.seed, epoch))
            for rows in epoch_batches(self.count, self.head.batch, (self.seed, epoch)):
                yield F.pad(rows + self.first, (0, self.width - len(rows)), value=-1), generator


@dataclass(frozen=True)
class ConcatenatedCodes:
    """Rows of all heads: codes with an appended 1, standard deviations if they are sampled afresh, and labels."""

    codes: Float[Tensor, "N D_plus_1"]
    deviations: Float[Tensor, "N D"] | None
    labels: Int[Tensor, " N"]

    @classmethod
    def from_sources(cls, sources: Sequence[Codes]) -> ConcatenatedCodes:
        """Concatenate the rows of ``sources``."""
        codes = torch.cat([F.pad(source.mean, (0, 1), value=1.0) for source in sources])
        log_variances = [s.log_variance for s in sources if s.sampled and s.log_variance is not None]
        deviations = torch.cat(log_variances).mul(0.5).exp() if log_variances else None
        return cls(codes, deviations, torch.cat([source.labels for source in sources]))

    def sample(self, rows: Int[Tensor, "A W"], generators: Sequence[torch.Generator]) -> Float[Tensor, "A W D_plus_1"]:
        """Codes of these rows, with noise from one generator for each of the A jobs."""
        x = self.codes[rows]
        if self.deviations is not None:
            for job_x, job_rows, generator in zip(x, rows, generators, strict=True):
                present = job_rows[: int((job_rows >= 0).sum())]
                deviations = self.deviations[present]
                noise = torch.randn(deviations.shape, generator=generator, dtype=x.dtype)
                job_x[: len(present), :-1] += deviations * noise
        return x


def fit_each(
    probe: Probe, sources: Sequence[LabelledSource], classes: int, seeds: Sequence[int], compute: Compute
) -> list[Predict]:
    """Fit the same probe on each source with its seed: linear heads on codes all at once, other probes one by one."""
    if are_linear_probes(probe, sources):
        return [*fit_linear_probes(probe, [source for source in sources if isinstance(source, Codes)], classes, seeds)]
    return [probe.fit(source, classes, seed, compute) for source, seed in zip(sources, seeds, strict=True)]


def are_linear_probes(probe: Probe, sources: Sequence[object]) -> TypeGuard[Head]:
    """Whether :func:`fit_linear_probes` can fit them: a linear head trained by Adam, on codes that are all sampled or
    all not."""
    if not isinstance(probe, Head) or not isinstance(probe.network, MLP) or probe.network.hidden:
        return False
    codes = [source for source in sources if isinstance(source, Codes)]
    alike = len({(source.sampled, source.log_variance is None) for source in codes}) == 1
    return isinstance(probe.optimiser, Adam) and alike and len(codes) == len(sources)


def fit_linear_probes(
    head: Head, sources: Sequence[Codes], classes: int, seeds: Sequence[int]
) -> list[LinearClassifier]:
    """Train the same linear head on each source with its seed, all at once, in full precision.

    Up to rounding, the weights equal those of training one by one: the same initial weights, batches, noise and
    learning rates, with the gradient of softmax cross-entropy in closed form, (p - onehot(label)) x^T.
    """
    counts = [len(source) for source in sources]
    firsts = torch.tensor([0, *counts]).cumsum(0).tolist()
    width = min(head.batch, max(counts))
    jobs = [FitJob(head, *job, width) for job in zip(firsts, counts, seeds, strict=False)]
    order = sorted(range(len(jobs)), key=lambda index: -jobs[index].steps)  # jobs in progress come first
    weights = torch.stack([_initial_weight(head, sources[index], classes, seeds[index]) for index in order])
    _minimise(head, [jobs[index] for index in order], ConcatenatedCodes.from_sources(sources), weights)
    fitted = zip(weights[torch.tensor(order).argsort()], seeds, strict=True)
    return [LinearClassifier(weight[:, :-1].contiguous(), weight[:, -1].contiguous(), seed) for weight, seed in fitted]


def _initial_weight(head: Head, source: Codes, classes: int, seed: int) -> Float[Tensor, "Y E"]:
    """Weight and bias of the head before training, as one matrix."""
    weight, bias = head.build(source.shape, classes, seed).parameters()
    return torch.cat([weight, bias[:, None]], 1).detach()


def _minimise(head: Head, jobs: list[FitJob], data: ConcatenatedCodes, weights: Float[Tensor, "J Y E"]) -> None:
    """Run all steps of Adam in place; jobs are in falling order of steps."""
    batches, steps = [job.batches() for job in jobs], [job.steps for job in jobs]
    mean, square = torch.zeros_like(weights), torch.zeros_like(weights)
    rate, schedule = head.optimiser.rate, head.schedule
    active = len(jobs)
    for step in range(steps[0]):
        while steps[active - 1] <= step:
            active -= 1
        rows, generators = zip(*(next(batch) for batch in batches[:active]), strict=True)
        gradient = _gradient(data, torch.stack(rows), generators, weights[:active])
        rates = weights.new_tensor([rate * schedule(step / all_steps) for all_steps in steps[:active]])
        _adam_step(head, weights[:active], gradient, mean[:active], square[:active], rates[:, None, None], step + 1)


def _gradient(
    data: ConcatenatedCodes,
    rows: Int[Tensor, "A W"],
    generators: Sequence[torch.Generator],
    weights: Float[Tensor, "A Y E"],
) -> Float[Tensor, "A Y E"]:
    """Gradient of the mean cross-entropy of each job's batch."""
    present = rows >= 0
    x = data.sample(rows, generators)
    error = torch.bmm(x, weights.mT).softmax(-1)
    error.scatter_add_(2, data.labels[rows][..., None], -torch.ones_like(error[..., :1]))
    error *= (present / present.sum(1, keepdim=True))[..., None].to(error.dtype)
    return torch.bmm(error.mT, x)


def _adam_step(
    head: Head, weights: Tensor, gradient: Tensor, mean: Tensor, square: Tensor, rates: Tensor, step: int
) -> None:
    """One step in place, as in torch.optim.AdamW."""
    optimiser = head.optimiser
    assert isinstance(optimiser, Adam)
    beta2 = optimiser.beta2
    mean.lerp_(gradient, 1 - BETA1)
    square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    denominator = square.sqrt().div_((1 - beta2**step) ** 0.5).add_(EPSILON)
    if optimiser.weight_decay:
        weights.mul_(1 - rates * optimiser.weight_decay)
    weights.sub_(mean / denominator * (rates / (1 - BETA1**step)))
