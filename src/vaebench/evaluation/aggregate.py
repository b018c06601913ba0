"""Decomposition of the KL to the prior by the aggregate posterior q(z)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vaebench.core.errors import VaebenchError
from vaebench.evaluation.features import Codes

CHUNK = 50
"""Codes whose density under all posteriors is computed at once."""


class KLDecomposition(NamedTuple):
    """Nats per image; the three terms sum to the KL to a standard normal up to sampling noise."""

    information: float
    """Mutual information of images and codes; at most the logarithm of the number of images, reached where posteriors
    do not overlap."""
    total_correlation: float
    """KL(q(z) || prod_d q(z_d)): the dependence between latents."""
    marginals: float
    """Sum over latents of KL(q(z_d) || N(0, 1)), the dimension-wise KL."""
    error: float
    """Standard error of the total correlation over the sampled codes."""


@torch.no_grad()
def decompose_kl(codes: Codes, samples: int = 1000, seed: int = 0) -> KLDecomposition:
    """Decompose KL(q(z|x) || N(0, I)) with the exact mixture q(z) = (1/N) sum_n q(z|x_n) over the given images.

    Chen et al. 2018, "Isolating sources of disentanglement in VAEs", eq. 2. The terms describe these N images: where
    the KL exceeds log N, posteriors hardly overlap and most of the KL is counted as total correlation.

    Args:
        codes: means and log-variances.
        samples: number of codes drawn, each from the posterior of an image drawn with replacement.
        seed: seed of the images and of the noise.

    Raises:
        VaebenchError: codes without variances.
    """
    if codes.log_variance is None:
        raise VaebenchError("codes have no log_variance; expected the posteriors of a VAE")
    mean, scale = codes.mean.double(), codes.log_variance.double().mul(0.5).exp()
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(len(mean), (samples,), generator=generator)
    noise = torch.randn(samples, mean.shape[1], generator=generator, dtype=torch.float64)
    z = mean[rows] + scale[rows] * noise
    log_posterior = _log_normal(noise, scale[rows]).sum(1)
    densities = [_log_aggregate(chunk, mean, scale) for chunk in z.split(CHUNK)]
    joint, marginal = (torch.cat(chunks) for chunks in zip(*densities, strict=True))
    correlation = joint - marginal.sum(1)
    log_prior = _log_normal(z, torch.ones_like(z))
    return KLDecomposition(
        float((log_posterior - joint).mean()),
        float(correlation.mean()),
        float((marginal - log_prior).sum(1).mean()),
        float(correlation.std() / math.sqrt(samples)),
    )


def _log_normal(standardised: Tensor, scale: Tensor) -> Tensor:
    return -0.5 * standardised.square() - scale.log() - 0.5 * math.log(2 * math.pi)


def _log_aggregate(
    z: Float[Tensor, "B D"], mean: Float[Tensor, "N D"], scale: Float[Tensor, "N D"]
) -> tuple[Float[Tensor, " B"], Float[Tensor, "B D"]]:
    """log q(z), and log q(z_d) of each latent, under the mixture of all posteriors."""
    joint, marginals = torch.zeros(len(z), len(mean), dtype=z.dtype), []
    for latent in range(z.shape[1]):
        centre, width = mean[:, latent], scale[:, latent]
        log_densities = _log_normal((z[:, latent, None] - centre) / width, width)
        joint += log_densities
        marginals.append(log_densities.logsumexp(1))
    count = math.log(len(mean))
    return joint.logsumexp(1) - count, torch.stack(marginals, 1) - count
