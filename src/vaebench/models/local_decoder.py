"""A decoder that leaves local detail to itself: each pixel is read beside its nearest neighbours, z says the rest."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution
from torch.nn import functional as F

from vaebench.core.frozen import Frozen
from vaebench.models.networks import AnyNetwork, Conv, Shape
from vaebench.models.posteriors import AnyPosterior, LogVariance
from vaebench.models.vae import VAE


class LocalPixels(nn.Module):
    """p(x|z) = prod_i Bern(x_i; f(x in the ``horizon`` rows above and pixels to the left of i, features of z at i)).

    Zhang et al. 2022, "Improving VAE-based representation learning", section 3: with a short horizon the decoder keeps
    texture to itself, and z what is global. All channels of one pixel are independent given what came before it.

    Args:
        channels: of the images.
        features: of z at each pixel.
        horizon: how far a pixel sees.
    """

    seen: Tensor

    def __init__(self, channels: int, features: int, horizon: int) -> None:
        super().__init__()
        self.horizon = horizon
        self.look = nn.Conv2d(channels, features * channels, (horizon + 1, 2 * horizon + 1))
        self.join = nn.Sequential(
            nn.ReLU(), nn.Conv2d(features * channels, 32, 1), nn.ReLU(), nn.Conv2d(32, channels, 1)
        )
        seen = torch.ones(horizon + 1, 2 * horizon + 1)
        seen[-1, horizon:] = 0.0
        self.register_buffer("seen", seen, persistent=False)

    def logits(self, raw: Float[Tensor, "B P H W"], x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """Each pixel's logit given those before it."""
        h = self.horizon
        near = F.conv2d(F.pad(x, (h, h, h, 0)), self.look.weight * self.seen, self.look.bias)
        found: Tensor = self.join(raw + near)
        return found.to(x.dtype)

    def forward(self, raw: Float[Tensor, "*batch P H W"]) -> LocalDistribution:
        """The distribution over images, event shape (C, H, W)."""
        return LocalDistribution(self, raw)


class LocalDistribution(Distribution):
    """The images that :class:`LocalPixels` makes of features (*batch, P, H, W), in raster order."""

    def __init__(self, pixels: LocalPixels, raw: Tensor) -> None:
        self.pixels, self.raw = pixels, raw
        channels = pixels.look.in_channels
        super().__init__(raw.shape[:-3], torch.Size((channels, *raw.shape[-2:])), validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """Nats per image."""
        batch = torch.broadcast_shapes(self.raw.shape[:-3], value.shape[:-3])
        raw, x = self.raw.expand(*batch, *self.raw.shape[-3:]), value.expand(*batch, *value.shape[-3:])
        logits = self.pixels.logits(raw.reshape(-1, *raw.shape[-3:]), x.reshape(-1, *x.shape[-3:])).view(x.shape)
        return -F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum((-3, -2, -1))

    def _in_order(self, take: type[Bernoulli] | None) -> Tensor:
        raw = self.raw.reshape(-1, *self.raw.shape[-3:])
        x = raw.new_zeros(len(raw), *self.event_shape)
        for row in range(x.shape[2]):
            for column in range(x.shape[3]):
                logit = self.pixels.logits(raw, x)[:, :, row, column]
                x[:, :, row, column] = logit.sigmoid() if take is None else take(logits=logit).sample()
        return x.view(self._extended_shape())

    @torch.no_grad()
    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Pixel after pixel, each a coin."""
        assert not sample_shape
        return self._in_order(Bernoulli)

    @property
    def mean(self) -> Tensor:
        """Pixel after pixel, each at its probability given those before it: a picture, not the true mean."""
        with torch.no_grad():
            return self._in_order(None)


class LocalDecoderModel(Frozen):
    """A VAE with a local decoder, by its parts."""

    latent: int = Field(20, ge=1)
    """D, the number of latents."""
    network: AnyNetwork = Conv()
    posterior: AnyPosterior = LogVariance()
    features: int = Field(8, ge=1)
    """Features of z at each pixel."""
    horizon: int = Field(2, ge=1)
    """How many rows above, and pixels to each side, a pixel sees."""

    def build(self, shape: Shape) -> VAE:
        """A VAE with fresh weights, drawn from torch's global generator."""
        channels, height, width = shape
        decoder = self.network.decoder(self.latent, (self.features * channels, height, width))
        pixels = LocalPixels(channels, self.features, self.horizon)
        return VAE(self.network.encoder(shape, 2 * self.latent), decoder, self.latent, self.posterior, pixels)
