"""The auxiliary deep generative model: M2 with one more latent, which makes q(z|x,y) and q(y|x) richer."""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.distributions import Distribution, Independent
from torch.nn import functional as F

from vaebench.core.frozen import Frozen
from vaebench.data.images import HIDDEN, Batch
from vaebench.models.likelihoods import AnyLikelihood, BernoulliPixels, Likelihood
from vaebench.models.loss import LossOutput, Weight
from vaebench.models.networks import MLP, AnyNetwork, Shape
from vaebench.models.posteriors import AnyPosterior, LogVariance, Posterior, diagonal_gaussian


class ADGM(nn.Module):
    """p(y) p(z) p(x|y,z) p(a|x,y,z), y uniform, with q(a|x) q(y|a,x) q(z|a,x,y). Maaloe et al. 2016, "Auxiliary deep
    generative models", section 2.2 (ADGM).

    Args:
        encoder: images (B, C, H, W) to features (B, F).
        auxiliary: features to the raw values of q(a|x) (B, 2A).
        classifier: features and a (B, F + A) to logits of q(y|a,x) (B, Y).
        inference: features, a and one-hot class (B, F + A + Y) to the raw values of q(z|a,x,y) (B, 2D).
        decoder: code and one-hot class (B, D + Y) to the likelihood's raw values.
        explainer: features, code and one-hot class (B, F + D + Y) to the raw values of p(a|x,y,z) (B, 2A).
        sizes: D and Y.
        posterior: raw values to the Gaussians over a and z.
        likelihood: raw values to p(x|y,z).
    """

    zero: Tensor
    one_hot: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        auxiliary: nn.Module,
        classifier: nn.Module,
        inference: nn.Module,
        decoder: nn.Module,
        explainer: nn.Module,
        sizes: tuple[int, int],
        posterior: Posterior,
        likelihood: Likelihood,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.auxiliary = auxiliary
        self.classifier = classifier
        self.inference = inference
        self.decoder = decoder
        self.explainer = explainer
        self.to_posterior = posterior
        self.likelihood = likelihood
        self.register_buffer("zero", torch.zeros(sizes[0]), persistent=False)
        self.register_buffer("one_hot", torch.eye(sizes[1]), persistent=False)

    def features(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B F"]:
        """What all networks but the decoder read of x."""
        found: Tensor = self.encoder(x).to(x.dtype)
        return found

    def hint(self, features: Float[Tensor, "B F"]) -> Independent:
        """q(a|x), event shape (A,)."""
        return self.to_posterior(self.auxiliary(features).to(features.dtype))

    def log_probabilities(self, features: Float[Tensor, "B F"], a: Float[Tensor, "B A"]) -> Float[Tensor, "B Y"]:
        """log q(y|a,x)."""
        found: Tensor = self.classifier(torch.cat([features, a], -1)).to(a.dtype)
        return found.log_softmax(-1)

    def posteriors(self, features: Float[Tensor, "B F"], a: Float[Tensor, "B A"]) -> Independent:
        """q(z|a,x,y) of each image and class: batch shape (B, Y), event shape (D,)."""
        raw = self.inference(
            self._with_classes(torch.cat([features, a], -1)[:, None].expand(-1, len(self.one_hot), -1))
        )
        return self.to_posterior(raw.to(a.dtype).unflatten(0, (len(a), -1)))

    def explanations(self, features: Float[Tensor, "B F"], z: Float[Tensor, "B Y D"]) -> Independent:
        """p(a|x,y,z) of each image and class, one code a class: batch shape (B, Y), event shape (A,)."""
        seen = features[:, None].expand(-1, z.shape[1], -1)
        raw = self.explainer(self._with_classes(torch.cat([seen, z], -1)))
        return self.to_posterior(raw.to(z.dtype).unflatten(0, z.shape[:2]))

    def prior(self) -> Independent:
        """p(z) = N(0, I), event shape (D,)."""
        return diagonal_gaussian(self.zero, torch.ones_like(self.zero))

    def decode(self, z: Float[Tensor, "B Y D"]) -> Distribution:
        """p(x|y,z), one code a class: batch shape (B, Y), event shape (C, H, W)."""
        raw = self.decoder(self._with_classes(z)).to(z.dtype)
        return self.likelihood(raw.unflatten(0, z.shape[:2]))

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B Y"]:
        """log q(y|a,x) at the mean of q(a|x)."""
        features = self.features(x)
        return self.log_probabilities(features, self.hint(features).mean)

    def _with_classes(self, values: Float[Tensor, "B Y K"]) -> Float[Tensor, "BY L"]:
        return torch.cat([values, self.one_hot.to(values.dtype).expand(len(values), -1, -1)], -1).flatten(0, 1)


class ADGMModel(Frozen):
    """An ADGM by its parts."""

    latent: int = Field(50, ge=1)
    """D, the number of latents; as many auxiliary ones."""
    network: AnyNetwork = MLP(hidden=(500,))
    """Features of the images, and the mirrored decoder."""
    features: int = Field(500, ge=1)
    """F, and the width of the hidden layer of each small network."""
    posterior: AnyPosterior = LogVariance()
    likelihood: AnyLikelihood = BernoulliPixels()

    def build(self, shape: Shape, classes: int) -> ADGM:
        """An ADGM with fresh weights, drawn from torch's global generator."""
        channels, height, width = shape
        raw_shape = (self.likelihood.outputs * channels, height, width)
        decoder = self.network.decoder(self.latent + classes, raw_shape)
        return ADGM(
            nn.Sequential(self.network.encoder(shape, self.features), nn.ReLU()),
            nn.Linear(self.features, 2 * self.latent),
            self._small(self.latent, classes),
            self._small(self.latent + classes, 2 * self.latent),
            nn.Sequential(decoder, self.likelihood.last_layer(channels)),
            self._small(self.latent + classes, 2 * self.latent),
            (self.latent, classes),
            self.posterior,
            self.likelihood,
        )

    def _small(self, beside: int, outputs: int) -> nn.Module:
        hidden = self.features
        return nn.Sequential(nn.Linear(hidden + beside, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


class ADGMElbo(Frozen):
    """Labelled images: -L(x, y) - alpha log q(y|a,x); the others: -U(x), every class enumerated. One sample of a, and
    of z a class.

    L(x, y) = E_q(a|x) q(z|a,x,y)[log p(x|y,z) + log p(y) + beta (log p(z) p(a|x,y,z) - log q(a|x) q(z|a,x,y))], and
    U(x) = E_q(a|x)[sum_y q(y|a,x) (L at this a - log q(y|a,x))]. Maaloe et al. 2016, equations 7 to 11.
    """

    kind: Literal["auxiliary"] = "auxiliary"
    beta: Weight = 1.0
    """Weight of the latents' terms; 1 makes L and U bounds on log p(x, y) and log p(x)."""
    alpha: Weight = 10.0
    """Nats of loss per nat of the labelled images' mean cross-entropy."""

    def __call__(self, model: ADGM, batch: Batch, progress: float) -> LossOutput:
        """The loss; labels of -1 are hidden."""
        features = model.features(batch.x)
        hint = model.hint(features)
        a = hint.rsample()
        q = model.posteriors(features, a)
        z = q.rsample()
        log_px = model.decode(z).log_prob(batch.x[:, None])
        excess = q.log_prob(z) - model.prior().log_prob(z) + hint.log_prob(a)[:, None]
        excess = excess - model.explanations(features, z).log_prob(a[:, None])
        joint = log_px - math.log(len(model.one_hot)) - self.beta * excess
        log_q = model.log_probabilities(features, a)
        known = (batch.labels != HIDDEN).to(log_px.dtype)
        labels = batch.labels.clamp(min=0)
        bound = torch.where(known > 0, joint.gather(1, labels[:, None])[:, 0], (log_q.exp() * (joint - log_q)).sum(1))
        cross_entropy = F.nll_loss(log_q, labels, reduction="none") * known
        loss = self.alpha * cross_entropy.sum() / known.sum().clamp(min=1) - bound.mean()
        return LossOutput(loss, {"bound": bound.detach(), "excess": (log_q.exp() * excess).sum(1).detach()})
