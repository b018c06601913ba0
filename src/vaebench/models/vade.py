"""VaDE: a VAE with a learned mixture of Gaussians as prior, for clustering."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.distributions import Independent, MixtureSameFamily

from vaebench.core.errors import VaebenchError
from vaebench.models.likelihoods import AnyLikelihood, BernoulliPixels
from vaebench.models.loss import Weight
from vaebench.models.networks import Shape
from vaebench.models.objectives import Elbo
from vaebench.models.posteriors import AnyPosterior, LogVariance, diagonal_gaussian
from vaebench.models.priors import mixture
from vaebench.models.vae import VAE, Model, VAEModel


class VaDE(VAE):
    """Variational deep embedding: c ~ Cat(pi), z|c ~ N(mu_c, diag(sigma_c^2)), x ~ p(x|z), all parameters learned.

    Jiang et al. 2017, "Variational deep embedding", section 3.1. With q(c|x) = p(c|z) at a sample of z (their eq. 16)
    the sum over components is exact, so the bound is on z alone. The prior must start near the data, for example from
    a mixture fitted to the codes of a trained VAE; from random values components collapse.

    The parameters ``share`` (logits of pi), ``centre`` (mu) and ``log_scale`` (log sigma) have the names of saved
    files.

    Args:
        vae: VAE whose encoder and decoder are taken, not copied.
        weights: initial pi, shape (K,).
        means: initial mu, shape (K, D).
        scales: initial sigma, shape (K, D).
    """

    def __init__(
        self, vae: VAE, weights: Float[Tensor, " K"], means: Float[Tensor, "K D"], scales: Float[Tensor, "K D"]
    ) -> None:
        super().__init__(vae.encoder, vae.decoder, len(vae.zero), vae.to_posterior, vae.likelihood)
        self.share = nn.Parameter(weights.log())
        self.centre = nn.Parameter(means.clone())
        self.log_scale = nn.Parameter(scales.log())

    def components(self) -> Independent:
        """p(z|c): batch shape (K,), event shape (D,)."""
        return diagonal_gaussian(self.centre, self.log_scale.exp())

    def prior(self) -> MixtureSameFamily:
        """p(z) = sum_c pi_c p(z|c), event shape (D,)."""
        return mixture(self.share, self.components())

    def responsibilities(self, z: Float[Tensor, "B D"]) -> Float[Tensor, "B K"]:
        """p(c|z), the probability of each component."""
        log_joint: Tensor = self.share.log_softmax(0) + self.components().log_prob(z[:, None])
        return log_joint.softmax(-1)


class VaDEElbo(Elbo):
    """beta (log q(z|x) - log sum_c pi_c N(z; mu_c, sigma_c)) - log p(x|z) at one sample of q(z|x), nats per image."""

    kind: Literal["vade"] = "vade"  # type: ignore[assignment]


class VaDEModel(VAEModel):
    """Configuration of a :class:`VaDE` and of the VAE that it starts from.

    A run trains the VAE with the recipe's objective, fits a Gaussian mixture to the codes of its training images, and
    trains both together with :class:`VaDEElbo`, as Jiang et al. 2017, section 4.2, start from an autoencoder.
    """

    kind: Literal["vade"] = "vade"
    posterior: AnyPosterior = LogVariance()
    likelihood: AnyLikelihood = BernoulliPixels()
    components: int = Field(10, ge=2)
    """K, the number of components of the mixture."""
    pretraining_epochs: int = Field(12, ge=1)
    """Training epochs of the VAE before the mixture is fitted."""
    beta: Weight = 1.0
    """Weight of the KL to the mixture."""

    def _begin_title(self) -> str:
        return f"VaDE with {self.components} components and"

    @property
    def pretrained(self) -> Model:
        """Configuration of the VAE that is trained first."""
        fields = {name: getattr(self, name) for name in ("latent", "network", "decoder", "posterior", "likelihood")}
        return Model(**fields)

    def check_images(self, images: int) -> None:
        """Raise `VaebenchError` if there are fewer training images than components."""
        if images < self.components:
            raise VaebenchError(
                f"model.components is {self.components}, but there are {images} training images; lower it"
            )

    @property
    def objective(self) -> VaDEElbo:
        """Objective of the second training."""
        return VaDEElbo(beta=self.beta)

    def build(self, shape: Shape) -> VaDE:
        """A VaDE with random networks and components at the origin; see :meth:`start` for one to train."""
        k, d = self.components, self.latent
        return VaDE(self.pretrained.build(shape), torch.full((k,), 1 / k), torch.zeros(k, d), torch.ones(k, d))

    def start(self, vae: VAE, means: Float[np.ndarray, "N D"], variances: Float[np.ndarray, "N D"], seed: int) -> VaDE:
        """VaDE that takes the networks of ``vae`` and starts from a mixture fitted to its codes.

        The variance of a component is that of its means plus the mean variance of its posteriors, so that the mixture
        covers samples of z: a latent without information, whose means are all 0, starts at N(0, 1).
        """
        fitted = fit_mixture(means.astype(np.float64), self.components, seed)
        probabilities = fitted.predict_proba(means.astype(np.float64))
        within = probabilities.T @ variances / np.maximum(probabilities.sum(0), 1e-12)[:, None]
        parts = (fitted.weights_, fitted.means_, np.sqrt(fitted.covariances_ + within))
        return VaDE(vae, *(torch.from_numpy(part).to(vae.zero) for part in parts))


def fit_mixture(codes: Float[np.ndarray, "N D"], components: int, seed: int) -> Any:
    """Gaussian mixture with diagonal covariances (scikit-learn's ``GaussianMixture``)."""
    from sklearn.mixture import GaussianMixture  # takes a second, which other models should not cost

    return GaussianMixture(components, covariance_type="diag", max_iter=50, random_state=seed).fit(codes)
