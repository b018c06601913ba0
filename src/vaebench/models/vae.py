"""The VAE: three distributions and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.distributions import Distribution, Independent

from vaebench.core.frozen import Frozen
from vaebench.models.likelihoods import AnyLikelihood, BernoulliPixels
from vaebench.models.networks import AnyNetwork, Conv, Shape
from vaebench.models.posteriors import AnyPosterior, LogVariance, Posterior
from vaebench.models.priors import AnyPrior, StandardNormal


class VAE(nn.Module):
    """p(z) p(x|z), with q(z|x) an amortised guess at p(z|x). Kingma & Welling 2014.

    Args:
        encoder: images (B, C, H, W) to raw values (B, 2D).
        decoder: codes (B, D) to the likelihood's raw values (B, outputs * C, H, W).
        latent: D.
        posterior: raw values to q(z|x).
        likelihood: raw values to p(x|z).
        prior: a module that gives p(z) when it is called with the VAE; none means N(0, I).
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

    def prior(self) -> Distribution:
        """p(z), event shape (D,); an Independent one factorises over latents."""
        found: Distribution = self.to_prior(self)
        return found

    def posterior(self, x: Float[Tensor, "B C H W"]) -> Independent:
        """q(z|x) for each image, event shape (D,). Computed at the precision of ``x`` after the network."""
        return self.to_posterior(self.encoder(x).to(x.dtype))

    def decode(self, z: Float[Tensor, "*batch D"]) -> Distribution:
        """p(x|z) for each code, event shape (C, H, W), at the precision of ``z`` after the network."""
        raw = self.decoder(z.flatten(0, -2)).to(z.dtype)
        return self.likelihood(raw.unflatten(0, z.shape[:-1]))


class Model(Frozen):
    """A VAE by its parts; :meth:`build` makes the torch module for images of one shape."""

    latent: int = Field(20, ge=1)
    """D, the number of latents."""
    network: AnyNetwork = Conv()
    decoder: AnyNetwork | None = None
    """The network whose decoder is used; none means the mirror of ``network``."""
    posterior: AnyPosterior = LogVariance()
    likelihood: AnyLikelihood = BernoulliPixels()
    prior: AnyPrior = StandardNormal()

    def build(self, shape: Shape) -> VAE:
        """A VAE with fresh weights, drawn from torch's global generator; channels last, in which it is faster.

        Raises:
            VaebenchError: the images are too small for the network.
        """
        channels, height, width = shape
        raw_shape = (self.likelihood.outputs * channels, height, width)
        decoder = (self.decoder or self.network).decoder(self.latent, raw_shape)
        vae = VAE(
            self.network.encoder(shape, 2 * self.latent),
            nn.Sequential(decoder, self.likelihood.last_layer(channels)),
            self.latent,
            self.posterior,
            self.likelihood,
            self.prior.build(self.latent, shape),
        )
        return vae.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
