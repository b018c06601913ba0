"""ELBO terms, KL per latent and active units, in nats per image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Independent

from vaebench.data.images import Batch, Images
from vaebench.evaluation.code_use import CodeUse
from vaebench.models.loss import log_likelihood
from vaebench.models.posteriors import divergence, kl_per_latent
from vaebench.models.quantisers import Quantiser
from vaebench.models.vae import VAE

DEAD_BELOW = 0.05
"""A latent whose mean KL is below this many nats has collapsed to the prior."""
ACTIVE_ABOVE = 0.01
"""A latent whose mean varies over the data by more than this is active (Burda et al. 2016, section 5.2)."""
SATURATED_WITHIN = 1e-3
WRONG_BY = 0.25


@dataclass(frozen=True)
class Bounds:
    """Reconstruction -log p(x|z) of each image at one sample of z (N,); mean KL and Var[mean] of each latent (D,)."""

    reconstruction: Float[Tensor, " N"]
    kl_per_latent: Float[Tensor, " D"]
    variance_of_mean: Float[Tensor, " D"]
    saturated: float
    """Fraction of pixels where the decoder is certain (within 0.001 of black or white) and wrong by 0.25 or more."""

    whole_kl: float | None = None
    """Mean KL where it is not the sum over latents, since the prior does not factorise. Then ``kl_per_latent`` is the
    KL to a Gaussian with the moments of all codes, (log Var[z_d] - E[log Var[z_d|x]]) / 2: the information of each
    latent about the image."""
    code_use: CodeUse | None = None
    """Use of the codes of discrete latents. Then ``kl_per_latent`` is the entropy of each latent's code over the
    images, which is its information about the image, and ``whole_kl`` is -log p(codes)."""

    @property
    def kl(self) -> float:
        """Mean KL(q(z|x) || p(z))."""
        return float(self.kl_per_latent.sum()) if self.whole_kl is None else self.whole_kl

    @property
    def elbo(self) -> float:
        """Mean E_q[log p(x|z)] - KL."""
        return -float(self.reconstruction.mean()) - self.kl

    @property
    def dead(self) -> int:
        """Number of latents that have collapsed to the prior."""
        return int((self.kl_per_latent < DEAD_BELOW).sum())

    @property
    def active(self) -> int:
        """Number of active units."""
        return int((self.variance_of_mean > ACTIVE_ABOVE).sum())


@torch.no_grad()
def bounds(vae: VAE, images: Images, seed: int = 0, batch: int = 500) -> Bounds:
    """Compute the bounds of all images, in fp32, with one sample of z per image."""
    parts, saturated, prior, pixels = [], 0.0, vae.prior(), 0
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for rows in torch.arange(len(images)).split(batch):
            part = images.batch(rows).to(vae.zero.device)
            q = vae.posterior(part.x)
            z = q.rsample()
            p_x = vae.decode(z)
            kl = kl_per_latent(q, prior) if isinstance(prior, Independent) else divergence(q, prior, z)
            parts.append((-log_likelihood(p_x, part), kl, q.mean, q.variance))
            wrong, known = _certain_and_wrong(p_x.mean, part)
            saturated, pixels = saturated + wrong, pixels + known
    reconstruction, kl, mean, variance = (torch.cat(part) for part in zip(*parts, strict=True))
    kl, code_use = kl.double().mean(0).cpu(), None
    if isinstance(vae.to_posterior, Quantiser):
        code_use = CodeUse.of(vae.to_posterior, mean)
        information = code_use.entropies.repeat_interleave(mean.shape[1] // len(code_use.sizes))
    else:
        information = kl if kl.ndim else _information(mean.cpu().double(), variance.cpu().double())
    return Bounds(
        reconstruction.cpu(),
        information,
        mean.cpu().var(0, correction=0),
        saturated / max(pixels, 1),
        None if kl.ndim else float(kl),
        code_use,
    )


def _certain_and_wrong(mean: Float[Tensor, "B C H W"], batch: Batch) -> tuple[float, int]:
    """Number of known pixels whose mean is certain and wrong, and number of known pixels."""
    certain = (mean < SATURATED_WITHIN) | (mean > 1 - SATURATED_WITHIN)
    wrong = certain & ((mean - batch.x).abs() >= WRONG_BY)
    if batch.known is None:
        return float(wrong.sum()), batch.x.numel()
    return float((wrong & batch.known).sum()), int(batch.known.sum())


def _information(mean: Float[Tensor, "N D"], variance: Float[Tensor, "N D"]) -> Float[Tensor, " D"]:
    """Mean KL of each latent to the Gaussian with the moments of all codes."""
    total = mean.var(0, correction=0) + variance.mean(0)
    return (total.log() - variance.log().mean(0)) / 2
