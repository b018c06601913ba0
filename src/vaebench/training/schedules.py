"""SCHEDULES of the learning rate and OPTIMISERS: pure functions of progress, so that resuming needs no state."""

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
"""Of Adam: the decay of the mean of gradients."""
Share = Annotated[float, Field(gt=0, lt=1)]
Rate = Annotated[float, Field(gt=0)]


@runtime_checkable
class Schedule(Protocol):
    """A factor on the learning rate."""

    def __call__(self, progress: float) -> float:
        """The factor at this share of training (0 to 1)."""
        ...


class Constant(Frozen):
    """The learning rate as it is."""

    kind: Literal["constant"] = "constant"

    def __call__(self, progress: float) -> float:
        """Always 1."""
        return 1.0


class WarmUpCosine(Frozen):
    """Linear from 0 to 1 over the first ``warm_up`` of training, then half a cosine down to 0."""

    kind: Literal["warm-up-cosine"] = "warm-up-cosine"
    warm_up: Share = 0.05

    def __call__(self, progress: float) -> float:
        """The factor at this share of training."""
        if progress < self.warm_up:
            return progress / self.warm_up
        return 0.5 + 0.5 * math.cos(math.pi * (progress - self.warm_up) / (1 - self.warm_up))


class OneCycle(Frozen):
    """Half a cosine from 1/25 up to 1, then half a cosine down to nearly 0. Smith & Topin 2018, section 3."""

    kind: Literal["one-cycle"] = "one-cycle"
    rise: Share = 0.3
    """Share of training in which the learning rate rises."""

    def __call__(self, progress: float) -> float:
        """The factor at this share of training."""
        start, end = (1 / 25, 1.0) if progress < self.rise else (1.0, 1e-4)
        part = progress / self.rise if progress < self.rise else (progress - self.rise) / (1 - self.rise)
        return end + (start - end) * (0.5 + 0.5 * math.cos(math.pi * part))


class Adam(Frozen):
    """Adam (Kingma & Ba 2015); with ``weight_decay`` decoupled (Loshchilov & Hutter 2019)."""

    kind: Literal["adam"] = "adam"
    rate: Rate = 1e-3
    """Learning rate at the schedule's factor 1."""
    beta2: Share = 0.999
    weight_decay: float = Field(0.0, ge=0)

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The torch optimiser over these parameters."""
        return torch.optim.AdamW(
            parameters, self.rate, betas=(BETA1, self.beta2), weight_decay=self.weight_decay, fused=True
        )


class Muon(Frozen):
    """Muon (Jordan et al. 2024) for matrices and filters, Adam for biases, scales and thin layers.

    Its own cost grows with the cube of a layer's shorter side, not with the batch: little for filters, on a processor
    more than all else for fully connected layers of some hundred units.
    """

    kind: Literal["muon"] = "muon"
    rate: Rate = 0.05
    """Learning rate of matrices at the schedule's factor 1."""
    others: float = Field(0.2, gt=0)
    """Adam's learning rate as a share of it."""
    momentum: Share = 0.95
    beta2: Share = 0.99
    """Of Adam."""

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The torch optimiser over these parameters."""
        return MuonAndAdam(parameters, self.rate, self.others, self.momentum, (BETA1, self.beta2))


class SGD(Frozen):
    """Stochastic gradient descent with momentum."""

    kind: Literal["sgd"] = "sgd"
    rate: Rate = 1e-2
    """Learning rate at the schedule's factor 1."""
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The torch optimiser over these parameters."""
        return torch.optim.SGD(parameters, self.rate, self.momentum, weight_decay=self.weight_decay)


SCHEDULES: dict[str, type[Frozen]] = {"constant": Constant, "warm-up-cosine": WarmUpCosine, "one-cycle": OneCycle}
OPTIMISERS: dict[str, type[Frozen]] = {"adam": Adam, "muon": Muon, "sgd": SGD}


@runtime_checkable
class Optimiser(Protocol):
    """Describes and builds a torch optimiser."""

    @property
    def rate(self) -> float:
        """Learning rate at the schedule's factor 1."""
        ...

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The torch optimiser over these parameters."""
        ...


if TYPE_CHECKING:
    AnySchedule = Schedule
    AnyOptimiser = Optimiser
else:
    AnySchedule = one_of(SCHEDULES)
    AnyOptimiser = one_of(OPTIMISERS)
