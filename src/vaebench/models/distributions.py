"""A numerically stable continuous Bernoulli distribution."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, constraints

SERIES_BELOW = 0.1
"""|logit| / 2 below which the Taylor series are exact to float64, and above which the closed forms are."""


def log_sinhc(u: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """log(sinh(u) / u), even in u, without overflow or cancellation."""
    u = u.abs()
    small = u < SERIES_BELOW
    a = torch.where(small, u, 0.0).square()
    series = a * (1 / 6 + a * (-1 / 180 + a * (1 / 2835 + a * (-1 / 37800))))
    b = torch.where(small, 1.0, u)
    return torch.where(small, series, b + torch.log(-torch.expm1(-2 * b)) - torch.log(2 * b))


def langevin(u: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """coth(u) - 1/u, the derivative of :func:`log_sinhc`; odd in u."""
    small = u.abs() < SERIES_BELOW
    a = torch.where(small, u, 0.0)
    s = a.square()
    series = a * (1 / 3 + s * (-1 / 45 + s * (2 / 945 + s * (-1 / 4725 + s * (2 / 93555)))))
    b = torch.where(small, 1.0, u)
    return torch.where(small, series, 1 / torch.tanh(b) - 1 / b)


class ContinuousBernoulli(Distribution):
    """p(x) = C(lambda) lambda^x (1 - lambda)^(1-x) on [0, 1], a density, with logits t = logit(lambda).

    In terms of t it is the truncated exponential p(x) = t e^(t x) / (e^t - 1), so
    log p(x) = t (x - 1/2) - log(sinh(t/2) / (t/2)) for every t, computed by a series near t = 0 (lambda = 0.5).

    Loaiza-Ganem & Cunningham 2019 (arXiv:1907.06845), eqs. 4-8.

    Args:
        logits: t, whose shape is the batch shape.
    """

    arg_constraints = {"logits": constraints.real}  # noqa: RUF012 - defined so by torch
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, logits: Float[Tensor, "*shape"], validate_args: bool | None = None) -> None:
        self.logits = logits
        super().__init__(logits.shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> ContinuousBernoulli:
        """The distribution with an expanded batch shape."""
        return ContinuousBernoulli(self.logits.expand(batch_shape), validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density of values in [0, 1], nats per pixel."""
        return self.logits * (value - 0.5) - log_sinhc(self.logits / 2)

    @property
    def mean(self) -> Tensor:
        """E[x] = 1/2 + (coth(t/2) - 2/t) / 2, which is not lambda."""
        return 0.5 + 0.5 * langevin(self.logits / 2)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Samples by inversion of the distribution function, differentiable with respect to the logits."""
        t = self.logits.expand(self._extended_shape(torch.Size(sample_shape)))
        u = torch.rand_like(t)
        small = t.abs() < 1e-4  # nearly uniform: two terms of the series are exact to 1e-9
        b = torch.where(small, -1.0, -t.abs())  # positive t by symmetry, which avoids overflow
        y = torch.log1p(u * torch.expm1(b)) / b
        return torch.where(small, u + t * u * (1 - u) / 2, torch.where(t > 0, 1 - y, y))
