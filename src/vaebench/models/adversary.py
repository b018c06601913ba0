"""FactorVAE: independent latents, by a critic that tells codes from codes with latents shuffled over images."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.distributions import Independent
from torch.func import functional_call
from torch.nn import functional as F

from vaebench.core.frozen import Frozen
from vaebench.data.images import Batch
from vaebench.models.loss import LossOutput, Weight, loss_components
from vaebench.models.posteriors import divergence
from vaebench.models.vae import VAE

CRITIC = "critic"
"""The critic is a part of the model while that is trained, so that checkpoints hold it."""
RATE, BETAS, TINY = 1e-3, (0.5, 0.9), 1e-8
"""Of the critic's Adam; betas are the paper's."""


class FactorVAE(Frozen):
    """The negative ELBO plus gamma TC, with TC = KL(q(z) || prod_d q(z_d)) by the log-odds of a critic.

    Kim & Mnih 2018, "Disentangling by factorising", eq. 2 and algorithm 2, but for the critic's pace: before each step
    of the VAE it learns for some steps from the same posteriors. With one, in the few thousand steps that a training
    here takes, it tells nothing, and the VAE is the ELBO's (LOG.md, 2026-11-28).
    """

    kind: Literal["factor"] = "factor"
    gamma: Weight = 10.0
    """Weight of the total correlation, beside the one that is in the ELBO."""
    hidden: tuple[int, ...] = Field((256, 256, 256), min_length=1)
    """Widths of the critic's layers."""
    critic_steps: int = Field(5, ge=1)
    """The critic's steps before each of the VAE's."""

    def attach(self, model: VAE) -> None:
        """Give the model its critic, of fresh weights from torch's global generator."""
        setattr(model, CRITIC, Critic((len(model.zero), *self.hidden)).to(model.zero))

    def detach(self, model: VAE) -> None:
        """Take the critic away again."""
        delattr(model, CRITIC)

    def __call__(self, model: VAE, batch: Batch, progress: float) -> LossOutput:
        """The loss of a model that has its critic. A model in training teaches the critic first."""
        critic: Critic = getattr(model, CRITIC)
        q = model.posterior(batch.x)
        if model.training:
            critic.learn(q, self.critic_steps)
        z = q.rsample()
        log_px, kl_q = model.decode(z).log_prob(batch.x), divergence(q, model.prior(), z)
        apart = critic(z)
        with torch.no_grad():
            told = critic_loss(critic, z, z)
        loss = (kl_q - log_px).mean() + self.gamma * apart.mean()
        parts = loss_components(log_px, kl_q) | {"total_correlation": apart.detach()}
        return LossOutput(loss, parts | {"critic": told.expand(len(z))})


class Critic(nn.Module):
    """Log-odds that a code is one of q(z) and not of shuffled latents, learned by an Adam of its own.

    Weights and moments are buffers: no other optimiser moves them, checkpoints hold them, and the processes of a
    training together go on with those of the first.
    """

    mean: Tensor
    square: Tensor
    steps: Tensor

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], 1), nn.Flatten(0))
        for layer in self.layers:
            for name, weight in list(layer.named_parameters()):
                delattr(layer, name)
                layer.register_buffer(name, weight.detach())
        size = sum(weight.numel() for weight in self.layers.buffers())
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("square", torch.zeros(size))
        self.register_buffer("steps", torch.zeros(()))

    def forward(self, z: Float[Tensor, "B D"]) -> Float[Tensor, " B"]:
        """Log-odds; their gradient reaches the codes alone."""
        found: Tensor = self.layers(z)
        return found.to(z.dtype)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def learn(self, q: Independent, steps: int) -> None:
        """Some steps of Adam, each with fresh codes of these posteriors; the posteriors' own networks learn nothing."""
        weights = dict(self.layers.named_buffers())
        with torch.autocast(self.mean.device.type, enabled=False):
            for _ in range(steps):
                with torch.no_grad():
                    real, other = (q.sample().to(self.mean) for _ in range(2))
                held = {name: weight.detach().requires_grad_() for name, weight in weights.items()}
                with torch.enable_grad():
                    loss = critic_loss(partial(functional_call, self.layers, held), real, other)
                self._step(torch.autograd.grad(loss, list(held.values())), list(weights.values()))

    @torch.no_grad()
    def _step(self, gradients: tuple[Tensor, ...], weights: list[Tensor]) -> None:
        gradient = torch.cat([part.flatten() for part in gradients])
        self.steps += 1
        self.mean.lerp_(gradient, 1 - BETAS[0])
        self.square.lerp_(gradient.square(), 1 - BETAS[1])
        mean, square = self.mean / (1 - BETAS[0] ** self.steps), self.square / (1 - BETAS[1] ** self.steps)
        moved = RATE * mean / (square.sqrt() + TINY)
        for weight, part in zip(weights, moved.split([weight.numel() for weight in weights]), strict=True):
            weight -= part.view_as(weight)


def critic_loss(
    critic: Callable[[Tensor], Tensor], real: Float[Tensor, "A D"], other: Float[Tensor, "B D"]
) -> Float[Tensor, ""]:
    """Mean cross-entropy in nats, log 2 for a critic that cannot tell."""
    shuffled = torch.stack([column[torch.randperm(len(other), device=other.device)] for column in other.unbind(1)], 1)
    return (F.softplus(-critic(real)).mean() + F.softplus(critic(shuffled)).mean()) / 2
