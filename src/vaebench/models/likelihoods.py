"""LIKELIHOODS: p(x|z) as a true density, from the decoder's raw output.

Every likelihood is called with raw values (..., outputs * C, H, W) and returns a distribution over images
(..., C, H, W) whose ``log_prob`` is in nats per image, with all constants.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Independent, Normal
from torch.nn import functional as F

from vaebench.core.errors import VaebenchError
from vaebench.core.frozen import Frozen, one_of
from vaebench.models.distributions import ContinuousBernoulli


@runtime_checkable
class Likelihood(Protocol):
    """What a VAE needs of p(x|z)."""

    outputs: ClassVar[int]
    """Raw values that the decoder gives for each pixel and channel."""
    unit_interval: ClassVar[bool]
    """Whether pixels must lie in [0, 1]."""

    def __call__(self, raw: Float[Tensor, "*batch P H W"]) -> Distribution:
        """The distribution over images, event shape (C, H, W)."""
        ...

    def last_layer(self, channels: int) -> nn.Module:
        """Appended to the decoder: the likelihood's own parameters, if it learns any."""
        ...


class BernoulliPixels(Frozen):
    """Each pixel is a coin: p(x|z) = prod_i Bern(x_i; sigmoid(raw_i)).

    A probability for black-and-white images; on grey ones ``log_prob`` is minus the cross-entropy, which is no
    density (use ``continuous-bernoulli``). Kingma & Welling 2014, appendix C.1.
    """

    kind: Literal["bernoulli"] = "bernoulli"
    outputs: ClassVar[int] = 1
    unit_interval: ClassVar[bool] = True

    def __call__(self, raw: Float[Tensor, "*batch P H W"]) -> Distribution:
        """Independent coins with these logits."""
        return Independent(Bernoulli(logits=raw, validate_args=False), 3, validate_args=False)

    def last_layer(self, channels: int) -> nn.Module:
        """Nothing to learn."""
        return nn.Identity()


class ContinuousBernoulliPixels(Frozen):
    """Each pixel is continuous Bernoulli on [0, 1], the density that grey images need.

    Loaiza-Ganem & Cunningham 2019 (arXiv:1907.06845), eq. 8.
    """

    kind: Literal["continuous-bernoulli"] = "continuous-bernoulli"
    outputs: ClassVar[int] = 1
    unit_interval: ClassVar[bool] = True

    def __call__(self, raw: Float[Tensor, "*batch P H W"]) -> Distribution:
        """Independent continuous Bernoullis with these logits."""
        return Independent(ContinuousBernoulli(raw, validate_args=False), 3, validate_args=False)

    def last_layer(self, channels: int) -> nn.Module:
        """Nothing to learn."""
        return nn.Identity()


class GaussianPixels(Frozen):
    """p(x|z) = N(x; raw, scale^2) with one fixed scale.

    ``scale = sqrt(1/2)`` makes -log p the squared error plus a constant, so that "squared error + KL" is this
    likelihood; ``scale = 1`` gives half the squared error.
    """

    kind: Literal["gaussian"] = "gaussian"
    scale: float = Field(math.sqrt(0.5), gt=0)
    """Standard deviation of every pixel, in units of the pixel range."""
    outputs: ClassVar[int] = 1
    unit_interval: ClassVar[bool] = False

    def __call__(self, raw: Float[Tensor, "*batch P H W"]) -> Distribution:
        """Independent Gaussians around the raw values."""
        return _gaussian(raw, raw.new_tensor(self.scale))

    def last_layer(self, channels: int) -> nn.Module:
        """Nothing to learn."""
        return nn.Identity()


class GaussianSigmoidMean(Frozen):
    """p(x|z) = N(x; sigmoid(raw), scale^2): a Gaussian whose mean stays within the pixel range [0, 1].

    Paper E ("benchmarking MNIST"), section 2.1: the decoder ends in a sigmoid, the loss is squared error + KL.
    """

    kind: Literal["gaussian-sigmoid"] = "gaussian-sigmoid"
    scale: float = Field(math.sqrt(0.5), gt=0)
    """Standard deviation of every pixel, in units of the pixel range."""
    outputs: ClassVar[int] = 1
    unit_interval: ClassVar[bool] = False

    def __call__(self, raw: Float[Tensor, "*batch P H W"]) -> Distribution:
        """Independent Gaussians around the sigmoids of the raw values."""
        return _gaussian(raw.sigmoid(), raw.new_tensor(self.scale))

    def last_layer(self, channels: int) -> nn.Module:
        """Nothing to learn."""
        return nn.Identity()


class GaussianGlobalScale(Frozen):
    """p(x|z) = N(x; mean, s^2) with one scale s learned for all pixels, s = floor + softplus(parameter).

    Rybkin et al. 2021, "Simple and effective VAE training with calibrated decoders", section 3.
    """

    kind: Literal["gaussian-global"] = "gaussian-global"
    floor: float = Field(0.01, gt=0)
    """The least scale; without it pixels that never change make the density unbounded."""
    outputs: ClassVar[int] = 1
    unit_interval: ClassVar[bool] = False

    def __call__(self, raw: Float[Tensor, "*batch P H W"]) -> Distribution:
        """Gaussians from raw means and, in the second half of the channels, raw scales."""
        mean, raw_scale = raw.chunk(2, dim=-3)
        return _gaussian(mean, self.floor + F.softplus(raw_scale))

    def last_layer(self, channels: int) -> nn.Module:
        """Appends the learned raw scale as further channels."""
        return GlobalScale(channels)


class GaussianPixelScale(Frozen):
    """p(x|z) = N(x; mean(z), s(z)^2) with a scale for every pixel, s = floor + softplus(raw).

    Unbounded where pixels are constant (half of Fashion-MNIST's are exactly 0), hence the floor, which bounds
    the density at 1 / (floor sqrt(2 pi)) a pixel. Paper B ("generation and classification"), section 2.2.
    """

    kind: Literal["gaussian-pixel"] = "gaussian-pixel"
    floor: float = Field(0.01, gt=0)
    """The least scale of a pixel."""
    outputs: ClassVar[int] = 2
    unit_interval: ClassVar[bool] = False

    def __call__(self, raw: Float[Tensor, "*batch P H W"]) -> Distribution:
        """Gaussians from raw means and, in the second half of the channels, raw scales."""
        mean, raw_scale = raw.chunk(2, dim=-3)
        return _gaussian(mean, self.floor + F.softplus(raw_scale))

    def last_layer(self, channels: int) -> nn.Module:
        """Nothing beyond the decoder."""
        return nn.Identity()


class GlobalScale(nn.Module):
    """Appends one learned value as ``channels`` further channels: (..., C, H, W) to (..., 2C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.raw_scale = nn.Parameter(torch.zeros(()))

    def forward(self, mean: Float[Tensor, "*batch C H W"]) -> Float[Tensor, "*batch P H W"]:
        """The means, then the raw scale beside each."""
        return torch.cat([mean, self.raw_scale.to(mean.dtype).expand_as(mean)], dim=-3)


def _gaussian(mean: Tensor, scale: Tensor) -> Distribution:
    return Independent(Normal(mean, scale, validate_args=False), 3, validate_args=False)


LIKELIHOODS = {
    "bernoulli": BernoulliPixels,
    "continuous-bernoulli": ContinuousBernoulliPixels,
    "gaussian": GaussianPixels,
    "gaussian-sigmoid": GaussianSigmoidMean,
    "gaussian-global": GaussianGlobalScale,
    "gaussian-pixel": GaussianPixelScale,
}

if TYPE_CHECKING:
    AnyLikelihood = Likelihood
else:
    AnyLikelihood = one_of(LIKELIHOODS)


def check_pixels(likelihood: Likelihood, x: Float[Tensor, "B C H W"], name: str = "x") -> None:
    """Refuse pixels outside the likelihood's range.

    Raises:
        VaebenchError: NaN or infinite pixels, or a Bernoulli given values outside [0, 1].
    """
    low, high = float(x.min()), float(x.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise VaebenchError(f"{name} holds NaN or infinite pixels; expected finite values, so clean the images")
    if likelihood.unit_interval and (low < 0 or high > 1):
        raise VaebenchError(
            f"{name} holds pixels from {low:.4g} to {high:.4g}, but {type(likelihood).__name__} is a density on "
            "[0, 1] only: scale the pixels (divide 8-bit ones by 255, do not standardise) or choose a gaussian"
        )
