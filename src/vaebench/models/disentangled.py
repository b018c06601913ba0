"""Objectives that penalise the statistical dependence of latents: beta-TCVAE and DIP-VAE."""

from __future__ import annotations

import math
from typing import Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.distributions import Independent

from vaebench.core.frozen import Frozen
from vaebench.data.images import Batch
from vaebench.models.loss import LossOutput, Weight, elbo_terms, loss_components
from vaebench.models.vae import VAE


class BetaTCVAE(Frozen):
    """The negative ELBO plus (beta - 1) TC, with TC = KL(q(z) || prod_d q(z_d)), in nats per image.

    beta-TCVAE, Chen et al. 2018, "Isolating sources of disentanglement in VAEs", eq. 4 with alpha = gamma = 1. q(z) is
    estimated by the mixture (1/M) sum_j q(z|x_j) of the batch, which is their minibatch-weighted sampling except for
    a constant without gradient: the larger the batch, the better.
    """

    kind: Literal["total-correlation"] = "total-correlation"
    beta: Weight = 6.0
    """Weight of the total correlation; 1 gives the ELBO."""

    def __call__(self, model: VAE, batch: Batch, progress: float) -> LossOutput:
        """The loss; its component ``total_correlation`` estimates TC at each image's code, in nats."""
        q = model.posterior(batch.x)
        z, log_px, kl_q = elbo_terms(model, batch, q)
        tc = total_correlation(q, z)
        loss = (kl_q - log_px).mean() + (self.beta - 1) * tc.mean()
        return LossOutput(loss, loss_components(log_px, kl_q) | {"total_correlation": tc.detach()})


def total_correlation(q: Independent, z: Float[Tensor, "B D"]) -> Float[Tensor, " B"]:
    """log q(z) - sum_d log q(z_d) under the mixture of the batch's posteriors, at one code per image, in nats."""
    log_q: Tensor = q.base_dist.log_prob(z[:, None])  # (B codes, B posteriors, D)
    log_batch = math.log(len(z))
    joint = log_q.sum(-1).logsumexp(1) - log_batch
    marginals = (log_q.logsumexp(1) - log_batch).sum(-1)
    return joint - marginals


class DIPVAEI(Frozen):
    """The negative ELBO plus off sum_{i != j} C_ij^2 + on sum_i (C_ii - 1)^2, with C (D, D) the batch's covariance of
    posterior means, which is pulled to that of the prior.

    DIP-VAE-I, Kumar et al. 2018, "Variational inference of disentangled latent concepts", eq. 6. The batch needs two
    images or more.
    """

    kind: Literal["dip-i"] = "dip-i"
    off: Weight = 10.0
    """Weight of covariances between latents."""
    on: float = Field(100.0, ge=0)
    """Weight of the deviation of variances from 1."""

    def __call__(self, model: VAE, batch: Batch, progress: float) -> LossOutput:
        """The loss; its component ``penalty`` is the penalty of the batch."""
        q = model.posterior(batch.x)
        return _moment_matching_loss(model, batch, q, covariance(q.base_dist.loc), self.off, self.on)


class DIPVAEII(Frozen):
    """The loss of :class:`DIPVAEI` with C the covariance of z: that of the means plus the mean of the variances.

    DIP-VAE-II, Kumar et al. 2018, eq. 7.
    """

    kind: Literal["dip-ii"] = "dip-ii"
    off: Weight = 10.0
    """Weight of covariances between latents."""
    on: float = Field(10.0, ge=0)
    """Weight of the deviation of variances from 1."""

    def __call__(self, model: VAE, batch: Batch, progress: float) -> LossOutput:
        """The loss; its component ``penalty`` is the penalty of the batch."""
        q = model.posterior(batch.x)
        total = covariance(q.base_dist.loc) + q.base_dist.variance.mean(0).diag()
        return _moment_matching_loss(model, batch, q, total, self.off, self.on)


def covariance(means: Float[Tensor, "B D"]) -> Float[Tensor, "D D"]:
    """Population covariance (divisor B) of the rows."""
    centred = means - means.mean(0)
    return centred.T @ centred / len(means)


def _moment_matching_loss(
    model: VAE, batch: Batch, q: Independent, c: Float[Tensor, "D D"], off: float, on: float
) -> LossOutput:
    _, log_px, kl_q = elbo_terms(model, batch, q)
    diagonal = c.diagonal()
    off_diagonal = c.square().sum() - diagonal.square().sum()
    penalty = off * off_diagonal + on * (diagonal - 1).square().sum()
    components = loss_components(log_px, kl_q) | {"penalty": penalty.detach().expand(len(kl_q))}
    return LossOutput((kl_q - log_px).mean() + penalty, components)
