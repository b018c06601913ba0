"""log p(x) by importance weighting, with its standard error and effective sample size, in nats per image."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vaebench.core.files import read_arrays, write_arrays
from vaebench.data.images import Images
from vaebench.models.folding import fold_batch_norm
from vaebench.models.vae import VAE

CODES = 1024
"""Codes that are decoded at a time."""
IMAGES = 64
"""Images whose codes are drawn together; each such chunk has a random stream of its own."""
LEVELS = 256


@dataclass(frozen=True)
class Evidence:
    """Per image, from K samples of z: the bound on log p(x) (N,), its standard error (N,), effective samples (N,).

    The bound is low by about half the squared standard error, and by more where effective samples are few.
    """

    log_px: Float[Tensor, " N"]
    error: Float[Tensor, " N"]
    effective: Float[Tensor, " N"]

    @property
    def mean(self) -> float:
        """Of log p(x) over images."""
        return float(self.log_px.double().mean())

    @property
    def standard_error(self) -> float:
        """Of that mean, by the drawing of codes alone: the images are taken as they are."""
        return float(self.error.double().square().sum().sqrt() / len(self.error))


def evidence(
    vae: VAE,
    images: Images,
    samples: int,
    seed: int = 0,
    *,
    dequantise: bool = False,
    kept: Path | None = None,
    callback: Callable[[float], None] = lambda done: None,
) -> Evidence:
    """log (1/K) sum_k p(x, z_k) / q(z_k|x), z_k ~ q(z|x), for every image. Burda et al. 2016, eq. 8.

    The standard error is that of the logarithm of a mean, by the delta method: sd(w) / (mean(w) sqrt(K)). Effective
    samples are (sum w)^2 / sum w^2 (Kong 1992). Called within torch.autocast, the networks run in bf16, which
    is faster where the processor has tiles for it; densities and weights never do.

    Args:
        samples: K.
        dequantise: add uniform noise of one grey level, so that a density on [0, 1] says something of 8-bit images
            (Theis et al. 2016, section 3.1); for :func:`bits_per_dimension`.
        kept: a file of what is done, from which a stopped call with the same arguments goes on; it belongs to these
            weights and images.
    """
    quick = fold_batch_norm(vae)
    rounded = torch.is_autocast_enabled(vae.zero.device.type)
    about = np.array([samples, seed, len(images), dequantise, IMAGES, CODES, rounded])
    done = _kept(kept, about)
    chunks = torch.arange(len(images)).split(IMAGES)
    for index in range(len(done) // IMAGES, len(chunks)):
        found = _chunk(quick, images, chunks[index], samples, (seed, index), dequantise)
        done = np.concatenate([done[: index * IMAGES], found.numpy()])
        if kept is not None:
            write_arrays(kept, {"found": done, "about": about})
        callback((index + 1) / len(chunks))
    return Evidence(*torch.from_numpy(done).unbind(1))


def _kept(path: Path | None, about: np.ndarray) -> Float[np.ndarray, "M 3"]:
    """What an earlier call with the same arguments has done."""
    if path is not None and path.exists():
        kept = read_arrays(path)
        if np.array_equal(kept["about"], about):
            return kept["found"]
    return np.zeros((0, 3), np.float64)


@torch.no_grad()
def _chunk(
    vae: VAE, images: Images, rows: Tensor, samples: int, seed: tuple[int, int], dequantise: bool
) -> Float[Tensor, "B 3"]:
    """Bound, error and effective samples of some images, their weights summed as they come."""
    device = vae.zero.device
    x = images.batch(rows).x.to(device)
    with torch.random.fork_rng():
        torch.manual_seed(seed[0] * 1_000_003 + seed[1])
        if dequantise:
            x = (x * (LEVELS - 1) + torch.rand_like(x)) / LEVELS
        q, prior = vae.posterior(x), vae.prior()
        top = torch.full((len(rows),), -math.inf, dtype=torch.float64, device=device)
        first, second = torch.zeros_like(top), torch.zeros_like(top)
        for count in _counts(samples, max(1, CODES // len(rows))):
            z = q.sample((count,))
            weights = (vae.decode(z).log_prob(x) + prior.log_prob(z) - q.log_prob(z)).double()
            top, first, second = _added(top, first, second, weights)
    mean = first / samples
    variance = (second / samples - mean.square()).clamp(min=0) * samples / max(samples - 1, 1)
    error = (variance / samples).sqrt() / mean if samples > 1 else torch.full_like(mean, math.inf)
    return torch.stack([top + mean.log(), error, first.square() / second], 1).cpu()


def _added(
    top: Float[Tensor, " B"], first: Float[Tensor, " B"], second: Float[Tensor, " B"], weights: Float[Tensor, "K B"]
) -> tuple[Tensor, Tensor, Tensor]:
    """Sums of exp(weights - top) and of its square over the samples so far, with the highest weight as top."""
    higher = torch.maximum(top, weights.max(0).values)
    scale, relative = (top - higher).exp(), (weights - higher).exp()
    return higher, first * scale + relative.sum(0), second * scale.square() + relative.square().sum(0)


def _counts(samples: int, at_once: int) -> list[int]:
    whole, rest = divmod(samples, at_once)
    return [at_once] * whole + [rest] * (rest > 0)


def bits_per_dimension(log_px: float, shape: tuple[int, int, int]) -> float:
    """Bits a pixel and channel of 8-bit images, from the log-density of dequantised ones in [0, 1], nats per image.

    A density on [0, 1] is 256 times one on grey levels: -log p(x) / (D log 2) + 8 (Theis et al. 2016, section 3.1).
    """
    return -log_px / (math.prod(shape) * math.log(2)) + math.log2(LEVELS)
