"""A VAE with a classifier on its encoder's features, and the self-training loss of labelled and unlabelled images."""

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
from vaebench.models.loss import LossOutput, UnitFraction, Weight, elbo_terms
from vaebench.models.vae import VAE


class ClassifyingVAE(nn.Module):
    """A VAE and a classifier q(y|x) that share all layers of the encoder except the last.

    q(z|x) and q(y|x) are linear layers on the same features (B, F); y does not enter p(x|z), unlike in M2.

    Args:
        vae: VAE whose encoder is a sequence that ends in one linear layer; it is not copied.
        classes: Y.
        dropout: dropout of the features before the classifier.
    """

    def __init__(self, vae: VAE, classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.vae = vae
        assert isinstance(vae.encoder, nn.Sequential)
        last = vae.encoder[-1]
        assert isinstance(last, nn.Linear)
        self.register_buffer("temperature", torch.ones(()))
        self.temperature: Tensor
        """Divides the logits of predictions, not those of the training loss."""
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(last.in_features, classes))

    def features(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B F"]:
        """Input of the encoder's last layer."""
        features: Tensor = self.vae.encoder[:-1](x)  # type: ignore[index]
        return features

    def posterior(self, features: Float[Tensor, "B F"]) -> Independent:
        """q(z|x) from the features of x, event shape (D,)."""
        raw = self.vae.encoder[-1](features)  # type: ignore[index]
        return self.vae.to_posterior(raw.to(self.vae.zero.dtype))

    def logits(self, features: Float[Tensor, "B F"]) -> Float[Tensor, "B Y"]:
        """Logits of q(y|x) from the features of x, without the temperature."""
        logits: Tensor = self.classifier(features).to(self.vae.zero.dtype)
        return logits

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B Y"]:
        """Logits of q(y|x), divided by the temperature."""
        return self.logits(self.features(x)) / self.temperature


class SelfTrainingLoss(Frozen):
    """Cross-entropy + ``consistency`` times the FixMatch loss + ``generative`` times the negative ELBO.

    Labelled images: mean of -log q(y|strong view). Unlabelled images: mean of [max q(.|weak view) > ``threshold``]
    times -log q(argmax q(.|weak view) | strong view); Sohn et al. 2020 (FixMatch), eqs. 3 and 4. The ELBO is that of
    the strong views of the last ``elbo_fraction`` of each batch. In nats per image.
    """

    kind: Literal["self-training"] = "self-training"
    strong: Augmentation = Augmentation()
    weak: Augmentation = Augmentation()
    threshold: float = Field(0.8, ge=0, lt=1)
    """Pseudo-labels with a probability above this are used."""
    consistency: Weight = 1.0
    generative: Weight = 0.0
    """Weight of the negative ELBO."""
    beta: Weight = 1.0
    """Weight of the KL in the ELBO."""
    elbo_fraction: UnitFraction = 0.25
    """Fraction of each batch on which the ELBO is computed, as a decoder costs more than an encoder."""

    def __call__(self, model: ClassifyingVAE, batch: Batch, progress: float) -> LossOutput:
        """The loss; images with the label -1 are unlabelled."""
        strong = self.strong.augment(batch)
        features = model.features(strong.x)
        logits = model.logits(features)
        unlabelled = batch.labels == HIDDEN
        labelled = (~unlabelled).to(logits.dtype)
        cross_entropy = F.cross_entropy(logits, batch.labels.clamp(min=0), reduction="none") * labelled
        loss = cross_entropy.sum() / labelled.sum().clamp(min=1)
        components = {"cross_entropy": cross_entropy.detach()}
        if self.consistency and bool(unlabelled.any()):
            consistency, confident = self._fixmatch(model, batch.take(unlabelled), logits[unlabelled])
            loss = loss + self.consistency * consistency.sum() / unlabelled.sum().clamp(min=1)
            components["consistency"] = _scatter(consistency.detach(), unlabelled)
            components["sure"] = _scatter(confident, unlabelled)
        if self.generative:
            last = slice(-math.ceil(self.elbo_fraction * len(strong.x)), None)
            _, log_px, kl_q = elbo_terms(model.vae, strong.take(last), model.posterior(features[last]))
            loss = loss + self.generative * (self.beta * kl_q - log_px).mean()
        return LossOutput(loss, components)

    def _fixmatch(
        self, model: ClassifyingVAE, batch: Batch, strong_logits: Float[Tensor, "U Y"]
    ) -> tuple[Float[Tensor, " U"], Float[Tensor, " U"]]:
        """Cross-entropy with confident pseudo-labels, 0 elsewhere, and whether each pseudo-label is confident."""
        with torch.no_grad():
            probability, pseudo_labels = model(self.weak.augment(batch).x).softmax(-1).max(-1)
        confident = (probability > self.threshold).to(strong_logits.dtype)
        return F.cross_entropy(strong_logits, pseudo_labels, reduction="none") * confident, confident


def _scatter(values: Float[Tensor, " U"], mask: Bool[Tensor, " B"]) -> Float[Tensor, " B"]:
    return values.new_zeros(len(mask)).masked_scatter(mask, values)
