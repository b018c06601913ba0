"""The variational information bottleneck, a classifier of a noisy code whose information about x is penalised."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.distributions import Independent

from vaebench.core.frozen import Frozen
from vaebench.data.images import Batch
from vaebench.models.loss import LossOutput, Weight, classification_terms
from vaebench.models.networks import AnyNetwork, Conv, Shape
from vaebench.models.posteriors import AnyPosterior, LogVariance, Posterior, kl, standard_normal


class InformationBottleneck(nn.Module):
    """Encoder q(z|x), a diagonal Gaussian, and classifier q(y|z), with the reference r(z) = N(0, I).

    Alemi et al. 2017, "Deep variational information bottleneck". It is discriminative: there is no decoder.

    Args:
        encoder: images (B, C, H, W) to raw values (B, 2D).
        classifier: codes (B, D) to logits (B, Y).
        latent: D.
        posterior: raw values to q(z|x).
    """

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
        return standard_normal(self.zero)

    def logits(self, z: Float[Tensor, "B D"]) -> Float[Tensor, "B Y"]:
        """Logits of q(y|z)."""
        logits: Tensor = self.classifier(z).to(z.dtype)
        return logits

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B Y"]:
        """log of :meth:`probabilities`."""
        return self.probabilities(x).log()

    def probabilities(self, x: Float[Tensor, "B C H W"], samples: int = 12) -> Float[Tensor, "B Y"]:
        """Class probabilities: the mean of q(y|z) over samples of q(z|x)."""
        q = self.posterior(x)
        return torch.stack([self.logits(q.sample()).softmax(-1) for _ in range(samples)]).mean(0)


class InformationBottleneckModel(Frozen):
    """Configuration of :class:`InformationBottleneck`."""

    kind: Literal["information-bottleneck"] = "information-bottleneck"
    latent: int = Field(32, ge=1)
    """D, the number of latents."""
    network: AnyNetwork = Conv(hidden=(256,))
    posterior: AnyPosterior = LogVariance()

    def build(self, shape: Shape, classes: int) -> InformationBottleneck:
        """A bottleneck with a linear classifier, its weights drawn from torch's global generator."""
        encoder = self.network.encoder(shape, 2 * self.latent)
        return InformationBottleneck(encoder, nn.Linear(self.latent, classes), self.latent, self.posterior)


class InformationBottleneckLoss(Frozen):
    """-E_q(z|x)[log q(y|z)] + beta KL(q(z|x) || r(z)), one sample of z, in nats per image. Alemi et al. 2017, eq. 17.

    For beta >= 1 the collapsed encoder is optimal: cross-entropy + beta KL >= H(Y|Z) + beta I(Y;Z) =
    H(Y) + (beta - 1) I(Y;Z) >= H(Y), which q(z|x) = r(z) attains.
    """

    kind: Literal["information-bottleneck"] = "information-bottleneck"
    beta: Weight = 1e-3

    def __call__(self, model: InformationBottleneck, batch: Batch, progress: float) -> LossOutput:
        """Cross-entropy plus beta KL; every image must be labelled."""
        q = model.posterior(batch.x)
        logits = model.logits(q.rsample())
        kl_q = kl(q, model.prior())
        cross_entropy, components = classification_terms(logits, batch.labels)
        return LossOutput((cross_entropy + self.beta * kl_q).mean(), components | {"kl": kl_q.detach()})
