"""FactorVAE: a total correlation penalty estimated by a critic that is trained with the VAE."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch._compile import _disable_dynamo
from torch.distributions import Independent
from torch.func import functional_call
from torch.nn import functional as F

from vaebench.core.frozen import Frozen
from vaebench.data.images import Batch
from vaebench.models.loss import LossOutput, Weight, elbo_terms, loss_components
from vaebench.models.vae import VAE

CRITIC = "critic"
"""Attribute of the model that holds the critic during training, so that checkpoints contain it."""
LEARNING_RATE, BETAS, EPSILON = 1e-3, (0.5, 0.9), 1e-8
"""Parameters of the critic's Adam; the betas are the paper's."""


class FactorVAE(Frozen):
    """The negative ELBO plus gamma TC, with TC = KL(q(z) || prod_d q(z_d)) estimated by a critic's mean log-odds.

    Kim & Mnih 2018, "Disentangling by factorising", eq. 2 and algorithm 2, except for the critic's schedule: before
    each step of the VAE it takes ``critic_steps`` steps on the same posteriors. With one step, in the few thousand
    steps of a training here, it learns nothing and the VAE equals the ELBO's (LOG.md, 2026-11-28).
    """

    kind: Literal["factor"] = "factor"
    gamma: Weight = 10.0
    """Weight of the total correlation, in addition to the one within the ELBO."""
    hidden: tuple[int, ...] = Field((256, 256, 256), min_length=1)
    """Widths of the critic's hidden layers."""
    critic_steps: int = Field(5, ge=1)
    """Steps of the critic before each step of the VAE."""

    def attach(self, model: VAE) -> None:
        """Add a critic to the model, its weights drawn from torch's global generator."""
        setattr(model, CRITIC, Critic((len(model.zero), *self.hidden)).to(model.zero))

    def detach(self, model: VAE) -> None:
        """Remove the critic from the model."""
        delattr(model, CRITIC)

    def __call__(self, model: VAE, batch: Batch, progress: float) -> LossOutput:
        """The loss of a model with a critic; in training mode the critic is trained first."""
        critic: Critic = getattr(model, CRITIC)
        q = model.posterior(batch.x)
        if model.training:
            critic.fit(q, self.critic_steps)
        z, log_px, kl_q = elbo_terms(model, batch, q)
        log_odds = critic(z)
        with torch.no_grad():
            cross_entropy = critic_loss(critic, z, z)
        loss = (kl_q - log_px).mean() + self.gamma * log_odds.mean()
        components = loss_components(log_px, kl_q) | {"total_correlation": log_odds.detach()}
        return LossOutput(loss, components | {"critic": cross_entropy.expand(len(z))})


class Critic(nn.Module):
    """Log-odds that a code (D,) is a sample of q(z) and not of prod_d q(z_d), trained by an Adam of its own.

    Weights and moments are buffers: the model's optimiser does not update them, checkpoints contain them, and the
    processes of a distributed training continue with those of the main process.
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
        """Log-odds of codes; gradients flow to the codes only."""
        log_odds: Tensor = self.layers(z)
        return log_odds.to(z.dtype)

    @_disable_dynamo  # torch.compiler.disable, without importing the compiler here
    def fit(self, q: Independent, steps: int) -> None:
        """Take Adam steps, each on new samples of the posteriors ``q``, without gradients for the encoder."""
        weights = dict(self.layers.named_buffers())
        with torch.autocast(self.mean.device.type, enabled=False):
            for _ in range(steps):
                with torch.no_grad():
                    real, other = (q.sample().to(self.mean) for _ in range(2))
                leaves = {name: weight.detach().requires_grad_() for name, weight in weights.items()}
                with torch.enable_grad():
                    loss = critic_loss(partial(functional_call, self.layers, leaves), real, other)
                self._step(torch.autograd.grad(loss, list(leaves.values())), list(weights.values()))

    @torch.no_grad()
    def _step(self, gradients: tuple[Tensor, ...], weights: list[Tensor]) -> None:
        gradient = torch.cat([part.flatten() for part in gradients])
        self.steps += 1
        self.mean.lerp_(gradient, 1 - BETAS[0])
        self.square.lerp_(gradient.square(), 1 - BETAS[1])
        mean, square = self.mean / (1 - BETAS[0] ** self.steps), self.square / (1 - BETAS[1] ** self.steps)
        update = LEARNING_RATE * mean / (square.sqrt() + EPSILON)
        for weight, part in zip(weights, update.split([weight.numel() for weight in weights]), strict=True):
            weight -= part.view_as(weight)


def critic_loss(
    critic: Callable[[Tensor], Tensor], real: Float[Tensor, "A D"], other: Float[Tensor, "B D"]
) -> Float[Tensor, ""]:
    """Mean cross-entropy of telling ``real`` from ``other`` with each latent permuted over images, in nats; log 2 for
    a critic that cannot distinguish them."""
    permuted = torch.stack([column[torch.randperm(len(other), device=other.device)] for column in other.unbind(1)], 1)
    return (F.softplus(-critic(real)).mean() + F.softplus(critic(permuted)).mean()) / 2
