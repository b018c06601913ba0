"""VAE and loss of paper A's notebooks: standardised pixels as targets, ReLU on mean and log-variance."""

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
    """q(z|x) = N(relu(mean), exp(relu(log-variance))): its scale is at least 1, that of the prior."""

    kind: Literal["rectified"] = "rectified"

    def __call__(self, raw: Tensor) -> Independent:
        """Posterior of the encoder's output (N, 2 D): means, then log-variances, which are clamped to at most 20."""
        mean, log_variance = raw.relu().chunk(2, dim=-1)
        return diagonal_gaussian(mean, log_variance.clamp(max=20).mul(0.5).exp())


class Standardise(nn.Module):
    """(x - mean) / sd with the pixel mean and standard deviation of a data set."""

    shift: Tensor
    scale: Tensor

    def __init__(self, mean: float, sd: float) -> None:
        super().__init__()
        self.register_buffer("shift", torch.tensor(mean))
        self.register_buffer("scale", torch.tensor(sd))

    def forward(self, x: Tensor) -> Tensor:
        """Standardised pixels."""
        return (x - self.shift) / self.scale


class NotebookLoss(Frozen):
    """Pixel cross-entropy with *standardised* pixels as targets, plus ``beta`` KL per image.

    Targets outside [0, 1] make it unbounded below: for s > 1 the term softplus(l) - s l decreases in l without bound.
    """

    kind: Literal["as-coded"] = "as-coded"
    beta: Weight
    """3 / batch size: the notebooks sum the pixel term over the batch and average the KL."""
    mean: float
    sd: float

    def __call__(self, model: VAE, batch: Batch, progress: float) -> LossOutput:
        """The notebooks' loss, divided by the batch size."""
        q = model.posterior(batch.x)
        logits = model.decoder(q.rsample()).to(batch.x.dtype)
        target = (batch.x - self.mean) / self.sd
        pixels = (F.softplus(logits) - target * logits).flatten(1).sum(1)
        information = kl(q, model.prior())
        components = {"reconstruction": pixels.detach(), "kl": information.detach()}
        return LossOutput((pixels + self.beta * information).mean(), components)


def pixel_mean_and_sd(data: Dataset) -> tuple[float, float]:
    """Mean and standard deviation of all training pixels, in [0, 1]."""
    pixels = data.train.pixels.double() / 255
    return float(pixels.mean()), float(pixels.std())


def make_notebook_vae(model: Model, data: Dataset) -> VAE:
    """The notebooks' VAE; it standardises its inputs, which are pixels in [0, 1]."""
    shape = data.train.shape
    encoder = nn.Sequential(Standardise(*pixel_mean_and_sd(data)), model.network.encoder(shape, 2 * model.latent))
    decoder = model.network.decoder(model.latent, shape)
    return VAE(encoder, decoder, model.latent, RectifiedPosterior(), GaussianPixels())


def with_standardised_input(vae: VAE, data: Dataset) -> VAE:
    """A VAE trained on pixels in [0, 1], with standardised pixels as inputs, as in the notebooks."""
    encoder = nn.Sequential(Standardise(*pixel_mean_and_sd(data)), vae.encoder)
    return VAE(encoder, vae.decoder, len(vae.zero), vae.to_posterior, vae.likelihood).eval()
