"""What paper A's own notebooks did, kept apart: standardised pixels as targets, ReLU on mean and log-variance."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.distributions import Independent
from torch.nn import functional as F

from vaebench.core.frozen import Frozen
from vaebench.data.images import Batch, Dataset
from vaebench.models.likelihoods import GaussianPixels
from vaebench.models.loss import LossOutput, Weight
from vaebench.models.posteriors import diagonal_gaussian, kl
from vaebench.models.vae import VAE, Model


class RectifiedPosterior(Frozen):
    """q(z|x) = N(relu(mean), exp(relu(log-variance))): the scale is never below that of the prior, 1."""

    kind: Literal["rectified"] = "rectified"

    def __call__(self, raw: Tensor) -> Independent:
        """Split in halves: mean, log-variance; the log-variance is kept at or below 20."""
        mean, log_variance = raw.relu().chunk(2, dim=-1)
        return diagonal_gaussian(mean, log_variance.clamp(max=20).mul(0.5).exp())


class Standardise(nn.Module):
    """(x - mean) / sd with the two numbers of a data set, before an encoder that was trained on such pixels."""

    shift: Tensor
    scale: Tensor

    def __init__(self, mean: float, sd: float) -> None:
        super().__init__()
        self.register_buffer("shift", torch.tensor(mean))
        self.register_buffer("scale", torch.tensor(sd))

    def forward(self, x: Tensor) -> Tensor:
        """Standardised pixels."""
        return (x - self.shift) / self.scale


class AsCoded(Frozen):
    """Pixel cross-entropy with *standardised* pixels as targets, plus ``beta`` KL per image.

    Targets outside [0, 1] make it unbounded below: where s > 1 the term softplus(l) - s l falls for ever with l.
    """

    kind: Literal["as-coded"] = "as-coded"
    beta: Weight
    """3 / batch size: the notebooks summed the pixel term over the batch and averaged the KL."""
    mean: float
    sd: float

    def __call__(self, model: VAE, batch: Batch, progress: float) -> LossOutput:
        """The notebooks' loss, divided by the batch size."""
        q = model.posterior(batch.x)
        logits = model.decoder(q.rsample()).to(batch.x.dtype)
        target = (batch.x - self.mean) / self.sd
        pixels = (F.softplus(logits) - target * logits).flatten(1).sum(1)
        information = kl(q, model.prior())
        parts = {"reconstruction": pixels.detach(), "kl": information.detach()}
        return LossOutput((pixels + self.beta * information).mean(), parts)


def moments(data: Dataset) -> tuple[float, float]:
    """Mean and standard deviation of all training pixels, in [0, 1]."""
    pixels = data.train.pixels.double() / 255
    return float(pixels.mean()), float(pixels.std())


def coded_vae(model: Model, data: Dataset) -> VAE:
    """The notebooks' VAE: it reads pixels in [0, 1] and standardises them itself."""
    shape, (mean, sd) = data.train.shape, moments(data)
    encoder = nn.Sequential(Standardise(mean, sd), model.network.encoder(shape, 2 * model.latent))
    decoder = model.network.decoder(model.latent, shape)
    return VAE(encoder, decoder, model.latent, RectifiedPosterior(), GaussianPixels())


def fed_standardised(vae: VAE, data: Dataset) -> VAE:
    """A VAE trained on [0, 1] that is shown standardised pixels, as the downloaded one was."""
    encoder = nn.Sequential(Standardise(*moments(data)), vae.encoder)
    return VAE(encoder, vae.decoder, len(vae.zero), vae.to_posterior, vae.likelihood).eval()
