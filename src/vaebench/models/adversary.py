"""FactorVAE: independent latents, by a critic that tells codes from codes with latents shuffled over images."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from vaebench.data.images import Batch
from vaebench.frozen import Frozen
from vaebench.models.latents import divergence
from vaebench.models.terms import Terms, Weight, parts_of
from vaebench.models.vae import VAE

CRITIC = "critic"
"""The critic is a part of the model while it is trained, so that optimiser and checkpoint hold it."""


class FactorVAE(Frozen):
    """The negative ELBO plus gamma TC, with TC = KL(q(z) || prod_d q(z_d)) by the log-odds of a critic.

    Kim & Mnih 2018, "Disentangling by factorising", eq. 2 and algorithm 2. The critic learns in the same step, by the
    same optimiser: from codes of one half of the batch as they are, and of the other with each latent shuffled over
    images. Neither loss moves the other's weights; ``loss`` has the value of the VAE's alone.
    """

    kind: Literal["factor"] = "factor"
    gamma: Weight = 10.0
    """Weight of the total correlation, beside the one that is in the ELBO."""
    hidden: tuple[int, ...] = Field((256, 256, 256), min_length=1)
    """Widths of the critic's layers."""

    def attach(self, model: VAE) -> None:
        """Give the model its critic, of fresh weights from torch's global generator."""
        widths = (len(model.zero), *self.hidden)
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(0.2)]
        critic = nn.Sequential(*layers, nn.Linear(widths[-1], 1), nn.Flatten(0))
        setattr(model, CRITIC, critic.to(model.zero))

    def detach(self, model: VAE) -> None:
        """Take the critic away again."""
        delattr(model, CRITIC)

    def __call__(self, model: VAE, batch: Batch, progress: float) -> Terms:
        """The loss of a model that has its critic."""
        critic: nn.Module = getattr(model, CRITIC)
        q = model.posterior(batch.x)
        z = q.rsample()
        log_px, kl_q = model.decode(z).log_prob(batch.x), divergence(q, model.prior(), z)
        apart = odds(critic, z, held=True)
        half = len(z) // 2
        learned = critic_loss(critic, z[: half or None].detach(), z[half:].detach())
        loss = (kl_q - log_px).mean() + self.gamma * apart.mean() + learned - learned.detach()
        parts = parts_of(log_px, kl_q) | {"total_correlation": apart.detach()}
        return Terms(loss, parts | {"critic": learned.detach().expand(len(z))})


def odds(critic: nn.Module, z: Float[Tensor, "B D"], held: bool = False) -> Float[Tensor, " B"]:
    """Log-odds that a code is one of q(z) and not of shuffled latents; ``held`` lets no gradient reach the critic."""
    if not held:
        found: Tensor = critic(z)
    else:
        found = functional_call(critic, {name: value.detach() for name, value in critic.named_parameters()}, (z,))
    return found.to(z.dtype)


def critic_loss(critic: nn.Module, real: Float[Tensor, "A D"], other: Float[Tensor, "B D"]) -> Float[Tensor, ""]:
    """Mean cross-entropy in nats, log 2 for a critic that cannot tell."""
    shuffled = torch.stack([column[torch.randperm(len(other), device=other.device)] for column in other.unbind(1)], 1)
    return (F.softplus(-odds(critic, real)).mean() + F.softplus(odds(critic, shuffled)).mean()) / 2
