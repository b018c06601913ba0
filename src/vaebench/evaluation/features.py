"""Representations of data sets: posteriors of a VAE, encoded once, and the baselines pixels and PCA."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.distributions import Independent

from vaebench.data.images import Batch, Dataset, Images
from vaebench.models.folding import fold_batch_norm
from vaebench.models.quantisers import Quantiser
from vaebench.models.vae import VAE

ENCODE_BATCH = 250


@dataclass(frozen=True)
class Codes:
    """Means (N, D) of images under an encoder, log-variances (N, D) if it has any, and labels (N,).

    A source of batches. With ``sampled``, each batch is a fresh sample of z ~ N(mean, exp(log-variance)), as if the
    images were encoded again in each epoch.
    """

    mean: Float[Tensor, "N D"]
    labels: Int[Tensor, " N"]
    log_variance: Float[Tensor, "N D"] | None = None
    sampled: bool = False

    def __len__(self) -> int:
        return len(self.mean)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of a code as an image of one row and column, (D, 1, 1)."""
        return self.mean.shape[1], 1, 1

    def batch(self, rows: Int[Tensor, " B"]) -> Batch:
        """Batch of means of these rows, or of fresh samples."""
        x = self.mean[rows]
        if self.sampled and self.log_variance is not None:
            x = x + self.log_variance[rows].mul(0.5).exp() * torch.randn_like(x)
        return Batch(x, self.labels[rows])

    def take(self, rows: Int[Tensor, " M"]) -> Codes:
        """Codes of these rows."""
        log_variance = None if self.log_variance is None else self.log_variance[rows]
        return replace(self, mean=self.mean[rows], labels=self.labels[rows], log_variance=log_variance)

    def with_labels(self, labels: Int[Tensor, " N"]) -> Codes:
        """These codes with other labels."""
        return replace(self, labels=labels)

    def centre_and_scale(self) -> tuple[Float[Tensor, " D"], Float[Tensor, ""]]:
        """Mean of each feature, and one standard deviation over all features."""
        centre = self.mean.mean(0)
        return centre, (self.mean - centre).square().mean().sqrt().clamp(min=1e-12)

    def standardised_by(self, train: Codes) -> Codes:
        """Codes shifted by the mean and divided by the overall scale of ``train``, so that a probe's penalty has the
        same strength for every representation. A scale per feature would amplify the noise of dead latents."""
        centre, scale = train.centre_and_scale()
        log_variance = None if self.log_variance is None else self.log_variance - 2 * scale.log()
        return replace(self, mean=(self.mean - centre) / scale, log_variance=log_variance)


@dataclass(frozen=True)
class Grid:
    """Codes (N, D) reshaped to images of one channel (N, 1, rows, D / rows)."""

    codes: Codes
    rows: int

    @property
    def labels(self) -> Tensor:
        """Labels (N,)."""
        return self.codes.labels

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of an image, (1, rows, columns)."""
        return 1, self.rows, self.codes.mean.shape[1] // self.rows

    def __len__(self) -> int:
        return len(self.codes)

    def batch(self, rows: Int[Tensor, " B"]) -> Batch:
        """Batch of these rows."""
        batch = self.codes.batch(rows)
        return Batch(batch.x.view(-1, *self.shape), batch.labels)

    def with_labels(self, labels: Int[Tensor, " N"]) -> Grid:
        """These codes with other labels."""
        return replace(self, codes=self.codes.with_labels(labels))

    def take(self, rows: Int[Tensor, " M"]) -> Grid:
        """Codes of these rows."""
        return replace(self, codes=self.codes.take(rows))


@dataclass(frozen=True)
class Features:
    """One representation of the three parts of a data set."""

    name: str
    train: Codes
    validation: Codes
    test: Codes

    def map(self, change: Callable[[Codes], Codes], name: str | None = None) -> Features:
        """Features with ``change`` applied to every part."""
        return Features(name or self.name, *map(change, (self.train, self.validation, self.test)))

    def standardised(self) -> Features:
        """All parts standardised by the training part, without labels."""
        return self.map(lambda part: part.standardised_by(self.train))

    def sampled(self, name: str) -> Features:
        """These features under another name, each batch a fresh sample of z."""
        return self.map(lambda part: replace(part, sampled=True), name)


@torch.no_grad()
def encode(vae: VAE, images: Images, callback: Callable[[float], None] = lambda fraction: None) -> Codes:
    """Mean of q(z|x) for every image, and log-variance where it is a Gaussian, in fp32, on the CPU.

    Within torch.autocast the encoder runs in bf16; scores are always computed outside it. ``callback`` receives the
    completed fraction in [0, 1].
    """
    if isinstance(vae.to_posterior, Quantiser):
        return Codes(encode_means(vae, images, callback), images.labels)
    mean, log_variance = (torch.empty(len(images), len(vae.zero), dtype=vae.zero.dtype) for _ in range(2))
    for rows, q in _posteriors(vae, images, callback):
        mean[rows] = q.base_dist.loc.cpu()
        log_variance[rows] = 2 * q.base_dist.scale.log().cpu()
    return Codes(mean, images.labels, log_variance)


@torch.no_grad()
def encode_means(
    vae: VAE, images: Images, callback: Callable[[float], None] = lambda fraction: None
) -> Float[Tensor, "N D"]:
    """The means of :func:`encode` alone, in half of the memory."""
    mean = torch.empty(len(images), len(vae.zero), dtype=vae.zero.dtype)
    for rows, q in _posteriors(vae, images, callback):
        mean[rows] = q.base_dist.loc.cpu()
    return mean


def _posteriors(vae: VAE, images: Images, callback: Callable[[float], None]) -> Iterator[tuple[slice, Independent]]:
    """Rows of each batch of images, and q(z|x) of these."""
    network, device = fold_batch_norm(vae), vae.zero.device
    for start in range(0, len(images), ENCODE_BATCH):
        rows = slice(start, min(start + ENCODE_BATCH, len(images)))
        yield rows, network.posterior(images.batch(torch.arange(rows.start, rows.stop)).x.to(device))
        callback(rows.stop / len(images))


def latent_features(name: str, vae: VAE, data: Dataset) -> Features:
    """Latents of a trained or random VAE."""
    return Features(name, *(encode(vae, part) for part in (data.train, data.validation, data.test)))


def pixel_features(data: Dataset) -> Features:
    """Flat pixels (N, C * H * W)."""
    batches = [part.batch(torch.arange(len(part))) for part in (data.train, data.validation, data.test)]
    return Features("pixels", *(Codes(batch.x.flatten(1), batch.labels) for batch in batches))


def pca_features(pixels: Features, dimensions: int, seed: int) -> Features:
    """The first ``dimensions`` principal components of the training pixels, or all if there are fewer."""
    from sklearn.decomposition import PCA  # takes a second, which trainings should not cost

    pca = PCA(min(dimensions, *pixels.train.mean.shape), random_state=seed).fit(pixels.train.mean.numpy())

    def project(part: Codes) -> Codes:
        return replace(part, mean=torch.from_numpy(pca.transform(part.mean.numpy())).to(part.mean.dtype))

    return pixels.map(project, "pca")
