"""A VAE with a local autoregressive decoder, which models texture by itself and leaves global structure to z."""

from __future__ import annotations

from typing import Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution
from torch.nn import functional as F

from vaebench.models.networks import Shape
from vaebench.models.posteriors import AnyPosterior, LogVariance
from vaebench.models.priors import AnyPrior, StandardNormal
from vaebench.models.vae import VAE, VAEModel


class LocalPixels(nn.Module):
    """p(x|z) = prod_i Bern(x_i; f(x in the ``horizon`` rows above and pixels to the left of i, features of z at i)).

    Zhang et al. 2022, "Improving VAE-based representation learning", section 3. All channels of a pixel are independent
    given the pixels before it. On grey pixels ``log_prob`` is minus the cross-entropy, which is not a density.

    Args:
        channels: C.
        features: features of z per pixel and channel.
        horizon: distance in pixels over which a pixel depends on earlier ones.
    """

    mask: Tensor

    def __init__(self, channels: int, features: int, horizon: int) -> None:
        super().__init__()
        self.horizon = horizon
        self.look = nn.Conv2d(channels, features * channels, (horizon + 1, 2 * horizon + 1))
        self.join = nn.Sequential(
            nn.ReLU(), nn.Conv2d(features * channels, 32, 1), nn.ReLU(), nn.Conv2d(32, channels, 1)
        )
        mask = torch.ones(horizon + 1, 2 * horizon + 1)
        mask[-1, horizon:] = 0.0
        self.register_buffer("mask", mask, persistent=False)

    def logits(self, raw: Float[Tensor, "B P H W"], x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """Logit of each pixel given the pixels before it."""
        h = self.horizon
        return self.logits_of(raw, F.pad(x, (h, h, h, 0)))

    def logits_of(self, raw: Float[Tensor, "B P H W"], padded: Float[Tensor, "B C V U"]) -> Float[Tensor, "B C H W"]:
        """Logits from images with ``horizon`` more rows above and pixels to each side."""
        context = F.conv2d(padded, self.look.weight * self.mask, self.look.bias)
        logits: Tensor = self.join(raw + context)
        return logits.to(padded.dtype)

    def forward(self, raw: Float[Tensor, "*batch P H W"]) -> LocalDistribution:
        """The distribution over images, event shape (C, H, W)."""
        return LocalDistribution(self, raw)


class LocalDistribution(Distribution):
    """Images in raster order given features (*batch, P, H, W) of z, event shape (C, H, W).

    Sampling takes one pass through the pixels' network per pixel.
    """

    def __init__(self, pixels: LocalPixels, raw: Tensor) -> None:
        self.pixels, self.raw = pixels, raw
        channels = pixels.look.in_channels
        super().__init__(raw.shape[:-3], torch.Size((channels, *raw.shape[-2:])), validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-probability in nats per image."""
        batch = torch.broadcast_shapes(self.raw.shape[:-3], value.shape[:-3])
        raw, x = self.raw.expand(*batch, *self.raw.shape[-3:]), value.expand(*batch, *value.shape[-3:])
        logits = self.pixels.logits(raw.reshape(-1, *raw.shape[-3:]), x.reshape(-1, *x.shape[-3:])).view(x.shape)
        return -F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum((-3, -2, -1))

    @torch.no_grad()
    def _generate(self, sampled: bool) -> Tensor:
        raw = self.raw.reshape(-1, *self.raw.shape[-3:])
        x = raw.new_zeros(len(raw), *self.event_shape)
        h = self.pixels.horizon
        padded = F.pad(x, (h, h, h, 0))
        for row in range(x.shape[2]):
            for column in range(x.shape[3]):
                context = padded[:, :, row : row + h + 1, column : column + 2 * h + 1]
                logit = self.pixels.logits_of(raw[:, :, row : row + 1, column : column + 1], context)[:, :, 0, 0]
                pixel = Bernoulli(logits=logit).sample() if sampled else logit.sigmoid()
                padded[:, :, row + h, column + h] = pixel
        return padded[:, :, h:, h : h + x.shape[3]].reshape(self._extended_shape())

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """One sample of each image, pixel by pixel; ``sample_shape`` must be empty."""
        assert not sample_shape
        return self._generate(sampled=True)

    @property
    def mean(self) -> Tensor:
        """Image in which each pixel is its probability given the means before it: an approximation of the mean."""
        return self._generate(sampled=False)


class LocalDecoderModel(VAEModel):
    """Configuration of a :class:`VAE` with :class:`LocalPixels` as likelihood."""

    kind: Literal["local-decoder"] = "local-decoder"
    posterior: AnyPosterior = LogVariance()
    prior: AnyPrior = StandardNormal()
    features: int = Field(8, ge=1)
    """Features of z per pixel and channel."""
    horizon: int = Field(2, ge=1)
    """Number of rows above, and of pixels to each side, on which a pixel depends."""

    def _begin_title(self) -> str:
        return "VAE with a local decoder and"

    def build(self, shape: Shape) -> VAE:
        channels, height, width = shape
        decoder = (self.decoder or self.network).decoder(self.latent, (self.features * channels, height, width))
        pixels = LocalPixels(channels, self.features, self.horizon)
        encoder, prior = self.network.encoder(shape, 2 * self.latent), self.prior.build(self.latent, shape)
        return VAE(encoder, decoder, self.latent, self.posterior, pixels, prior)
