"""OBJECTIVES: losses that models are trained to minimise, in nats per image.

An objective is called with the model, a batch, and ``progress``, the completed fraction of training in [0, 1].
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.distributions import Independent
from torch.nn import functional as F

from vaebench.core.errors import VaebenchError
from vaebench.core.frozen import Frozen, one_of
from vaebench.data.augment import Augmentation
from vaebench.data.images import Batch, join
from vaebench.models.adversary import FactorVAE
from vaebench.models.disentangled import DIPVAEI, DIPVAEII, BetaTCVAE
from vaebench.models.loss import (
    LossOutput,
    Objective,
    UnitFraction,
    Weight,
    classification_terms,
    elbo_terms,
    log_likelihood,
    loss_components,
)
from vaebench.models.mmd import InfoVAE, WassersteinAutoencoder
from vaebench.models.posteriors import diagonal_gaussian, divergence, kl, kl_per_latent
from vaebench.models.regularised_autoencoder import RegularisedAutoencoder
from vaebench.models.vae import VAE


class Elbo(Frozen):
    """beta KL(q(z|x) || p(z)) - E_q[log p(x|z)], one sample of z.

    beta = 1: the negative of Kingma & Welling 2014, eq. 3. beta > 1: Higgins et al. 2017, eq. 4.
    """

    kind: Literal["elbo"] = "elbo"
    beta: Weight = 1.0
    """Weight of the KL, per image, in nats: summed over latents and pixels, averaged over images."""

    def __call__(self, model: VAE, batch: Batch, progress: float) -> LossOutput:
        _, log_px, kl_q = elbo_terms(model, batch)
        return LossOutput((self.beta * kl_q - log_px).mean(), loss_components(log_px, kl_q))


class WarmUp(Frozen):
    """The negative ELBO with beta rising linearly from 0 over the first ``fraction`` of training.

    Sonderby et al. 2016, "Ladder variational autoencoders", section 2.3.
    """

    kind: Literal["warm-up"] = "warm-up"
    beta: Weight = 1.0
    """Weight of the KL after warm-up."""
    fraction: UnitFraction = 0.2
    """Fraction of training during which it rises."""

    def __call__(self, model: VAE, batch: Batch, progress: float) -> LossOutput:
        beta = self.beta * min(1.0, progress / self.fraction)
        _, log_px, kl_q = elbo_terms(model, batch)
        return LossOutput((beta * kl_q - log_px).mean(), loss_components(log_px, kl_q))


class FreeBits(Frozen):
    """sum_d max(floor, mean over the batch of KL_d) - E_q[log p(x|z)], with KL_d the KL of latent d.

    Kingma et al. 2016, "Improved variational inference with inverse autoregressive flow", eq. 15.
    """

    kind: Literal["free-bits"] = "free-bits"
    floor: Weight = 0.25
    """Nats of KL per latent that are not penalised."""

    def __call__(self, model: VAE, batch: Batch, progress: float) -> LossOutput:
        """The negative ELBO with a lower limit on each latent's KL.

        Raises:
            VaebenchError: the prior does not factorise over latents.
        """
        q = model.posterior(batch.x)
        log_px, prior = log_likelihood(model.decode(q.rsample()), batch), model.prior()
        if not isinstance(prior, Independent):
            raise VaebenchError(
                "objective.kind is 'free-bits', which needs a prior that factorises over latents; set "
                "model.prior.kind to standard-normal or choose another objective"
            )
        per_latent = kl_per_latent(q, prior)
        floored = per_latent.mean(0).clamp(min=self.floor).sum()
        return LossOutput(floored - log_px.mean(), loss_components(log_px, per_latent.sum(-1)))


class Capacity(Frozen):
    """gamma |KL - C| - E_q[log p(x|z)], C rising linearly to ``nats`` over the first ``fraction`` of training.

    Burgess et al. 2018, "Understanding disentangling in beta-VAE", eq. 8; KL is the batch mean.
    """

    kind: Literal["capacity"] = "capacity"
    nats: Weight = 25.0
    """Final capacity C, in nats."""
    gamma: Weight = 100.0
    fraction: UnitFraction = 0.5
    """Fraction of training during which C rises."""

    def __call__(self, model: VAE, batch: Batch, progress: float) -> LossOutput:
        capacity = self.nats * min(1.0, progress / self.fraction)
        _, log_px, kl_q = elbo_terms(model, batch)
        loss = self.gamma * (kl_q.mean() - capacity).abs() - log_px.mean()
        return LossOutput(loss, loss_components(log_px, kl_q))


class ImportanceWeighted(Frozen):
    """-log (1/K) sum_k p(x, z_k) / q(z_k|x), z_k ~ q(z|x). Burda et al. 2016, eq. 8."""

    kind: Literal["importance-weighted"] = "importance-weighted"
    samples: int = Field(5, ge=1)
    """K; 1 gives a Monte Carlo estimate of the ELBO, larger values a tighter bound on log p(x)."""

    def __call__(self, model: VAE, batch: Batch, progress: float) -> LossOutput:
        q, p = model.posterior(batch.x), model.prior()
        z = q.rsample((self.samples,))
        log_px = log_likelihood(model.decode(z), batch)
        bound = (log_px + p.log_prob(z) - q.log_prob(z)).logsumexp(0) - math.log(self.samples)
        components = loss_components(log_px.mean(0), divergence(q, p, z)) | {"bound": bound.detach()}
        return LossOutput(-bound.mean(), components)


class Reconstruction(Frozen):
    """-log p(x | z = mean of q(z|x)): a deterministic autoencoder with the VAE's network."""

    kind: Literal["reconstruction"] = "reconstruction"

    def __call__(self, model: VAE, batch: Batch, progress: float) -> LossOutput:
        q = model.posterior(batch.x)
        log_px = log_likelihood(model.decode(q.mean), batch)
        return LossOutput(-log_px.mean(), {"reconstruction": -log_px.detach()})


class Consistent(Frozen):
    """Mean of the negative ELBOs of an image x and its augmentation x', plus weight KL(q(z|x') || q(z|x)).

    Half the loss of Sinha & Dieng 2021, "Consistency regularization for variational auto-encoders", section 2: their
    lambda is twice ``weight``. The augmentation is prior knowledge of the changes that preserve an image's meaning.
    """

    kind: Literal["consistent"] = "consistent"
    beta: Weight = 1.0
    """Weight of the KL to the prior."""
    weight: Weight = 0.3
    """Weight of the KL between the two posteriors."""
    augmentation: Augmentation = Augmentation(rotation=15, scale=0.15, shear=0.25, shift=2.5, elastic=0.6)

    def __call__(self, model: VAE, batch: Batch, progress: float) -> LossOutput:
        """The loss, with x and x' in one batch of the network."""
        both, size = join(batch, self.augmentation.augment(batch)), len(batch.x)
        q = model.posterior(both.x)
        _, log_px, kl_q = elbo_terms(model, both, q)
        means, scales = q.base_dist.loc, q.base_dist.scale
        original, augmented = (diagonal_gaussian(means[i:j], scales[i:j]) for i, j in ((0, size), (size, 2 * size)))
        inconsistency = kl(augmented, original)
        loss = (self.beta * kl_q - log_px).mean() + self.weight * inconsistency.mean()
        components = loss_components(log_px[:size], kl_q[:size]) | {"apart": inconsistency.detach()}
        return LossOutput(loss, components)


class Contrastive(Frozen):
    """Mean of the negative ELBOs of an image x and its augmentation x', plus weight times the NT-Xent loss: the
    cross-entropy of identifying x' given x among all other images of the batch, by the cosine of posterior means.

    NT-Xent is Chen et al. 2020, "A simple framework for contrastive learning", eq. 1, here without a projection head:
    it increases the similarity of x and x' as :class:`Consistent` does, and decreases that of different images.
    """

    kind: Literal["contrastive"] = "contrastive"
    beta: Weight = 1.0
    """Weight of the KL to the prior."""
    weight: Weight = 30.0
    """Weight of the cross-entropy."""
    temperature: float = Field(0.2, gt=0)
    """Divisor of the cosines."""
    augmentation: Augmentation = Augmentation(rotation=15, scale=0.15, shear=0.25, shift=2.5, elastic=0.6)
    elbo_fraction: UnitFraction = 1.0
    """Fraction of each batch on which the ELBO is computed, as a decoder costs more than an encoder."""

    def __call__(self, model: VAE, batch: Batch, progress: float) -> LossOutput:
        """The loss, with x and x' in one batch of the network."""
        both, size = join(batch, self.augmentation.augment(batch)), len(batch.x)
        q = model.posterior(both.x)
        log_px, kl_q = self._elbo_terms(model, both, q)
        code = F.normalize(q.base_dist.loc, dim=-1)
        similarity = code @ code.T / self.temperature
        similarity = similarity.masked_fill(torch.eye(2 * size, dtype=torch.bool, device=code.device), -math.inf)
        partner = torch.arange(2 * size, device=code.device).roll(size)
        nt_xent = F.cross_entropy(similarity, partner, reduction="none")
        loss = (self.beta * kl_q - log_px).mean() + self.weight * nt_xent.mean()
        half = len(log_px) // 2
        components = loss_components(log_px[:half], kl_q[:half])
        if self.elbo_fraction < 1:
            components = {name: value.mean().expand(size) for name, value in components.items()}
        return LossOutput(loss, components | {"search": nt_xent[:size].detach()})

    def _elbo_terms(self, model: VAE, both: Batch, q: Independent) -> tuple[Float[Tensor, " M"], Float[Tensor, " M"]]:
        """log p(x|z) and KL(q(z|x) || p(z)) of the first pairs (x, x'), M / 2 of each."""
        if self.elbo_fraction == 1:
            return elbo_terms(model, both, q)[1:]
        size = len(both.x) // 2
        rows = torch.arange(math.ceil(self.elbo_fraction * size), device=both.x.device)
        rows = torch.cat([rows, rows + size])
        part = diagonal_gaussian(q.base_dist.loc[rows], q.base_dist.scale[rows])
        return elbo_terms(model, both.take(rows), part)[1:]


class CrossEntropy(Frozen):
    """-log softmax(network(x))[label] of a classifier, in nats per image."""

    kind: Literal["cross-entropy"] = "cross-entropy"

    def __call__(self, model: nn.Module, batch: Batch, progress: float) -> LossOutput:
        """The mean cross-entropy; every image must be labelled."""
        cross_entropy, components = classification_terms(model(batch.x).to(batch.x.dtype), batch.labels)
        return LossOutput(cross_entropy.mean(), components)


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
    "mmd": InfoVAE,
    "wae-mmd": WassersteinAutoencoder,
    "rae": RegularisedAutoencoder,
}

if TYPE_CHECKING:
    AnyObjective = Objective
else:
    AnyObjective = one_of(OBJECTIVES)
