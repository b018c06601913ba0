"""SCHEDULES of the learning rate, which are functions of progress without state, and OPTIMISERS."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Literal, Protocol, runtime_checkable

import torch
from pydantic import Field
from torch import nn

from vaebench.core.frozen import Frozen, one_of
from vaebench.training.muon import MuonAndAdam

BETA1 = 0.9
"""Adam's decay of the mean gradient."""
OpenUnitInterval = Annotated[float, Field(gt=0, lt=1)]
Rate = Annotated[float, Field(gt=0)]


@runtime_checkable
class Schedule(Protocol):
    """A factor on the learning rate."""

    def __call__(self, progress: float) -> float:
        """The factor when the fraction ``progress`` in [0, 1] of training is completed."""
        ...


class Constant(Frozen):
    """A constant learning rate."""

    kind: Literal["constant"] = "constant"

    def __call__(self, progress: float) -> float:
        return 1.0


class WarmUpCosine(Frozen):
    """A linear rise from 0 to 1 over the fraction ``warm_up`` of training, then half a cosine down to 0."""

    kind: Literal["warm-up-cosine"] = "warm-up-cosine"
    warm_up: OpenUnitInterval = 0.05

    def __call__(self, progress: float) -> float:
        if progress < self.warm_up:
            return progress / self.warm_up
        return 0.5 + 0.5 * math.cos(math.pi * (progress - self.warm_up) / (1 - self.warm_up))


class OneCycle(Frozen):
    """Half a cosine from 1/25 up to 1, then half a cosine down to 1e-4. Smith & Topin 2018, section 3."""

    kind: Literal["one-cycle"] = "one-cycle"
    rise: OpenUnitInterval = 0.3
    """Fraction of training during which the learning rate rises."""

    def __call__(self, progress: float) -> float:
        if progress < self.rise:
            start, end, fraction = 1 / 25, 1.0, progress / self.rise
        else:
            start, end, fraction = 1.0, 1e-4, (progress - self.rise) / (1 - self.rise)
        return end + (start - end) * (0.5 + 0.5 * math.cos(math.pi * fraction))


class Adam(Frozen):
    """Adam (Kingma & Ba 2015) with decoupled ``weight_decay`` (Loshchilov & Hutter 2019)."""

    kind: Literal["adam"] = "adam"
    rate: Rate = 1e-3
    """Learning rate at the schedule's factor 1."""
    beta2: OpenUnitInterval = 0.999
    weight_decay: float = Field(0.0, ge=0)

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.AdamW(
            parameters, self.rate, betas=(BETA1, self.beta2), weight_decay=self.weight_decay, fused=True
        )


class Muon(Frozen):
    """Muon (Jordan et al. 2024) for matrices and convolution filters, Adam for biases, scales and thin layers.

    A step costs time in proportion to the cube of a layer's shorter side, whatever the batch size: little for filters,
    but on a CPU more than the rest of the step for fully connected layers of some hundred units.
    """

    kind: Literal["muon"] = "muon"
    rate: Rate = 0.05
    """Learning rate of matrices at the schedule's factor 1."""
    others: float = Field(0.2, gt=0)
    """Adam's learning rate as a fraction of ``rate``."""
    momentum: OpenUnitInterval = 0.95
    beta2: OpenUnitInterval = 0.99
    """Adam's decay of the mean squared gradient."""

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return MuonAndAdam(parameters, self.rate, self.others, self.momentum, (BETA1, self.beta2))


class SGD(Frozen):
    """Stochastic gradient descent with momentum."""

    kind: Literal["sgd"] = "sgd"
    rate: Rate = 1e-2
    """Learning rate at the schedule's factor 1."""
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, self.rate, self.momentum, weight_decay=self.weight_decay)


SCHEDULES: dict[str, type[Frozen]] = {"constant": Constant, "warm-up-cosine": WarmUpCosine, "one-cycle": OneCycle}
OPTIMISERS: dict[str, type[Frozen]] = {"adam": Adam, "muon": Muon, "sgd": SGD}


@runtime_checkable
class Optimiser(Protocol):
    """Configuration of a torch optimiser."""

    @property
    def rate(self) -> float:
        """Learning rate at the schedule's factor 1."""
        ...

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The torch optimiser of these parameters."""
        ...


if TYPE_CHECKING:
    AnySchedule = Schedule
    AnyOptimiser = Optimiser
else:
    AnySchedule = one_of(SCHEDULES)
    AnyOptimiser = one_of(OPTIMISERS)
