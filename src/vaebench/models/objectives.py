"""OBJECTIVES: what a model is trained to lower, in nats per image.

An objective is called with the model, a batch, and ``progress``, the share of training that is done (0 to 1).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field
from torch import nn
from torch.distributions import Independent
from torch.nn import functional as F

from vaebench.core.errors import VaebenchError
from vaebench.core.frozen import Frozen, one_of
from vaebench.data.augment import Augmentation
from vaebench.data.images import Batch
from vaebench.models.adversary import FactorVAE
from vaebench.models.disentangled import DIPVAEI, DIPVAEII, BetaTCVAE
from vaebench.models.loss import LossOutput, Objective, UnitFraction, Weight, loss_components, loss_output, one_sample
from vaebench.models.posteriors import diagonal_gaussian, divergence, kl, kl_per_latent
from vaebench.models.vae import VAE


class Elbo(Frozen):
    """beta KL(q(z|x) || p(z)) - E_q[log p(x|z)], one sample of z.

    beta = 1: Kingma & Welling 2014, eq. 3 (the bound, its sign turned). beta > 1: Higgins et al. 2017, eq. 4.
    """

    kind: Literal["elbo"] = "elbo"
    beta: Weight = 1.0
    """Weight of the KL, per image, in nats: summed over latents and pixels, averaged over images."""

    def __call__(self, model: VAE, batch: Batch, progress: float) -> LossOutput:
        """The negative beta-ELBO."""
        log_px, kl_q = one_sample(model, batch)
        return loss_output(log_px, kl_q, (self.beta * kl_q - log_px).mean())


class WarmUp(Frozen):
    """The ELBO with beta rising linearly from 0 over the first ``share`` of training.

    Sonderby et al. 2016, "Ladder variational autoencoders", section 2.3.
    """

    kind: Literal["warm-up"] = "warm-up"
    beta: Weight = 1.0
    """Weight of the KL once risen."""
    share: UnitFraction = 0.2
    """Share of training in which it rises."""

    def __call__(self, model: VAE, batch: Batch, progress: float) -> LossOutput:
        """The negative ELBO at the beta of this moment."""
        beta = self.beta * min(1.0, progress / self.share)
        log_px, kl_q = one_sample(model, batch)
        return loss_output(log_px, kl_q, (beta * kl_q - log_px).mean())


class FreeBits(Frozen):
    """sum_d max(floor, mean over the batch of KL_d) - E_q[log p(x|z)]: the first nats of each latent are free.

    Kingma et al. 2016, "Improved variational inference with inverse autoregressive flow", eq. 15.
    """

    kind: Literal["free-bits"] = "free-bits"
    floor: Weight = 0.25
    """Nats of KL per latent that cost nothing."""

    def __call__(self, model: VAE, batch: Batch, progress: float) -> LossOutput:
        """The negative ELBO with each latent's KL floored."""
        q = model.posterior(batch.x)
        log_px, prior = model.decode(q.rsample()).log_prob(batch.x), model.prior()
        if not isinstance(prior, Independent):
            raise VaebenchError(
                "objective.kind is 'free-bits', which needs a prior that has a KL for each latent; set "
                "model.prior.kind to standard-normal or choose another objective"
            )
        per_latent = kl_per_latent(q, prior)
        floored = per_latent.mean(0).clamp(min=self.floor).sum()
        return loss_output(log_px, per_latent.sum(-1), floored - log_px.mean())


class Capacity(Frozen):
    """gamma |KL - C| - E_q[log p(x|z)], C rising linearly to ``nats`` over the first ``share`` of training.

    Burgess et al. 2018, "Understanding disentangling in beta-VAE", eq. 8; KL is the batch mean.
    """

    kind: Literal["capacity"] = "capacity"
    nats: Weight = 25.0
    """The capacity C at the end of its rise, in nats."""
    gamma: Weight = 100.0
    share: UnitFraction = 0.5
    """Share of training in which C rises."""

    def __call__(self, model: VAE, batch: Batch, progress: float) -> LossOutput:
        """The negative bound with KL pulled towards the capacity of this moment."""
        capacity = self.nats * min(1.0, progress / self.share)
        log_px, kl_q = one_sample(model, batch)
        return loss_output(log_px, kl_q, self.gamma * (kl_q.mean() - capacity).abs() - log_px.mean())


class ImportanceWeighted(Frozen):
    """-log (1/K) sum_k p(x, z_k) / q(z_k|x), z_k ~ q(z|x). Burda et al. 2016, eq. 8."""

    kind: Literal["importance-weighted"] = "importance-weighted"
    samples: int = Field(5, ge=1)
    """K; one sample is the ELBO by Monte Carlo, more come nearer to log p(x)."""

    def __call__(self, model: VAE, batch: Batch, progress: float) -> LossOutput:
        """The negative importance-weighted bound."""
        q, p = model.posterior(batch.x), model.prior()
        z = q.rsample((self.samples,))
        log_px = model.decode(z).log_prob(batch.x)
        bound = (log_px + p.log_prob(z) - q.log_prob(z)).logsumexp(0) - math.log(self.samples)
        return LossOutput(
            -bound.mean(), loss_components(log_px.mean(0), divergence(q, p, z)) | {"bound": bound.detach()}
        )


class Reconstruction(Frozen):
    """-log p(x | z = mean of q(z|x)): a plain, deterministic autoencoder in the VAE's own network."""

    kind: Literal["reconstruction"] = "reconstruction"

    def __call__(self, model: VAE, batch: Batch, progress: float) -> LossOutput:
        """The negative log-likelihood at the mean code."""
        q = model.posterior(batch.x)
        log_px = model.decode(q.mean).log_prob(batch.x)
        return LossOutput(-log_px.mean(), {"reconstruction": -log_px.detach()})


class Consistent(Frozen):
    """The mean of the ELBO losses of an image x and its warped self x', plus weight KL(q(z|x') || q(z|x)).

    Sinha & Dieng 2021, "Consistency regularization for variational auto-encoders", section 2, halved: its lambda is
    twice ``weight``. The augmentation is prior knowledge of what leaves an image what it is.
    """

    kind: Literal["consistent"] = "consistent"
    beta: Weight = 1.0
    """Weight of the KL to the prior."""
    weight: Weight = 0.3
    """Weight of the KL between the two posteriors."""
    augmentation: Augmentation = Augmentation(rotation=15, scale=0.15, shear=0.25, shift=2.5, elastic=0.6)

    def __call__(self, model: VAE, batch: Batch, progress: float) -> LossOutput:
        """The loss; both images go through the network in one batch."""
        x = torch.cat([batch.x, self.augmentation(batch.x)])
        q, size = model.posterior(x), len(batch.x)
        z = q.rsample()
        log_px, kl_q = model.decode(z).log_prob(x), divergence(q, model.prior(), z)
        plain, warped = (
            diagonal_gaussian(q.base_dist.loc[part], q.base_dist.scale[part])
            for part in (slice(size), slice(size, None))
        )
        apart = kl(warped, plain)
        loss = (self.beta * kl_q - log_px).mean() + self.weight * apart.mean()
        parts = loss_components(log_px[:size], kl_q[:size]) | {"apart": apart.detach()}
        return LossOutput(loss, parts)


class Contrastive(Frozen):
    """The mean of the ELBO losses of an image x and its augmented self x', plus weight times the cross-entropy of
    finding x' by x among all other images of the batch, by the cosine of posterior means.

    The second term is NT-Xent, Chen et al. 2020, "A simple framework for contrastive learning", eq. 1, without its
    projection: it pulls x and x' together as :class:`Consistent` does, and other images apart.
    """

    kind: Literal["contrastive"] = "contrastive"
    beta: Weight = 1.0
    """Weight of the KL to the prior."""
    weight: Weight = 30.0
    """Nats of loss per nat of cross-entropy."""
    temperature: float = Field(0.2, gt=0)
    """Cosines are divided by it."""
    augmentation: Augmentation = Augmentation(rotation=15, scale=0.15, shear=0.25, shift=2.5, elastic=0.6)

    def __call__(self, model: VAE, batch: Batch, progress: float) -> LossOutput:
        """The loss; both images go through the network in one batch."""
        x = torch.cat([batch.x, self.augmentation(batch.x)])
        q, size = model.posterior(x), len(batch.x)
        z = q.rsample()
        log_px, kl_q = model.decode(z).log_prob(x), divergence(q, model.prior(), z)
        code = F.normalize(q.base_dist.loc, dim=-1)
        likeness = code @ code.T / self.temperature
        likeness = likeness.masked_fill(torch.eye(len(x), dtype=torch.bool, device=x.device), -math.inf)
        partner = torch.arange(len(x), device=x.device).roll(size)
        search = F.cross_entropy(likeness, partner, reduction="none")
        loss = (self.beta * kl_q - log_px).mean() + self.weight * search.mean()
        return LossOutput(loss, loss_components(log_px[:size], kl_q[:size]) | {"search": search[:size].detach()})


class CrossEntropy(Frozen):
    """-log softmax(network(x))[label], for classifiers; in nats per image."""

    kind: Literal["cross-entropy"] = "cross-entropy"

    def __call__(self, model: nn.Module, batch: Batch, progress: float) -> LossOutput:
        """Cross-entropy; every label must be known."""
        logits = model(batch.x).to(batch.x.dtype)
        nats = F.cross_entropy(logits, batch.labels, reduction="none")
        hit = (logits.argmax(-1) == batch.labels).to(nats.dtype)
        return LossOutput(nats.mean(), {"cross_entropy": nats.detach(), "accuracy": hit})


OBJECTIVES = {
    "elbo": Elbo,
    "warm-up": WarmUp,
    "free-bits": FreeBits,
    "capacity": Capacity,
    "importance-weighted": ImportanceWeighted,
    "reconstruction": Reconstruction,
    "consistent": Consistent,
    "contrastive": Contrastive,
    "total-correlation": BetaTCVAE,
    "factor": FactorVAE,
    "dip-i": DIPVAEI,
    "dip-ii": DIPVAEII,
}

if TYPE_CHECKING:
    AnyObjective = Objective
else:
    AnyObjective = one_of(OBJECTIVES)
