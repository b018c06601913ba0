"""The KL to the prior in three parts, by the mixture of all posteriors."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vaebench.core.errors import VaebenchError
from vaebench.evaluation.features import Codes

CHUNK = 50
"""Codes that are held against all posteriors at once."""


class DividedKL(NamedTuple):
    """Nats per image; the three add up to the KL to a standard normal, but for the noise of the samples."""

    information: float
    """Between images and codes; at most the logarithm of the number of images, which it reaches where posteriors
    do not overlap."""
    total_correlation: float
    """Of latents with one another: KL(q(z) || prod_d q(z_d))."""
    marginals: float
    """Sum over latents of KL(q(z_d) || N(0, 1))."""
    error: float
    """Standard error of the total correlation over the sampled codes."""


@torch.no_grad()
def divided_kl(codes: Codes, samples: int = 1000, seed: int = 0) -> DividedKL:
    """KL(q(z|x) || N(0, I)) divided, with q(z) = (1/N) sum_n q(z|x_n) over all images and no estimate of it.

    Chen et al. 2018, "Isolating sources of disentanglement in VAEs", eq. 2. It is that of these very images: where the
    KL is above log N, codes are apart like grains, and most of the total correlation says so.

    Args:
        codes: means and log-variances.
        samples: how many codes are drawn, one each of images drawn with return.
        seed: of what is drawn.

    Raises:
        VaebenchError: codes without variances.
    """
    if codes.log_variance is None:
        raise VaebenchError("codes have no log_variance; expected those of a VAE, which are distributions")
    mean, scale = codes.mean.double(), codes.log_variance.double().mul(0.5).exp()
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(len(mean), (samples,), generator=generator)
    noise = torch.randn(samples, mean.shape[1], generator=generator, dtype=torch.float64)
    z = mean[rows] + scale[rows] * noise
    own = _log_normal(noise, scale[rows]).sum(1)
    parts = [_log_aggregate(some, mean, scale) for some in z.split(CHUNK)]
    joint, each = (torch.cat(found) for found in zip(*parts, strict=True))
    apart = joint - each.sum(1)
    normal = _log_normal(z, torch.ones_like(z))
    return DividedKL(
        float((own - joint).mean()),
        float(apart.mean()),
        float((each - normal).sum(1).mean()),
        float(apart.std() / math.sqrt(samples)),
    )


def _log_normal(standard: Tensor, scale: Tensor) -> Tensor:
    return -0.5 * standard.square() - scale.log() - 0.5 * math.log(2 * math.pi)


def _log_aggregate(
    z: Float[Tensor, "B D"], mean: Float[Tensor, "N D"], scale: Float[Tensor, "N D"]
) -> tuple[Float[Tensor, " B"], Float[Tensor, "B D"]]:
    """log q(z), and log q(z_d) for each latent, under the mixture of all posteriors."""
    joint, each = torch.zeros(len(z), len(mean), dtype=z.dtype), []
    for latent in range(z.shape[1]):
        centre, width = mean[:, latent], scale[:, latent]
        found = _log_normal((z[:, latent, None] - centre) / width, width)
        joint += found
        each.append(found.logsumexp(1))
    count = math.log(len(mean))
    return joint.logsumexp(1) - count, torch.stack(each, 1) - count
