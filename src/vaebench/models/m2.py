"""M2, the semi-supervised VAE with the class as a partly observed latent variable."""

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
from vaebench.models.likelihoods import AnyLikelihood, BernoulliPixels, Likelihood, likelihood_decoder
from vaebench.models.loss import LossOutput, Weight, log_likelihood
from vaebench.models.networks import MLP, AnyNetwork, Shape
from vaebench.models.posteriors import AnyPosterior, LogVariance, Posterior, standard_normal


class ClassLatent(nn.Module):
    """Part of a VAE with a class as latent variable: all classes are enumerated, and the decoder is given z and y.

    Args:
        sizes: D and Y.
        posterior: raw values to a Gaussian.
        likelihood: raw values to p(x|y,z).
    """

    zero: Tensor
    one_hot: Tensor
    decoder: nn.Module

    def __init__(self, sizes: tuple[int, int], posterior: Posterior, likelihood: Likelihood) -> None:
        super().__init__()
        self.to_posterior = posterior
        self.likelihood = likelihood
        self.register_buffer("zero", torch.zeros(sizes[0]), persistent=False)
        self.register_buffer("one_hot", torch.eye(sizes[1]), persistent=False)

    def prior(self) -> Independent:
        """p(z) = N(0, I), event shape (D,)."""
        return standard_normal(self.zero)

    def with_classes(self, values: Float[Tensor, "*batch Y K"]) -> Float[Tensor, "N L"]:
        """The values of each class followed by the one-hot class, in rows."""
        one_hot = self.one_hot.to(values.dtype).expand(*values.shape[:-1], -1)
        return torch.cat([values, one_hot], -1).flatten(0, -2)

    def decode(self, z: Float[Tensor, "*batch Y D"]) -> Distribution:
        """p(x|y,z) for one code per class: batch shape (*batch, Y), event shape (C, H, W)."""
        raw = self.decoder(self.with_classes(z)).to(z.dtype)
        return self.likelihood(raw.unflatten(0, z.shape[:-1]))


class M2(ClassLatent):
    """Model M2: y ~ Cat(1/Y), z ~ N(0, I), x ~ p(x|y,z), with the approximate posterior q(y|x) q(z|x,y).

    Kingma et al. 2014, "Semi-supervised learning with deep generative models", eqs. 2 and 4. All classes are
    enumerated: an unlabelled image costs Y passes through inference network and decoder.

    Args:
        classifier: images (B, C, H, W) to logits of q(y|x) (B, Y).
        encoder: images to features (B, H), computed once for all classes.
        inference: features and one-hot class (B, H + Y) to the posterior's raw values (B, 2D).
        decoder: code and one-hot class (B, D + Y) to the likelihood's raw values.
        sizes: D and Y.
        posterior: raw values to q(z|x,y).
        likelihood: raw values to p(x|y,z).
    """

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
        super().__init__(sizes, posterior, likelihood)
        self.classifier = classifier
        self.encoder = encoder
        self.inference = inference
        self.decoder = decoder

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B Y"]:
        """Logits of q(y|x)."""
        logits: Tensor = self.classifier(x).to(x.dtype)
        return logits

    def log_probabilities(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B Y"]:
        """log q(y|x)."""
        return self(x).log_softmax(-1)  # type: ignore[no-any-return]

    def posteriors(self, x: Float[Tensor, "B C H W"]) -> Independent:
        """q(z|x,y) for each image and class: batch shape (B, Y), event shape (D,)."""
        features = self.encoder(x).to(x.dtype)
        raw = self.inference(self.with_classes(features[:, None].expand(-1, len(self.one_hot), -1)))
        return self.to_posterior(raw.to(x.dtype).unflatten(0, (len(x), -1)))


class M2Model(Frozen):
    """Configuration of :class:`M2`."""

    kind: Literal["m2"] = "m2"
    latent: int = Field(50, ge=1)
    """D, the number of latents."""
    network: AnyNetwork = MLP(hidden=(500,))
    """Feature network of the images; the decoder is its mirror."""
    classifier: AnyNetwork = MLP(hidden=(500,))
    features: int = Field(500, ge=1)
    """H: number of features that are joined with the class, and width of the hidden layer that follows."""
    posterior: AnyPosterior = LogVariance()
    likelihood: AnyLikelihood = BernoulliPixels()

    def build(self, shape: Shape, classes: int) -> M2:
        """An M2 for images of this shape, its weights drawn from torch's global generator."""
        inference = nn.Sequential(
            nn.ReLU(),
            nn.Linear(self.features + classes, self.features),
            nn.ReLU(),
            nn.Linear(self.features, 2 * self.latent),
        )
        decoder = likelihood_decoder(self.network, self.latent + classes, shape, self.likelihood)
        return M2(
            self.classifier.encoder(shape, classes),
            self.network.encoder(shape, self.features),
            inference,
            decoder,
            (self.latent, classes),
            self.posterior,
            self.likelihood,
        )


class M2Elbo(Frozen):
    """-L(x, y) - alpha log q(y|x) for labelled images, -U(x) for unlabelled ones, with one sample of z per class.

    L(x, y) = E_q(z|x,y)[log p(x|y,z)] + log p(y) - beta KL(q(z|x,y) || p(z)), and
    U(x) = sum_y q(y|x) L(x, y) + H(q(y|x)), in nats per image. Kingma et al. 2014, eqs. 6 to 9.
    """

    kind: Literal["m2"] = "m2"
    beta: Weight = 1.0
    """Weight of the KL; with 1, L and U are lower bounds on log p(x, y) and log p(x)."""
    alpha: Weight = 10.0
    """Weight of the mean cross-entropy of the labelled images."""

    def __call__(self, model: M2, batch: Batch, progress: float) -> LossOutput:
        """The loss; images with the label -1 are unlabelled."""
        q = model.posteriors(batch.x)
        log_px = log_likelihood(model.decode(q.rsample()), batch.per_class())
        kl_q = kl_divergence(q, model.prior().expand(q.batch_shape))
        joint = log_px - math.log(len(model.one_hot)) - self.beta * kl_q
        return semi_supervised_loss(joint, model.log_probabilities(batch.x), batch.labels, self.alpha, {"kl": kl_q})


def semi_supervised_loss(
    joint: Float[Tensor, "B Y"], log_q: Float[Tensor, "B Y"], labels: Tensor, alpha: float, per_class: dict[str, Tensor]
) -> LossOutput:
    """The loss from ``joint`` = L(x, y) and ``log_q`` = log q(y|x), Kingma et al. 2014, eqs. 7 to 9; the means under
    q(y|x) of the quantities ``per_class`` (B, Y) are components of the output."""
    labelled = (labels != HIDDEN).to(joint.dtype)
    classes = labels.clamp(min=0)
    labelled_bound = joint.gather(1, classes[:, None])[:, 0]
    unlabelled_bound = (log_q.exp() * (joint - log_q)).sum(1)
    bound = torch.where(labelled > 0, labelled_bound, unlabelled_bound)
    cross_entropy = F.nll_loss(log_q, classes, reduction="none") * labelled
    loss = alpha * cross_entropy.sum() / labelled.sum().clamp(min=1) - bound.mean()
    means = {name: (log_q.exp() * value).sum(1).detach() for name, value in per_class.items()}
    return LossOutput(loss, {"bound": bound.detach()} | means)
