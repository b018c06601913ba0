"""LIKELIHOODS: p(x|z) from the decoder's raw output.

A likelihood is called with raw values (..., outputs * C, H, W) and returns a distribution over images (..., C, H, W)
whose ``log_prob`` is in nats per image, with all constants. All are densities except ``bernoulli``, which is a
probability of black-and-white images and neither on grey pixels, and ``discretised-logistic``, a probability of 8-bit
images.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Independent, Normal, constraints
from torch.nn import functional as F

from vaebench.core.errors import VaebenchError
from vaebench.core.frozen import Frozen, one_of
from vaebench.models.discretised_logistic import DiscretisedLogisticPixels
from vaebench.models.networks import Network, Shape

SERIES_BELOW = 0.1
"""|logit| / 2 below which the Taylor series are exact to float64, and above which the closed forms are."""


@runtime_checkable
class Likelihood(Protocol):
    """A function from the decoder's raw output to p(x|z)."""

    outputs: ClassVar[int]
    """Raw values per pixel and channel."""
    unit_interval: ClassVar[bool]
    """Whether pixels must lie in [0, 1]."""

    def __call__(self, raw: Float[Tensor, "*batch P H W"]) -> Distribution:
        """The distribution over images, event shape (C, H, W)."""
        ...

    def last_layer(self, channels: int) -> nn.Module:
        """Layer appended to the decoder, which holds parameters of the likelihood itself."""
        ...


class _PixelLikelihood(Frozen):
    """Defaults: one raw value per pixel and channel, any real pixel, no parameters."""

    outputs: ClassVar[int] = 1
    unit_interval: ClassVar[bool] = False

    def last_layer(self, channels: int) -> nn.Module:
        """The identity."""
        return nn.Identity()


class BernoulliPixels(_PixelLikelihood):
    """p(x|z) = prod_i Bern(x_i; sigmoid(raw_i)). Kingma & Welling 2014, appendix C.1.

    A probability of black-and-white images. On grey ones ``log_prob`` is minus the cross-entropy, which is not a
    density; use ``continuous-bernoulli`` for a density.
    """

    kind: Literal["bernoulli"] = "bernoulli"
    unit_interval: ClassVar[bool] = True

    def __call__(self, raw: Float[Tensor, "*batch P H W"]) -> Distribution:
        return Independent(Bernoulli(logits=raw, validate_args=False), 3, validate_args=False)


class ContinuousBernoulliPixels(_PixelLikelihood):
    """p(x|z) = prod_i CB(x_i; sigmoid(raw_i)), a density of grey pixels in [0, 1].

    Loaiza-Ganem & Cunningham 2019 (arXiv:1907.06845), eq. 8.
    """

    kind: Literal["continuous-bernoulli"] = "continuous-bernoulli"
    unit_interval: ClassVar[bool] = True

    def __call__(self, raw: Float[Tensor, "*batch P H W"]) -> Distribution:
        return Independent(ContinuousBernoulli(raw, validate_args=False), 3, validate_args=False)


class GaussianPixels(_PixelLikelihood):
    """p(x|z) = N(x; raw, scale^2) with a fixed scale.

    With ``scale = sqrt(1/2)``, -log p is the squared error plus a constant, so this is the likelihood of the loss
    "squared error + KL"; ``scale = 1`` gives half the squared error.
    """

    kind: Literal["gaussian"] = "gaussian"
    scale: float = Field(math.sqrt(0.5), gt=0)
    """Standard deviation of every pixel, in units of the pixel range."""

    def __call__(self, raw: Float[Tensor, "*batch P H W"]) -> Distribution:
        return _gaussian(raw, raw.new_tensor(self.scale))


class GaussianSigmoidMean(_PixelLikelihood):
    """p(x|z) = N(x; sigmoid(raw), scale^2) with a fixed scale: the mean lies in the pixel range [0, 1].

    Paper E ("benchmarking MNIST"), section 2.1: the decoder ends in a sigmoid, the loss is squared error + KL.
    """

    kind: Literal["gaussian-sigmoid"] = "gaussian-sigmoid"
    scale: float = Field(math.sqrt(0.5), gt=0)
    """Standard deviation of every pixel, in units of the pixel range."""

    def __call__(self, raw: Float[Tensor, "*batch P H W"]) -> Distribution:
        return _gaussian(raw.sigmoid(), raw.new_tensor(self.scale))


class GaussianGlobalScale(_PixelLikelihood):
    """p(x|z) = N(x; mean, s^2) with one scale s learned for all pixels, s = floor + softplus(parameter).

    Rybkin et al. 2021, "Simple and effective VAE training with calibrated decoders", section 3.
    """

    kind: Literal["gaussian-global"] = "gaussian-global"
    floor: float = Field(0.01, gt=0)
    """Smallest scale; without it the density is unbounded if pixels are constant."""

    def __call__(self, raw: Float[Tensor, "*batch P H W"]) -> Distribution:
        """Gaussians whose means and raw scales are the two halves of the channels."""
        return _floored_gaussian(raw, self.floor)

    def last_layer(self, channels: int) -> nn.Module:
        """The layer that appends the learned raw scale as further channels."""
        return GlobalScale(channels)


class GaussianPixelScale(_PixelLikelihood):
    """p(x|z) = N(x; mean(z), s(z)^2) with a scale for every pixel, s = floor + softplus(raw).

    The likelihood is unbounded where pixels are constant (half of Fashion-MNIST's are exactly 0); the floor bounds the
    density at 1 / (floor sqrt(2 pi)) per pixel. Paper B ("generation and classification"), section 2.2.
    """

    kind: Literal["gaussian-pixel"] = "gaussian-pixel"
    floor: float = Field(0.01, gt=0)
    """Smallest scale of a pixel."""
    outputs: ClassVar[int] = 2

    def __call__(self, raw: Float[Tensor, "*batch P H W"]) -> Distribution:
        """Gaussians whose means and raw scales are the two halves of the channels."""
        return _floored_gaussian(raw, self.floor)


class GlobalScale(nn.Module):
    """Appends one learned value as ``channels`` further channels: (..., C, H, W) to (..., 2C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.raw_scale = nn.Parameter(torch.zeros(()))

    def forward(self, mean: Float[Tensor, "*batch C H W"]) -> Float[Tensor, "*batch P H W"]:
        """The means followed by the raw scale of each."""
        return torch.cat([mean, self.raw_scale.to(mean.dtype).expand_as(mean)], dim=-3)


def _gaussian(mean: Tensor, scale: Tensor) -> Distribution:
    return Independent(Normal(mean, scale, validate_args=False), 3, validate_args=False)


def _floored_gaussian(raw: Tensor, floor: float) -> Distribution:
    mean, raw_scale = raw.chunk(2, dim=-3)
    return _gaussian(mean, floor + F.softplus(raw_scale))


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


LIKELIHOODS = {
    "bernoulli": BernoulliPixels,
    "continuous-bernoulli": ContinuousBernoulliPixels,
    "gaussian": GaussianPixels,
    "gaussian-sigmoid": GaussianSigmoidMean,
    "gaussian-global": GaussianGlobalScale,
    "gaussian-pixel": GaussianPixelScale,
    "discretised-logistic": DiscretisedLogisticPixels,
}

if TYPE_CHECKING:
    AnyLikelihood = Likelihood
else:
    AnyLikelihood = one_of(LIKELIHOODS)


def likelihood_decoder(network: Network, inputs: int, shape: Shape, likelihood: Likelihood) -> nn.Module:
    """The network's decoder from ``inputs`` values to the raw values of the likelihood of images of this shape."""
    channels, height, width = shape
    decoder = network.decoder(inputs, (likelihood.outputs * channels, height, width))
    return nn.Sequential(decoder, likelihood.last_layer(channels))


def check_pixels(likelihood: Likelihood, x: Float[Tensor, "B C H W"], name: str = "x") -> None:
    """Check that pixels are finite and in the likelihood's range.

    Raises:
        VaebenchError: NaN or infinite pixels, or pixels outside [0, 1] for a likelihood on the unit interval.
    """
    low, high = float(x.min()), float(x.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise VaebenchError(f"{name} has NaN or infinite pixels; expected finite values, so clean the images")
    if likelihood.unit_interval and (low < 0 or high > 1):
        raise VaebenchError(
            f"{name} has pixels from {low:.4g} to {high:.4g}, but {type(likelihood).__name__} needs pixels in [0, 1]: "
            "scale the pixels (divide 8-bit ones by 255, do not standardise) or choose a gaussian"
        )
