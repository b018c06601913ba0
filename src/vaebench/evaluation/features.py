"""FEATURES: encode once, keep mean and log-variance; and the baselines that a VAE must beat."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from sklearn.decomposition import PCA
from torch import Tensor

from vaebench.data.images import Batch, Dataset, Images
from vaebench.models.folding import fold_batch_norm
from vaebench.models.vae import VAE

ENCODE_BATCH = 250


@dataclass(frozen=True)
class Codes:
    """What an encoder makes of images: means (N, D), log-variances (N, D) if it has any, labels (N,).

    A source of batches. With ``sampled``, each batch is a fresh z ~ N(mean, exp(log-variance)): the same
    distribution as encoding again each epoch, at none of the cost.
    """

    mean: Float[Tensor, "N D"]
    labels: Int[Tensor, " N"]
    log_variance: Float[Tensor, "N D"] | None = None
    sampled: bool = False

    def __len__(self) -> int:
        return len(self.mean)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Features read as an image of one row and column."""
        return self.mean.shape[1], 1, 1

    def batch(self, rows: Int[Tensor, " B"]) -> Batch:
        """Means of these rows, or fresh samples."""
        x = self.mean[rows]
        if self.sampled and self.log_variance is not None:
            x = x + self.log_variance[rows].mul(0.5).exp() * torch.randn_like(x)
        return Batch(x, self.labels[rows])

    def take(self, rows: Int[Tensor, " M"]) -> Codes:
        """The codes of these rows."""
        spread = None if self.log_variance is None else self.log_variance[rows]
        return replace(self, mean=self.mean[rows], labels=self.labels[rows], log_variance=spread)

    def with_labels(self, labels: Int[Tensor, " N"]) -> Codes:
        """The same codes with other labels."""
        return replace(self, labels=labels)

    def centre_and_scale(self) -> tuple[Float[Tensor, " D"], Float[Tensor, ""]]:
        """The mean of each feature, and one overall standard deviation about it."""
        centre = self.mean.mean(0)
        return centre, (self.mean - centre).square().mean().sqrt().clamp(min=1e-12)

    def standardised_by(self, train: Codes) -> Codes:
        """Shifted by the training mean and divided by one overall scale, so that a probe's penalty means the same
        for every representation. One scale, not one a feature: that would blow the noise of dead latents up."""
        centre, scale = train.centre_and_scale()
        spread = None if self.log_variance is None else self.log_variance - 2 * scale.log()
        return replace(self, mean=(self.mean - centre) / scale, log_variance=spread)


@dataclass(frozen=True)
class Grid:
    """Codes read as images of one channel: (N, D) as (N, 1, rows, D / rows)."""

    codes: Codes
    rows: int

    @property
    def labels(self) -> Tensor:
        """Labels (N,)."""
        return self.codes.labels

    @property
    def shape(self) -> tuple[int, int, int]:
        """1, rows, columns."""
        return 1, self.rows, self.codes.mean.shape[1] // self.rows

    def __len__(self) -> int:
        return len(self.codes)

    def batch(self, rows: Int[Tensor, " B"]) -> Batch:
        """The batch of these rows."""
        found = self.codes.batch(rows)
        return Batch(found.x.view(-1, *self.shape), found.labels)

    def with_labels(self, labels: Int[Tensor, " N"]) -> Grid:
        """The same codes with other labels."""
        return replace(self, codes=self.codes.with_labels(labels))

    def take(self, rows: Int[Tensor, " M"]) -> Grid:
        """The codes of these rows."""
        return replace(self, codes=self.codes.take(rows))


@dataclass(frozen=True)
class Features:
    """One representation of a data set's three parts."""

    name: str
    train: Codes
    validation: Codes
    test: Codes

    def standardised(self) -> Features:
        """All parts standardised by the training part, no label used."""
        parts = (part.standardised_by(self.train) for part in (self.train, self.validation, self.test))
        return Features(self.name, *parts)

    def sampled(self, name: str) -> Features:
        """The same codes, read as fresh samples of z."""
        parts = (replace(part, sampled=True) for part in (self.train, self.validation, self.test))
        return Features(name, *parts)


@torch.no_grad()
def encode(vae: VAE, images: Images, callback: Callable[[float], None] = lambda share: None) -> Codes:
    """Mean and log-variance of q(z|x) for every image, in fp32, on the CPU; ``watch`` hears the share that is done.

    Within torch.autocast the encoder runs in bf16, which no score of ours does.
    """
    quick, device = fold_batch_norm(vae), vae.zero.device
    means, log_variances = [], []
    for rows in torch.arange(len(images)).split(ENCODE_BATCH):
        q = quick.posterior(images.batch(rows).x.to(device))
        means.append(q.base_dist.loc.cpu())
        log_variances.append(2 * q.base_dist.scale.log().cpu())
        callback(sum(map(len, means)) / max(1, len(images)))
    return Codes(torch.cat(means), images.labels, torch.cat(log_variances))


def latent_features(name: str, vae: VAE, data: Dataset) -> Features:
    """The latents of a (trained or random) VAE."""
    return Features(name, encode(vae, data.train), encode(vae, data.validation), encode(vae, data.test))


def pixel_features(data: Dataset) -> Features:
    """The pixels themselves, flat (N, C * H * W)."""
    return Features("pixels", *(_flat(part) for part in (data.train, data.validation, data.test)))


def pca_features(pixels: Features, dimensions: int, seed: int) -> Features:
    """The first principal components of the training pixels, as many as the VAE has latents if there are so many."""
    most = min(dimensions, *pixels.train.mean.shape)
    pca = PCA(most, random_state=seed).fit(pixels.train.mean.numpy())
    parts = (
        replace(part, mean=torch.from_numpy(pca.transform(part.mean.numpy())).to(part.mean.dtype))
        for part in (pixels.train, pixels.validation, pixels.test)
    )
    return Features("pca", *parts)


def _flat(images: Images) -> Codes:
    everything = images.batch(torch.arange(len(images)))
    return Codes(everything.x.flatten(1), everything.labels)
