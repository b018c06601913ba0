"""POSTERIORS: q(z|x) from the encoder's raw output, and its KL divergence from the prior."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal, kl_divergence
from torch.nn import functional as F

from vaebench.core.frozen import Frozen, one_of


@runtime_checkable
class Posterior(Protocol):
    """A function from the encoder's raw output (..., 2D) to q(z|x)."""

    def __call__(self, raw: Float[Tensor, "*batch E"]) -> Independent:
        """A diagonal Gaussian, event shape (D,)."""
        ...


class LogVariance(Frozen):
    """q(z|x) = N(mean, exp(log-variance)); the encoder outputs mean and log-variance, both unconstrained.

    Kingma & Welling 2014, appendix C.2. The log-variance is clamped to +-20, far beyond any trained value.
    """

    kind: Literal["log-variance"] = "log-variance"

    def __call__(self, raw: Float[Tensor, "*batch E"]) -> Independent:
        """The Gaussian whose mean and log-variance are the two halves of ``raw``."""
        mean, log_variance = raw.chunk(2, dim=-1)
        return diagonal_gaussian(mean, log_variance.clamp(-20, 20).mul(0.5).exp())


class SoftplusScale(Frozen):
    """q(z|x) = N(mean, softplus(raw)^2): linear mean, softplus standard deviation. Paper B, section 3."""

    kind: Literal["softplus"] = "softplus"

    def __call__(self, raw: Float[Tensor, "*batch E"]) -> Independent:
        """The Gaussian whose mean and raw scale are the two halves of ``raw``; 1e-6 keeps the scale above 0."""
        mean, raw_scale = raw.chunk(2, dim=-1)
        return diagonal_gaussian(mean, F.softplus(raw_scale) + 1e-6)


class FixedScale(Frozen):
    """q(z|x) = N(mean, scale^2 I) with the same scale for all images, which is not trained.

    The VAE of constant variance of Ghosh et al. 2020, "From variational to deterministic autoencoders", section 2.1. A
    small scale suits objectives that train the mean alone: the ELBO is then that of an autoencoder whose codes have
    this much noise.
    """

    kind: Literal["fixed-scale"] = "fixed-scale"
    scale: float = Field(0.01, gt=0)
    """Standard deviation of every latent."""

    def __call__(self, raw: Float[Tensor, "*batch E"]) -> Independent:
        """The Gaussian whose mean is the first half of ``raw``; the second half is not used."""
        mean = raw.chunk(2, dim=-1)[0]
        return diagonal_gaussian(mean, torch.full_like(mean, self.scale))


POSTERIORS = {"log-variance": LogVariance, "softplus": SoftplusScale, "fixed-scale": FixedScale}

if TYPE_CHECKING:
    AnyPosterior = Posterior
else:
    AnyPosterior = one_of(POSTERIORS)


def diagonal_gaussian(mean: Float[Tensor, "*batch D"], scale: Float[Tensor, "*batch D"]) -> Independent:
    """N(mean, diag(scale^2)), event shape (D,)."""
    return Independent(Normal(mean, scale, validate_args=False), 1, validate_args=False)


def standard_normal(zero: Float[Tensor, " D"]) -> Independent:
    """N(0, I), event shape (D,), with the dtype and device of ``zero``, a vector of zeros."""
    return diagonal_gaussian(zero, torch.ones_like(zero))


def kl_per_latent(q: Independent, p: Independent) -> Float[Tensor, "B D"]:
    """KL(q_d || p_d) for each image and latent, in nats; the sum over latents is KL(q || p).

    Kingma & Welling 2014, appendix B, in closed form.
    """
    return kl_divergence(q.base_dist, p.base_dist)


def divergence(q: Independent, p: Distribution, z: Float[Tensor, "*samples B D"]) -> Float[Tensor, " B"]:
    """KL(q(z|x) || p(z)) for each image, in nats.

    In closed form if p is a diagonal Gaussian, otherwise the mean of log q(z|x) - log p(z) over samples ``z`` of q.
    """
    if isinstance(p, Independent):
        return kl(q, p)
    log_ratio: Tensor = q.log_prob(z) - p.log_prob(z)
    return log_ratio.flatten(0, -2).mean(0) if log_ratio.ndim > 1 else log_ratio


def kl(q: Independent, p: Distribution) -> Float[Tensor, " B"]:
    """KL(q(z|x) || p(z)) for each image, in nats, in closed form."""
    return kl_divergence(q, p)
