"""The auxiliary deep generative model (ADGM): M2 with an auxiliary latent that makes its posterior more flexible."""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.distributions import Independent

from vaebench.core.frozen import Frozen
from vaebench.data.images import Batch
from vaebench.models.likelihoods import AnyLikelihood, BernoulliPixels, Likelihood, likelihood_decoder
from vaebench.models.loss import LossOutput, Weight, log_likelihood
from vaebench.models.m2 import ClassLatent, semi_supervised_loss
from vaebench.models.networks import MLP, AnyNetwork, Shape
from vaebench.models.posteriors import AnyPosterior, LogVariance, Posterior


class ADGM(ClassLatent):
    """y ~ Cat(1/Y), z ~ N(0, I), x ~ p(x|y,z), a ~ p(a|x,y,z), with the posterior q(a|x) q(y|a,x) q(z|a,x,y).

    Maaloe et al. 2016, "Auxiliary deep generative models", section 2.2 (ADGM). The auxiliary latent a leaves p(x,y,z)
    as in M2 and makes q(y|x) and q(z|x,y) mixtures over a. All classes are enumerated: an unlabelled image costs Y
    passes through inference network, decoder and auxiliary decoder.

    Args:
        encoder: images (B, C, H, W) to features (B, F).
        auxiliary_encoder: features to the raw values of q(a|x) (B, 2A).
        classifier: features and a (B, F + A) to logits of q(y|a,x) (B, Y).
        inference: features, a and one-hot class (B, F + A + Y) to the raw values of q(z|a,x,y) (B, 2D).
        decoder: code and one-hot class (B, D + Y) to the likelihood's raw values.
        auxiliary_decoder: features, code and one-hot class (B, F + D + Y) to the raw values of p(a|x,y,z) (B, 2A).
        sizes: D and Y.
        posterior: raw values to the Gaussians over a and z.
        likelihood: raw values to p(x|y,z).
    """

    def __init__(
        self,
        encoder: nn.Module,
        auxiliary_encoder: nn.Module,
        classifier: nn.Module,
        inference: nn.Module,
        decoder: nn.Module,
        auxiliary_decoder: nn.Module,
        sizes: tuple[int, int],
        posterior: Posterior,
        likelihood: Likelihood,
    ) -> None:
        super().__init__(sizes, posterior, likelihood)
        self.encoder = encoder
        self.auxiliary_encoder = auxiliary_encoder
        self.classifier = classifier
        self.inference = inference
        self.decoder = decoder
        self.auxiliary_decoder = auxiliary_decoder

    def features(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B F"]:
        """Features of images, the input of all networks except the decoder."""
        features: Tensor = self.encoder(x).to(x.dtype)
        return features

    def auxiliary_posterior(self, features: Float[Tensor, "B F"]) -> Independent:
        """q(a|x), event shape (A,)."""
        return self.to_posterior(self.auxiliary_encoder(features).to(features.dtype))

    def log_probabilities(self, features: Float[Tensor, "B F"], a: Float[Tensor, "B A"]) -> Float[Tensor, "B Y"]:
        """log q(y|a,x)."""
        logits: Tensor = self.classifier(torch.cat([features, a], -1)).to(a.dtype)
        return logits.log_softmax(-1)

    def posteriors(self, features: Float[Tensor, "B F"], a: Float[Tensor, "B A"]) -> Independent:
        """q(z|a,x,y) for each image and class: batch shape (B, Y), event shape (D,)."""
        raw = self.inference(self.with_classes(torch.cat([features, a], -1)[:, None].expand(-1, len(self.one_hot), -1)))
        return self.to_posterior(raw.to(a.dtype).unflatten(0, (len(a), -1)))

    def auxiliary_likelihood(self, features: Float[Tensor, "B F"], z: Float[Tensor, "B Y D"]) -> Independent:
        """p(a|x,y,z) for one code per class: batch shape (B, Y), event shape (A,)."""
        repeated = features[:, None].expand(-1, z.shape[1], -1)
        raw = self.auxiliary_decoder(self.with_classes(torch.cat([repeated, z], -1)))
        return self.to_posterior(raw.to(z.dtype).unflatten(0, z.shape[:2]))

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B Y"]:
        """log q(y|a,x) at the mean of q(a|x)."""
        features = self.features(x)
        return self.log_probabilities(features, self.auxiliary_posterior(features).mean)


class ADGMModel(Frozen):
    """Configuration of :class:`ADGM`."""

    kind: Literal["adgm"] = "adgm"
    latent: int = Field(50, ge=1)
    """D, the number of latents, and A, the number of auxiliary ones."""
    network: AnyNetwork = MLP(hidden=(500,))
    """Feature network of the images; the decoder is its mirror."""
    features: int = Field(500, ge=1)
    """F, and the width of the hidden layer of each small network."""
    posterior: AnyPosterior = LogVariance()
    likelihood: AnyLikelihood = BernoulliPixels()

    def build(self, shape: Shape, classes: int) -> ADGM:
        """An ADGM for images of this shape, its weights drawn from torch's global generator."""
        decoder = likelihood_decoder(self.network, self.latent + classes, shape, self.likelihood)
        return ADGM(
            nn.Sequential(self.network.encoder(shape, self.features), nn.ReLU()),
            nn.Linear(self.features, 2 * self.latent),
            self._two_layers(self.latent, classes),
            self._two_layers(self.latent + classes, 2 * self.latent),
            decoder,
            self._two_layers(self.latent + classes, 2 * self.latent),
            (self.latent, classes),
            self.posterior,
            self.likelihood,
        )

    def _two_layers(self, extra_inputs: int, outputs: int) -> nn.Module:
        hidden = self.features
        return nn.Sequential(nn.Linear(hidden + extra_inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


class ADGMElbo(Frozen):
    """-L(x, y) - alpha log q(y|a,x) for labelled images, -U(x) for unlabelled ones, with one sample of a, and of z per
    class.

    L(x, y) = E_q(a|x) q(z|a,x,y)[log p(x|y,z) + log p(y) + beta (log p(z) p(a|x,y,z) - log q(a|x) q(z|a,x,y))], and
    U(x) = E_q(a|x)[sum_y q(y|a,x) (L at this a - log q(y|a,x))], in nats per image. Maaloe et al. 2016, eqs. 7 to 11.
    """

    kind: Literal["adgm"] = "adgm"
    beta: Weight = 1.0
    """Weight of the latents' terms; with 1, L and U are lower bounds on log p(x, y) and log p(x)."""
    alpha: Weight = 10.0
    """Weight of the mean cross-entropy of the labelled images."""

    def __call__(self, model: ADGM, batch: Batch, progress: float) -> LossOutput:
        """The loss; images with the label -1 are unlabelled."""
        features = model.features(batch.x)
        q_a = model.auxiliary_posterior(features)
        a = q_a.rsample()
        q = model.posteriors(features, a)
        z = q.rsample()
        log_px = log_likelihood(model.decode(z), batch.per_class())
        excess = q.log_prob(z) - model.prior().log_prob(z) + q_a.log_prob(a)[:, None]
        excess = excess - model.auxiliary_likelihood(features, z).log_prob(a[:, None])
        joint = log_px - math.log(len(model.one_hot)) - self.beta * excess
        log_q = model.log_probabilities(features, a)
        return semi_supervised_loss(joint, log_q, batch.labels, self.alpha, {"excess": excess})
