"""Importance-weighted estimates of log p(x), with standard errors and effective sample sizes, in nats per image."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vaebench.core.errors import VaebenchError
from vaebench.core.files import read_arrays, write_arrays
from vaebench.data.images import Images
from vaebench.models.folding import fold_batch_norm
from vaebench.models.loss import log_likelihood
from vaebench.models.vae import VAE

CODES = 1024
"""Codes decoded at once."""
IMAGES = 64
"""Images in a chunk; each chunk has its own random stream."""
LEVELS = 256


@dataclass(frozen=True)
class Evidence:
    """Bound on log p(x), its standard error and the effective sample size of each image (N,), from K samples of z.

    The bias of the bound is about minus half the squared standard error, and larger where effective samples are few.
    """

    log_px: Float[Tensor, " N"]
    error: Float[Tensor, " N"]
    effective: Float[Tensor, " N"]

    @property
    def mean(self) -> float:
        """Mean log p(x) over images."""
        return float(self.log_px.double().mean())

    @property
    def standard_error(self) -> float:
        """Standard error of ``mean`` from sampling codes; sampling of images is not included."""
        return float(self.error.double().square().sum().sqrt() / len(self.error))


def evidence(
    vae: VAE,
    images: Images,
    samples: int,
    seed: int = 0,
    *,
    dequantise: bool = False,
    checkpoint: Path | None = None,
    callback: Callable[[float], None] = lambda fraction: None,
) -> Evidence:
    """Estimate log (1/K) sum_k p(x, z_k) / q(z_k|x), z_k ~ q(z|x), for every image. Burda et al. 2016, eq. 8.

    The standard error is that of the logarithm of a mean, by the delta method: sd(w) / (mean(w) sqrt(K)). The effective
    sample size is (sum w)^2 / sum w^2 (Kong 1992). Within torch.autocast the networks run in bf16, which is faster on
    processors with matrix tiles for it; densities and weights are always computed in higher precision.

    Args:
        samples: K.
        dequantise: add uniform noise of one grey level, so that a density on [0, 1] is a bound for 8-bit images
            (Theis et al. 2016, section 3.1); for :func:`bits_per_dimension`.
        checkpoint: file of the finished chunks, from which an interrupted call with the same arguments resumes; it must
            belong to the same weights and images.
        callback: receives the completed fraction in [0, 1].

    Raises:
        VaebenchError: ``dequantise`` with pixels that are not of 8 bits.
    """
    if dequantise and images.pixels.is_floating_point():
        raise VaebenchError("dequantise is set, but the pixels are floats; expected 8-bit pixels, so leave it out")
    network = fold_batch_norm(vae)
    autocast = torch.is_autocast_enabled(vae.zero.device.type)
    arguments = np.array([samples, seed, len(images), dequantise, IMAGES, CODES, autocast])
    done: np.ndarray = np.zeros((0, 3), np.float64)
    if checkpoint is not None and checkpoint.exists():
        kept = read_arrays(checkpoint)
        done = kept["found"] if np.array_equal(kept["about"], arguments) else done
    chunks = torch.arange(len(images)).split(IMAGES)
    for index in range(len(done) // IMAGES, len(chunks)):
        estimates = _estimate_chunk(network, images, chunks[index], samples, (seed, index), dequantise)
        done = np.concatenate([done[: index * IMAGES], estimates.numpy()])
        if checkpoint is not None:
            write_arrays(checkpoint, {"found": done, "about": arguments})
        callback((index + 1) / len(chunks))
    return Evidence(*torch.from_numpy(done).unbind(1))


@torch.no_grad()
def _estimate_chunk(
    vae: VAE, images: Images, rows: Tensor, samples: int, seed: tuple[int, int], dequantise: bool
) -> Float[Tensor, "B 3"]:
    """Bound, standard error and effective sample size of the images of ``rows``; weights are summed in batches."""
    device = vae.zero.device
    part = images.batch(rows).to(device)
    with torch.random.fork_rng():
        torch.manual_seed(seed[0] * 1_000_003 + seed[1])
        if dequantise:
            part = replace(part, x=(part.x * (LEVELS - 1) + torch.rand_like(part.x)) / LEVELS)
        q, prior = vae.posterior(part.x), vae.prior()
        top = torch.full((len(rows),), -math.inf, dtype=torch.float64, device=device)
        first, second = torch.zeros_like(top), torch.zeros_like(top)
        batch = max(1, CODES // len(rows))
        for start in range(0, samples, batch):
            z = q.sample((min(batch, samples - start),))
            weights = (log_likelihood(vae.decode(z), part) + prior.log_prob(z) - q.log_prob(z)).double()
            top, first, second = _accumulate(top, first, second, weights)
    mean = first / samples
    variance = (second / samples - mean.square()).clamp(min=0) * samples / max(samples - 1, 1)
    error = (variance / samples).sqrt() / mean if samples > 1 else torch.full_like(mean, math.inf)
    return torch.stack([top + mean.log(), error, first.square() / second], 1).cpu()


def _accumulate(
    top: Float[Tensor, " B"], first: Float[Tensor, " B"], second: Float[Tensor, " B"], weights: Float[Tensor, "K B"]
) -> tuple[Tensor, Tensor, Tensor]:
    """Update the highest log weight and the sums of exp(weights - top) and its square over samples."""
    higher = torch.maximum(top, weights.max(0).values)
    scale, relative = (top - higher).exp(), (weights - higher).exp()
    return higher, first * scale + relative.sum(0), second * scale.square() + relative.square().sum(0)


def bits_per_dimension(log_px: float, shape: tuple[int, int, int]) -> float:
    """Bits per pixel and channel of 8-bit images, from the log density (nats) of dequantised images in [0, 1].

    A density on [0, 1] is 256 times one on grey levels: -log p(x) / (D log 2) + 8 (Theis et al. 2016, section 3.1).
    """
    return -log_px / (math.prod(shape) * math.log(2)) + math.log2(LEVELS)
