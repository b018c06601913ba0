"""The semi-supervised VAE M2: the class is a latent that is sometimes seen."""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, kl_divergence
from torch.nn import functional as F

from vaebench.core.frozen import Frozen
from vaebench.data.images import HIDDEN, Batch
from vaebench.models.likelihoods import AnyLikelihood, BernoulliPixels, Likelihood
from vaebench.models.loss import LossOutput, Weight
from vaebench.models.networks import MLP, AnyNetwork, Shape
from vaebench.models.posteriors import AnyPosterior, LogVariance, Posterior, diagonal_gaussian


class M2(nn.Module):
    """p(y) p(z) p(x|y,z), y uniform, with q(y|x) q(z|x,y). Kingma et al. 2014, "Semi-supervised learning with deep
    generative models", model M2.

    Args:
        classifier: images (B, C, H, W) to logits of q(y|x) (B, Y).
        encoder: images to features (B, H), once an image whatever the class.
        inference: features and one-hot class (B, H + Y) to the posterior's raw values (B, 2D).
        decoder: code and one-hot class (B, D + Y) to the likelihood's raw values.
        sizes: D and Y.
        posterior: raw values to q(z|x,y).
        likelihood: raw values to p(x|y,z).
    """

    zero: Tensor
    one_hot: Tensor

    def __init__(
        self,
        classifier: nn.Module,
        encoder: nn.Module,
        inference: nn.Module,
        decoder: nn.Module,
        sizes: tuple[int, int],
        posterior: Posterior,
        likelihood: Likelihood,
    ) -> None:
        super().__init__()
        self.classifier = classifier
        self.encoder = encoder
        self.inference = inference
        self.decoder = decoder
        self.to_posterior = posterior
        self.likelihood = likelihood
        self.register_buffer("zero", torch.zeros(sizes[0]), persistent=False)
        self.register_buffer("one_hot", torch.eye(sizes[1]), persistent=False)

    def log_probabilities(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B Y"]:
        """log q(y|x)."""
        found: Tensor = self.classifier(x).to(x.dtype)
        return found.log_softmax(-1)

    def prior(self) -> Independent:
        """p(z) = N(0, I), event shape (D,)."""
        return diagonal_gaussian(self.zero, torch.ones_like(self.zero))

    def posteriors(self, x: Float[Tensor, "B C H W"]) -> Independent:
        """q(z|x,y) of each image and class: batch shape (B, Y), event shape (D,)."""
        features = self.encoder(x).to(x.dtype)
        classes = len(self.one_hot)
        pairs = torch.cat([features.repeat_interleave(classes, 0), self.one_hot.repeat(len(x), 1)], -1)
        return self.to_posterior(self.inference(pairs).to(x.dtype).unflatten(0, (len(x), classes)))

    def decode(self, z: Float[Tensor, "*batch Y D"]) -> Distribution:
        """p(x|y,z), one code a class: batch shape (*batch, Y), event shape (C, H, W)."""
        joined = torch.cat([z, self.one_hot.expand(*z.shape[:-1], -1)], -1)
        raw = self.decoder(joined.flatten(0, -2)).to(z.dtype)
        return self.likelihood(raw.unflatten(0, z.shape[:-1]))


class M2Model(Frozen):
    """An M2 by its parts."""

    latent: int = Field(50, ge=1)
    """D, the number of latents."""
    network: AnyNetwork = MLP(hidden=(500,))
    """Features of the images, and the mirrored decoder."""
    classifier: AnyNetwork = MLP(hidden=(500,))
    features: int = Field(500, ge=1)
    """H: features beside which the class enters, and the hidden layer after them."""
    posterior: AnyPosterior = LogVariance()
    likelihood: AnyLikelihood = BernoulliPixels()

    def build(self, shape: Shape, classes: int) -> M2:
        """An M2 with fresh weights, drawn from torch's global generator."""
        channels, height, width = shape
        raw_shape = (self.likelihood.outputs * channels, height, width)
        inference = nn.Sequential(
            nn.ReLU(),
            nn.Linear(self.features + classes, self.features),
            nn.ReLU(),
            nn.Linear(self.features, 2 * self.latent),
        )
        decoder = self.network.decoder(self.latent + classes, raw_shape)
        return M2(
            self.classifier.encoder(shape, classes),
            self.network.encoder(shape, self.features),
            inference,
            nn.Sequential(decoder, self.likelihood.last_layer(channels)),
            (self.latent, classes),
            self.posterior,
            self.likelihood,
        )


class M2Elbo(Frozen):
    """Labelled images: -L(x, y) - alpha log q(y|x); the others: -U(x), every class enumerated. One sample of z a class.

    L(x, y) = E_q(z|x,y)[log p(x|y,z)] + log p(y) - beta KL(q(z|x,y) || p(z)), and
    U(x) = sum_y q(y|x) L(x, y) + H(q(y|x)). Kingma et al. 2014, equations 6 to 9.
    """

    kind: Literal["semi-supervised"] = "semi-supervised"
    beta: Weight = 1.0
    """Weight of the KL; 1 makes L and U bounds on log p(x, y) and log p(x)."""
    alpha: Weight = 10.0
    """Nats of loss per nat of the labelled images' mean cross-entropy."""

    def __call__(self, model: M2, batch: Batch, progress: float) -> LossOutput:
        """The loss; labels of -1 are hidden."""
        q = model.posteriors(batch.x)
        log_px = model.decode(q.rsample()).log_prob(batch.x[:, None])
        information = kl_divergence(q, model.prior().expand(q.batch_shape))
        joint = log_px - math.log(len(model.one_hot)) - self.beta * information
        log_q = model.log_probabilities(batch.x)
        known = (batch.labels != HIDDEN).to(log_px.dtype)
        labels = batch.labels.clamp(min=0)
        seen = joint.gather(1, labels[:, None])[:, 0]
        unseen = (log_q.exp() * (joint - log_q)).sum(1)
        bound = torch.where(known > 0, seen, unseen)
        cross_entropy = F.nll_loss(log_q, labels, reduction="none") * known
        loss = self.alpha * cross_entropy.sum() / known.sum().clamp(min=1) - bound.mean()
        kl_mean = (log_q.exp() * information).sum(1)
        return LossOutput(loss, {"bound": bound.detach(), "kl": kl_mean.detach()})
