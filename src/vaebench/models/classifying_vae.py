"""A VAE whose encoder also names the class, and self-training: what it is sure of in one view it learns in another."""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn
from torch.distributions import Independent
from torch.nn import functional as F

from vaebench.core.frozen import Frozen
from vaebench.data.augment import Augmentation
from vaebench.data.images import HIDDEN, Batch
from vaebench.models.loss import LossOutput, UnitFraction, Weight
from vaebench.models.posteriors import divergence
from vaebench.models.vae import VAE


class ClassifyingVAE(nn.Module):
    """A VAE and q(y|x), which reads the features that q(z|x) reads.

    Args:
        vae: its encoder is a sequence that ends in one linear layer; it is not copied.
        classes: Y.
        dropout: of the features, before the class is read.
    """

    def __init__(self, vae: VAE, classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.vae = vae
        assert isinstance(vae.encoder, nn.Sequential)
        last = vae.encoder[-1]
        assert isinstance(last, nn.Linear)
        self.register_buffer("temperature", torch.ones(()))
        self.temperature: Tensor
        """Divides the logits of answers, not those that are trained on."""
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(last.in_features, classes))

    def features(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B F"]:
        """What the encoder's last layer reads."""
        found: Tensor = self.vae.encoder[:-1](x)  # type: ignore[index]
        return found

    def posterior(self, features: Float[Tensor, "B F"]) -> Independent:
        """q(z|x) by the features of x, event shape (D,)."""
        raw = self.vae.encoder[-1](features)  # type: ignore[index]
        return self.vae.to_posterior(raw.to(self.vae.zero.dtype))

    def logits(self, features: Float[Tensor, "B F"]) -> Float[Tensor, "B Y"]:
        """Logits of q(y|x) by the features of x."""
        found: Tensor = self.classifier(features).to(self.vae.zero.dtype)
        return found

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B Y"]:
        """Logits of q(y|x), divided by the temperature."""
        return self.logits(self.features(x)) / self.temperature


class SelfTrainingLoss(Frozen):
    """Labelled images: -log q(y|strong view). Others: ``consistency`` times the same for the class that the model
    itself gives the weak view, where it is sure. All: ``generative`` times the ELBO loss of the strong view, on the
    last ``share`` of each batch.

    The first two are FixMatch, Sohn et al. 2020, eqs. 3 and 4.
    """

    kind: Literal["self-training"] = "self-training"
    strong: Augmentation = Augmentation()
    weak: Augmentation = Augmentation()
    threshold: float = Field(0.8, ge=0, lt=1)
    """A guess counts where its probability is above this."""
    consistency: Weight = 1.0
    generative: Weight = 0.0
    """Nats of loss per nat of the negative ELBO."""
    beta: Weight = 1.0
    """Weight of the KL within the ELBO."""
    share: UnitFraction = 0.25
    """Of each batch, the images that the ELBO is taken of: a decoder costs more than an encoder."""

    def __call__(self, model: ClassifyingVAE, batch: Batch, progress: float) -> LossOutput:
        """The loss; labels of -1 are hidden."""
        x = self.strong(batch.x)
        features = model.features(x)
        logits = model.logits(features)
        known = (batch.labels != HIDDEN).to(logits.dtype)
        seen = F.cross_entropy(logits, batch.labels.clamp(min=0), reduction="none")
        loss = _mean(seen, known)
        parts = {"cross_entropy": seen.detach() * known}
        hidden = batch.labels == HIDDEN
        if self.consistency and bool(hidden.any()):
            with torch.no_grad():
                sure, guess = model(self.weak(batch.x[hidden])).softmax(-1).max(-1)
            heard = (sure > self.threshold).to(logits.dtype)
            unseen = F.cross_entropy(logits[hidden], guess, reduction="none") * heard
            loss = loss + self.consistency * unseen.sum() / hidden.sum().clamp(min=1)
            parts |= {"consistency": _placed(unseen.detach(), hidden), "sure": _placed(heard, hidden)}
        if self.generative:
            some = slice(-math.ceil(self.share * len(x)), None)
            q = model.posterior(features[some])
            z = q.rsample()
            log_px, kl_q = model.vae.decode(z).log_prob(x[some]), divergence(q, model.vae.prior(), z)
            loss = loss + self.generative * (self.beta * kl_q - log_px).mean()
        return LossOutput(loss, parts)


def _placed(values: Float[Tensor, " U"], where: Bool[Tensor, " B"]) -> Float[Tensor, " B"]:
    return values.new_zeros(len(where)).masked_scatter(where, values)


def _mean(values: Float[Tensor, " B"], counted: Float[Tensor, " B"]) -> Float[Tensor, ""]:
    return (values * counted).sum() / counted.sum().clamp(min=1)
