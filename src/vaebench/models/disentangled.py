"""Objectives that ask latents to be independent of one another over the data, not of the data."""

from __future__ import annotations

import math
from typing import Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.distributions import Independent

from vaebench.core.frozen import Frozen
from vaebench.data.images import Batch
from vaebench.models.loss import LossOutput, Weight, loss_components
from vaebench.models.posteriors import divergence
from vaebench.models.vae import VAE


class BetaTCVAE(Frozen):
    """The negative ELBO plus (beta - 1) TC, with TC = KL(q(z) || prod_d q(z_d)).

    beta-TCVAE, Chen et al. 2018, "Isolating sources of disentanglement in VAEs", eq. 4 with alpha = gamma = 1. q(z) is
    estimated by the batch's own mixture (1/M) sum_j q(z|x_j), which is their minibatch-weighted sampling but for a
    constant that no gradient sees: the larger the batch, the better.
    """

    kind: Literal["total-correlation"] = "total-correlation"
    beta: Weight = 6.0
    """Weight of the total correlation; 1 is the ELBO."""

    def __call__(self, model: VAE, batch: Batch, progress: float) -> LossOutput:
        """The loss; the part ``total_correlation`` is an estimate for each image, in nats."""
        q = model.posterior(batch.x)
        z = q.rsample()
        log_px, kl_q, apart = (
            model.decode(z).log_prob(batch.x),
            divergence(q, model.prior(), z),
            total_correlation(q, z),
        )
        loss = (kl_q - log_px).mean() + (self.beta - 1) * apart.mean()
        return LossOutput(loss, loss_components(log_px, kl_q) | {"total_correlation": apart.detach()})


def total_correlation(q: Independent, z: Float[Tensor, "B D"]) -> Float[Tensor, " B"]:
    """log q(z) - sum_d log q(z_d) under the mixture of the batch's posteriors, at one z of each image."""
    each: Tensor = q.base_dist.log_prob(z[:, None])  # (B codes, B posteriors, D)
    count = math.log(len(z))
    joint = each.sum(-1).logsumexp(1) - count
    alone = (each.logsumexp(1) - count).sum(-1)
    return joint - alone


class DIPVAEI(Frozen):
    """The negative ELBO plus off sum_{i != j} C_ij^2 + on sum_i (C_ii - 1)^2, C the batch's covariance of posterior
    means: they are to have the moments of the prior.

    DIP-VAE-I, Kumar et al. 2018, "Variational inference of disentangled latent concepts", eq. 6.
    """

    kind: Literal["dip-i"] = "dip-i"
    off: Weight = 10.0
    """Weight of covariances between latents."""
    on: float = Field(100.0, ge=0)
    """Weight of variances other than 1."""

    def __call__(self, model: VAE, batch: Batch, progress: float) -> LossOutput:
        """The loss; the batch needs two images or more."""
        q = model.posterior(batch.x)
        return _with_moments(model, batch, q, covariance(q.base_dist.loc), self.off, self.on)


class DIPVAEII(Frozen):
    """The same of z itself: C is the covariance of means plus the mean of variances.

    DIP-VAE-II, Kumar et al. 2018, eq. 7.
    """

    kind: Literal["dip-ii"] = "dip-ii"
    off: Weight = 10.0
    """Weight of covariances between latents."""
    on: float = Field(10.0, ge=0)
    """Weight of variances other than 1."""

    def __call__(self, model: VAE, batch: Batch, progress: float) -> LossOutput:
        """The loss; the batch needs two images or more."""
        q = model.posterior(batch.x)
        found = covariance(q.base_dist.loc) + q.base_dist.variance.mean(0).diag()
        return _with_moments(model, batch, q, found, self.off, self.on)


def covariance(means: Float[Tensor, "B D"]) -> Float[Tensor, "D D"]:
    """Of the rows of a batch, taken as the whole population."""
    centred = means - means.mean(0)
    return centred.T @ centred / len(means)


def _with_moments(
    model: VAE, batch: Batch, q: Independent, found: Float[Tensor, "D D"], off: float, on: float
) -> LossOutput:
    z = q.rsample()
    log_px, kl_q = model.decode(z).log_prob(batch.x), divergence(q, model.prior(), z)
    diagonal = found.diagonal()
    between = found.square().sum() - diagonal.square().sum()
    penalty = off * between + on * (diagonal - 1).square().sum()
    parts = loss_components(log_px, kl_q) | {"penalty": penalty.detach().expand(len(kl_q))}
    return LossOutput((kl_q - log_px).mean() + penalty, parts)
