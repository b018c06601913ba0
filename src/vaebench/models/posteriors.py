"""POSTERIORS over the latent code, and how far they are from the prior."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal, kl_divergence
from torch.nn import functional as F

from vaebench.core.frozen import Frozen, one_of


@runtime_checkable
class Posterior(Protocol):
    """How the encoder's raw output (..., 2D) becomes q(z|x)."""

    def __call__(self, raw: Float[Tensor, "*batch E"]) -> Independent:
        """A diagonal Gaussian, event shape (D,)."""
        ...


class LogVariance(Frozen):
    """q(z|x) = N(mean, exp(log-variance)): the encoder gives mean and log-variance, both unconstrained.

    Kingma & Welling 2014, appendix C.2. The log-variance is kept within +-20, far outside any trained value.
    """

    kind: Literal["log-variance"] = "log-variance"

    def __call__(self, raw: Float[Tensor, "*batch E"]) -> Independent:
        """Split in halves: mean, log-variance."""
        mean, log_variance = raw.chunk(2, dim=-1)
        return diagonal_gaussian(mean, log_variance.clamp(-20, 20).mul(0.5).exp())


class SoftplusScale(Frozen):
    """q(z|x) = N(mean, softplus(raw)^2): linear mean, softplus standard deviation. Paper B, section 3."""

    kind: Literal["softplus"] = "softplus"

    def __call__(self, raw: Float[Tensor, "*batch E"]) -> Independent:
        """Split in halves: mean, raw scale; 1e-6 keeps the scale from underflowing to 0."""
        mean, raw_scale = raw.chunk(2, dim=-1)
        return diagonal_gaussian(mean, F.softplus(raw_scale) + 1e-6)


POSTERIORS = {"log-variance": LogVariance, "softplus": SoftplusScale}

if TYPE_CHECKING:
    AnyPosterior = Posterior
else:
    AnyPosterior = one_of(POSTERIORS)


def diagonal_gaussian(mean: Float[Tensor, "*batch D"], scale: Float[Tensor, "*batch D"]) -> Independent:
    """N(mean, diag(scale^2)) with event shape (D,)."""
    return Independent(Normal(mean, scale, validate_args=False), 1, validate_args=False)


def kl_per_latent(q: Independent, p: Independent) -> Float[Tensor, "B D"]:
    """KL(q_d || p_d) for each image and latent, in nats; the sum over latents is the KL of the two.

    Kingma & Welling 2014, appendix B, in closed form.
    """
    return kl_divergence(q.base_dist, p.base_dist)


def divergence(q: Independent, p: Distribution, z: Float[Tensor, "*samples B D"]) -> Float[Tensor, " B"]:
    """KL(q(z|x) || p(z)) for each image, in nats: in closed form where p is a diagonal Gaussian, else log q(z|x) -
    log p(z) at ``z`` drawn from q, mean over its samples."""
    if isinstance(p, Independent):
        return kl(q, p)
    found: Tensor = q.log_prob(z) - p.log_prob(z)
    return found.flatten(0, -2).mean(0) if found.ndim > 1 else found


def kl(q: Independent, p: Distribution) -> Float[Tensor, " B"]:
    """KL(q(z|x) || p(z)) for each image, in nats."""
    return kl_divergence(q, p)
