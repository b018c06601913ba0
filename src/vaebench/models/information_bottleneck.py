"""The variational information bottleneck: a classifier that reads a sample of q(z|x) and pays for what z says of x."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.distributions import Independent
from torch.nn import functional as F

from vaebench.core.frozen import Frozen
from vaebench.data.images import Batch
from vaebench.models.loss import LossOutput, Weight
from vaebench.models.networks import AnyNetwork, Conv, Shape
from vaebench.models.posteriors import AnyPosterior, LogVariance, Posterior, diagonal_gaussian, kl


class InformationBottleneck(nn.Module):
    """q(z|x) and a classifier q(y|z). Alemi et al. 2017, "Deep variational information bottleneck"."""

    zero: Tensor

    def __init__(self, encoder: nn.Module, classifier: nn.Module, latent: int, posterior: Posterior) -> None:
        super().__init__()
        self.encoder = encoder
        self.classifier = classifier
        self.to_posterior = posterior
        self.register_buffer("zero", torch.zeros(latent), persistent=False)

    def posterior(self, x: Float[Tensor, "B C H W"]) -> Independent:
        """q(z|x), event shape (D,)."""
        return self.to_posterior(self.encoder(x).to(x.dtype))

    def prior(self) -> Independent:
        """r(z) = N(0, I), event shape (D,)."""
        return diagonal_gaussian(self.zero, torch.ones_like(self.zero))

    def logits(self, z: Float[Tensor, "B D"]) -> Float[Tensor, "B Y"]:
        """Logits of q(y|z)."""
        found: Tensor = self.classifier(z).to(z.dtype)
        return found

    def probabilities(self, x: Float[Tensor, "B C H W"], samples: int = 12) -> Float[Tensor, "B Y"]:
        """The mean of q(y|z) over samples of q(z|x)."""
        q = self.posterior(x)
        return torch.stack([self.logits(q.sample()).softmax(-1) for _ in range(samples)]).mean(0)


class InformationBottleneckModel(Frozen):
    """A bottleneck by its parts."""

    latent: int = Field(32, ge=1)
    """D, the number of latents."""
    network: AnyNetwork = Conv(hidden=(256,))
    posterior: AnyPosterior = LogVariance()

    def build(self, shape: Shape, classes: int) -> InformationBottleneck:
        """A bottleneck with fresh weights and a linear classifier, drawn from torch's global generator."""
        encoder = self.network.encoder(shape, 2 * self.latent)
        return InformationBottleneck(encoder, nn.Linear(self.latent, classes), self.latent, self.posterior)


class InformationBottleneckLoss(Frozen):
    """-E_q(z|x)[log q(y|z)] + beta KL(q(z|x) || r(z)), one sample of z, in nats per image. Alemi et al. 2017, eq. 17.

    For beta >= 1 no encoder does better than one that says nothing: cross-entropy + beta KL >= H(Y|Z) + beta I(Y;Z) =
    H(Y) + (beta - 1) I(Y;Z), which is least, H(Y), at the collapsed encoder.
    """

    kind: Literal["bottleneck"] = "bottleneck"
    beta: Weight = 1e-3

    def __call__(self, model: InformationBottleneck, batch: Batch, progress: float) -> LossOutput:
        """Cross-entropy plus beta KL; every label must be known."""
        q = model.posterior(batch.x)
        logits = model.logits(q.rsample())
        nats = F.cross_entropy(logits, batch.labels, reduction="none")
        information = kl(q, model.prior())
        hit = (logits.argmax(-1) == batch.labels).to(nats.dtype)
        parts = {"cross_entropy": nats.detach(), "kl": information.detach(), "accuracy": hit}
        return LossOutput((nats + self.beta * information).mean(), parts)
