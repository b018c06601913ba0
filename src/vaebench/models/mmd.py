"""Objectives that match the codes of a batch to the prior by the maximum mean discrepancy: InfoVAE and WAE-MMD."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from vaebench.core.errors import VaebenchError
from vaebench.core.frozen import Frozen
from vaebench.data.images import Batch
from vaebench.models.loss import LossOutput, Weight, elbo_terms, log_likelihood, loss_components
from vaebench.models.vae import VAE

SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Multiples of 2 D, the mean squared distance of two samples of N(0, I), that the kernels have as constants."""


class InfoVAE(Frozen):
    """-E_q[log p(x|z)] + beta KL(q(z|x) || p(z)) + weight MMD(q(z), p(z)), one sample of z per image.

    InfoVAE, Zhao et al. 2019, "InfoVAE: balancing learning and inference in variational autoencoders", eq. 6, with
    beta = 1 - alpha and weight = alpha + lambda - 1. beta = 0 is their MMD-VAE, and the WAE-MMD of Tolstikhin et al.
    2018 with a random encoder. The kernel is that of :func:`mmd`.
    """

    kind: Literal["mmd"] = "mmd"
    beta: Weight = 0.0
    """Weight of the KL of each image."""
    weight: Weight = 100.0
    """Weight of the MMD of the batch, in nats."""

    def __call__(self, model: VAE, batch: Batch, progress: float) -> LossOutput:
        """The loss; its component ``mmd`` is the MMD of the batch.

        Raises:
            VaebenchError: the prior is learned.
        """
        z, log_px, kl_q = elbo_terms(model, batch)
        distance = mmd_to_prior(model, z)
        components = loss_components(log_px, kl_q) | {"mmd": distance.detach().expand(len(z))}
        return LossOutput((self.beta * kl_q - log_px).mean() + self.weight * distance, components)


class WassersteinAutoencoder(Frozen):
    """-log p(x | z = mean of q(z|x)) + weight MMD(means, p(z)): a deterministic encoder whose codes follow the prior.

    WAE-MMD, Tolstikhin et al. 2018, "Wasserstein auto-encoders", algorithm 2. Under a Gaussian likelihood of fixed
    scale s the cost is |x - decode(z)|^2 / (2 s^2) plus a constant; the default s gives the squared error. The
    variance of the posterior is not trained.
    """

    kind: Literal["wae-mmd"] = "wae-mmd"
    weight: Weight = 100.0
    """Weight of the MMD of the batch, in nats."""

    def __call__(self, model: VAE, batch: Batch, progress: float) -> LossOutput:
        """The loss; its component ``mmd`` is the MMD of the batch.

        Raises:
            VaebenchError: the prior is learned.
        """
        z = model.posterior(batch.x).mean
        log_px, distance = log_likelihood(model.decode(z), batch), mmd_to_prior(model, z)
        components = {"reconstruction": -log_px.detach(), "mmd": distance.detach().expand(len(z))}
        return LossOutput(-log_px.mean() + self.weight * distance, components)


def mmd_to_prior(model: VAE, z: Float[Tensor, "B D"]) -> Float[Tensor, ""]:
    """:func:`mmd` between codes and as many samples of the prior; 0 for a single code.

    Raises:
        VaebenchError: the prior is learned, which the discrepancy of samples gives no gradient.
    """
    if next(model.to_prior.parameters(), None) is not None:
        raise VaebenchError(
            "the objectives 'mmd' and 'wae-mmd' need a fixed prior, and that of the model is learned; set "
            "model.prior.kind to standard-normal or choose another objective"
        )
    if len(z) < 2:
        return 0 * z.sum()
    return mmd(z, model.prior().sample((len(z),)))


def mmd(first: Float[Tensor, "N D"], second: Float[Tensor, "M D"]) -> Float[Tensor, ""]:
    """Unbiased estimate of the squared maximum mean discrepancy of two distributions from samples; N, M >= 2.

    E k(a, a') + E k(b, b') - 2 E k(a, b), Gretton et al. 2012, "A kernel two-sample test", eq. 3. The kernel is the
    sum of inverse multiquadratics k(a, b) = C / (C + |a - b|^2) over C = 2 D s for s in ``SCALES``, as in the
    experiments of Tolstikhin et al. 2018. The estimate may be negative.
    """
    within = [_off_diagonal_mean(_kernel(samples, samples)) for samples in (first, second)]
    return within[0] + within[1] - 2 * _kernel(first, second).mean()


def _kernel(a: Float[Tensor, "N D"], b: Float[Tensor, "M D"]) -> Float[Tensor, "N M"]:
    squares = (a[:, None] - b[None]).square().sum(-1)
    constants = 2 * a.shape[1] * torch.tensor(SCALES, dtype=a.dtype, device=a.device)
    return (constants / (constants + squares[..., None])).sum(-1)


def _off_diagonal_mean(kernel: Float[Tensor, "N N"]) -> Float[Tensor, ""]:
    count = len(kernel)
    return (kernel.sum() - kernel.diagonal().sum()) / (count * (count - 1))
