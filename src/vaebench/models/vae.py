"""The variational autoencoder and the configuration that builds it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.distributions import Distribution, Independent

from vaebench.core.frozen import Frozen
from vaebench.models.likelihoods import AnyLikelihood, BernoulliPixels, likelihood_decoder
from vaebench.models.networks import AnyNetwork, Conv, Shape
from vaebench.models.posteriors import AnyPosterior, LogVariance, Posterior
from vaebench.models.priors import AnyPrior, StandardNormal

if TYPE_CHECKING:
    from vaebench.models.loss import Objective


class VAE(nn.Module):
    """Variational autoencoder: z ~ p(z), x ~ p(x|z), with the approximate posterior q(z|x).

    Kingma & Welling 2014; their eq. 3 is the bound on log p(x) that objectives maximise. The encoder computes the
    parameters of q(z|x), a diagonal Gaussian: correlations between latents in p(z|x) are not represented.

    Args:
        encoder: images (B, C, H, W) to raw values (B, 2D).
        decoder: codes (B, D) to the likelihood's raw values (B, outputs * C, H, W).
        latent: D.
        posterior: raw values to q(z|x).
        likelihood: raw values to p(x|z).
        prior: module that returns p(z) when called with the VAE; N(0, I) by default.
    """

    zero: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        latent: int,
        posterior: Posterior,
        likelihood: Callable[[Tensor], Distribution],
        prior: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.to_posterior = posterior
        self.likelihood = likelihood
        self.to_prior = prior or StandardNormal().build(latent, (1, 1, 1))
        self.register_buffer("zero", torch.zeros(latent), persistent=False)
        self.frozen: tuple[str, ...] = ()

    def freeze(self, *parts: str) -> None:
        """Exclude parts from training: their parameters get no gradient, and they stay in evaluation mode, in which
        batch normalisation uses its running averages without updating them and there is no dropout.

        Args:
            parts: ``encoder``, ``decoder``, ``likelihood``; a likelihood without parameters is passed over.
        """
        self.frozen = tuple(part for part in parts if isinstance(getattr(self, part), nn.Module))
        for part in self.frozen:
            getattr(self, part).requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> VAE:
        """Set the training mode of all parts that are not frozen."""
        super().train(mode)
        for part in self.frozen:
            getattr(self, part).eval()
        return self

    def prior(self) -> Distribution:
        """p(z), event shape (D,); it factorises over latents if it is an ``Independent``."""
        prior: Distribution = self.to_prior(self)
        return prior

    def posterior(self, x: Float[Tensor, "B C H W"]) -> Independent:
        """q(z|x) for each image, event shape (D,), computed from the network's output in the precision of ``x``."""
        return self.to_posterior(self.encoder(x).to(x.dtype))

    def decode(self, z: Float[Tensor, "*batch D"]) -> Distribution:
        """p(x|z) for each code, event shape (C, H, W), from the network's output in the precision of ``z``."""
        raw = self.decoder(z.flatten(0, -2)).to(z.dtype)
        return self.likelihood(raw.unflatten(0, z.shape[:-1]))


class VAEModel(Frozen):
    """Configuration of a :class:`VAE` of some kind: the fields that all kinds have."""

    kind: str
    latent: int = Field(20, ge=1)
    """D, the number of latents."""
    network: AnyNetwork = Conv()
    decoder: AnyNetwork | None = None
    """The network whose decoder is used; none means the mirror of ``network``."""

    @property
    def title(self) -> str:
        """The model in words: "VAE with 20 latents"."""
        return f"{self._begin_title()} {self.latent} latent{'' if self.latent == 1 else 's'}"

    def _begin_title(self) -> str:
        return "VAE with"

    @property
    def plain(self) -> VAEModel:
        """Configuration of the VAE whose networks the plain autoencoder of a run has."""
        return self

    def objective_from(self, objective: Objective) -> Objective:
        """The objective of a training of this model, given the recipe's."""
        return objective

    @abstractmethod
    def build(self, shape: Shape) -> VAE:
        """A VAE for images of this shape, its weights drawn from torch's global generator."""


class Model(VAEModel):
    """Configuration of a :class:`VAE`."""

    kind: Literal["vae"] = Field("vae", exclude=True)  # not written: files and identities of 0.1 have no kind
    posterior: AnyPosterior = LogVariance()
    likelihood: AnyLikelihood = BernoulliPixels()
    prior: AnyPrior = StandardNormal()

    def build(self, shape: Shape) -> VAE:
        """A VAE for images of this shape, its weights drawn from torch's global generator, in channels-last layout.

        Raises:
            VaebenchError: the images are too small for the network.
        """
        decoder = likelihood_decoder(self.decoder or self.network, self.latent, shape, self.likelihood)
        vae = VAE(
            self.network.encoder(shape, 2 * self.latent),
            decoder,
            self.latent,
            self.posterior,
            self.likelihood,
            self.prior.build(self.latent, shape),
        )
        return vae.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
