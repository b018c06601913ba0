"""VAETransformer: a VAE as a scikit-learn transformer, with the pixels, training and seeds of all estimators."""

from __future__ import annotations

import math
import numbers
import sys
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from vaebench.data.image_set import MAX_CHANNELS
from vaebench.data.images import HIDDEN, Images
from vaebench.models.loss import Objective
from vaebench.models.networks import MLP, Conv
from vaebench.models.objectives import Elbo
from vaebench.models.posteriors import kl
from vaebench.models.vae import VAE, Model
from vaebench.training.compute import Compute
from vaebench.training.loop import Training, TrainingEvent, train
from vaebench.training.schedules import Adam

DTYPES = [np.float64, np.float32, np.uint8]
BATCH = 1000
MIN_STEPS, MIN_EPOCHS = 2000, 10
"""Minimum training of a VAE for ``epochs=None``."""
MIN_CONV_SIDE = 8
"""Images with a shorter side get a fully connected network."""
SAMPLES = 8
"""Samples of z per image in :meth:`VAETransformer.score_samples`, with the same noise for every image."""


@dataclass(eq=False, repr=False)
class VAETransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Variational autoencoder that encodes rows of pixels as the means of their latent codes.

    The objective is the ELBO with the KL weighted by ``beta`` (see References). Pixels are rounded to 8 bits.

    Parameters
    ----------
    latent : int, default=10
        Number of latents, D.
    image_shape : int or tuple of int, default=None
        Shape of the image in a row: the side of a grey square, (height, width), (channels, height, width) or (height,
        width, channels). Of three numbers the last is the channels if it is at most 16 and the first is more, or if it
        is less than the other two and these are equal. By default rows are not treated as images.
    beta : float, default=1.0
        Weight of the KL.
    epochs : int, default=None
        Number of passes through the rows. By default enough for 2,000 steps, but at least 10.
    batch_size : int, default=64
        Rows per step.
    learning_rate : float, default=5e-3
        Maximum learning rate of Adam, in a one-cycle schedule.
    random_state : int, RandomState instance or None, default=None
        Determines weights, batches and noise. An int gives bit-identical results in repeated calls.
    device : {"cpu", "cuda", "auto"}, default="cpu"
        Device of training.
    n_jobs : int, default=None
        Number of CPU threads. None and -1 use all.
    verbose : bool, default=False
        Whether to print every epoch to stderr.

    Attributes
    ----------
    vae_ : torch.nn.Module
        The trained VAE, in float64.
    pixels_ : PixelScaler
        The conversion between rows and 8-bit images.
    history_ : list of dict
        Loss terms of each epoch, in nats per image.
    n_features_in_ : int
        Number of features d.

    References
    ----------
    Kingma & Welling 2014, "Auto-encoding variational Bayes", eq. 3.
    Higgins et al. 2017, "beta-VAE: learning basic visual concepts with a constrained variational framework".

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from vaebench import VAETransformer
    >>> X, _ = load_digits(return_X_y=True)
    >>> transformer = VAETransformer(latent=4, image_shape=(8, 8), epochs=2, random_state=0).fit(X)
    >>> transformer.transform(X).shape
    (1797, 4)
    >>> transformer.sample(3, random_state=0).shape
    (3, 64)
    """

    latent: Any = 10
    _: KW_ONLY
    image_shape: Any = None
    beta: Any = 1.0
    epochs: Any = None
    batch_size: Any = 64
    learning_rate: Any = 5e-3
    random_state: Any = None
    device: Any = "cpu"
    n_jobs: Any = None
    verbose: Any = False

    def fit(self, X: Any, y: Any = None) -> VAETransformer:
        """Train the VAE on rows X (n, d); y is ignored.

        Raises
        ------
        ValueError
            If ``image_shape`` does not fit the features, or X fails scikit-learn's validation.
        """
        X = validate_data(self, X, dtype=DTYPES, ensure_min_samples=2)
        self.pixels_ = PixelScaler(X, self.image_shape)
        images, seed = self.pixels_.to_images(X), draw_seed(self.random_state)
        vae, self.history_ = train_vae(self, images, Elbo(beta=self.beta), seed)
        self.vae_ = vae.double()
        return self

    @torch.no_grad()
    def transform(self, X: Any) -> Any:
        """Means (n, D) of q(z|x) for rows X (n, d)."""
        return torch.cat([self.vae_.posterior(part).mean for part in self._pixels(X).split(BATCH)]).numpy()

    def _pixels(self, X: Any) -> torch.Tensor:
        check_is_fitted(self)
        return self.pixels_.to_pixels(validate_data(self, X, dtype=DTYPES, reset=False))

    @torch.no_grad()
    def inverse_transform(self, X: Any) -> np.ndarray:
        """Means (n, d) of p(x|z), on the scale of the training rows, for codes X (n, D).

        Raises
        ------
        ValueError
            If the number of columns is not the number of latents.
        """
        check_is_fitted(self)
        codes = torch.as_tensor(np.asarray(X, dtype=np.float64))
        if codes.ndim != 2 or codes.shape[1] != self.latent:
            raise ValueError(f"X has shape {tuple(codes.shape)}; expected codes (n, {self.latent})")
        return self.pixels_.to_rows(torch.cat([self.vae_.decode(part).mean for part in codes.split(BATCH)]))

    @torch.no_grad()
    def score_samples(self, X: Any) -> np.ndarray:
        """ELBO (n,) in nats per image: the mean of log p(x|z) over 8 samples of z, minus the KL."""
        noise = torch.randn(SAMPLES, self.latent, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        elbos = []
        for x in self._pixels(X).split(BATCH):
            q = self.vae_.posterior(x)
            z = q.mean + q.base_dist.scale * noise[:, None]
            elbos.append(self.vae_.decode(z).log_prob(x).mean(0) - kl(q, self.vae_.prior()))
        return torch.cat(elbos).numpy()

    def score(self, X: Any, y: Any = None) -> float:
        """Mean ELBO of rows X; y is ignored."""
        return float(self.score_samples(X).mean())

    def sample(self, n_samples: int = 1, random_state: Any = None) -> np.ndarray:
        """Means (n, d) of p(x|z) for z drawn from the prior."""
        check_is_fitted(self)
        return self.inverse_transform(check_random_state(random_state).standard_normal((n_samples, self.latent)))

    @property
    def _n_features_out(self) -> int:
        return int(self.latent)


class PixelScaler:
    """Conversion of rows (n, d) to 8-bit images and back, by the range of the training rows.

    The range is 0 to 255 for uint8, and for non-negative integers with a maximum of 128 to 255; 0 to 1 for values in
    that range; otherwise the minimum to the maximum of the training rows. Values outside the range are clipped.
    """

    channels_last = False
    """Whether a row is an image (H, W, C)."""

    def __init__(self, X: np.ndarray, image_shape: Any) -> None:
        self.shape, self.channels_last = _image_shape(X.shape[1], image_shape)
        low, high = float(X.min()), float(X.max())
        if X.dtype != np.uint8 and low >= 0 and high <= 1:
            low, high = 0.0, 1.0
        elif X.dtype == np.uint8 or (low >= 0 and 127 < high <= 255 and bool((np.rint(X) == X).all())):
            low, high = 0.0, 255.0
        self.low, self.span = low, (high - low) or 1.0

    def to_images(self, X: np.ndarray) -> Images:
        """8-bit images without labels."""
        scaled = np.rint(np.clip((X - self.low) / self.span, 0, 1) * 255).astype(np.uint8)
        pixels = torch.from_numpy(scaled)
        if self.channels_last:
            channels, height, width = self.shape
            pixels = pixels.view(-1, height, width, channels).permute(0, 3, 1, 2).contiguous()
        return Images(pixels.view(-1, *self.shape), torch.full((len(X),), HIDDEN))

    def to_pixels(self, X: np.ndarray) -> torch.Tensor:
        """Pixels (n, C, H, W) in [0, 1], in float64."""
        return self.to_images(X).batch(torch.arange(len(X))).x.double()

    def to_rows(self, x: torch.Tensor) -> np.ndarray:
        """Rows (n, d) on the scale of the training rows, from pixels (n, C, H, W) in [0, 1]."""
        x = x.permute(0, 2, 3, 1) if self.channels_last else x
        return np.asarray(x.flatten(1).double().numpy() * self.span + self.low)


def _image_shape(features: int, image_shape: Any) -> tuple[tuple[int, int, int], bool]:
    """Channels, height and width, and whether the channels are last in a row; by default one row of pixels."""
    if image_shape is None:
        return (1, 1, features), False
    shape = (image_shape, image_shape) if isinstance(image_shape, numbers.Integral) else tuple(image_shape)
    if len(shape) not in (2, 3) or math.prod(shape) != features:
        raise ValueError(
            f"image_shape is {image_shape!r}, but X has {features} features; expected a side, (height, width), "
            "(channels, height, width) or (height, width, channels) with that product"
        )
    first, middle, last = shape = tuple(map(int, shape if len(shape) == 3 else (1, *shape)))
    if _has_channels_last(shape, image_shape):
        return (last, first, middle), True
    return (first, middle, last), False


def _has_channels_last(shape: tuple[int, ...], image_shape: Any) -> bool:
    first, middle, last = shape
    if first == 1 or first < last or (middle == last and not last <= MAX_CHANNELS < first):
        return False
    if last == 1 or (last <= MAX_CHANNELS and middle != last and (first > MAX_CHANNELS or first == middle)):
        return True
    raise ValueError(
        f"image_shape is {image_shape!r}, in which either the first or the last may be the channels, or neither; "
        f"expected (channels, height, width) or (height, width, channels) with at most {MAX_CHANNELS} channels: "
        "reorder the columns of X so that the channels come first, and are the smallest number"
    )


def train_vae(estimator: Any, images: Images, objective: Objective, seed: int) -> tuple[VAE, list[dict[str, Any]]]:
    """Train a VAE with the parameters of ``estimator``; returns it, on the CPU, and the history of training."""

    def print_progress(event: TrainingEvent) -> None:
        if estimator.verbose and event.epoch is not None:
            epoch, loss, left = event.epoch["epoch"], event.epoch["loss"], event.seconds_left
            name = type(estimator).__name__
            print(f"[{name}] epoch {epoch}, loss {loss:.4g} nats, {left:.0f} s left", file=sys.stderr)

    network = Conv() if min(images.shape[1:]) >= MIN_CONV_SIDE else MLP(hidden=(256, 128))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        vae = Model(latent=estimator.latent, network=network).build(images.shape)
    steps_per_epoch = math.ceil(len(images) / estimator.batch_size)
    training = Training(
        epochs=estimator.epochs or max(MIN_EPOCHS, math.ceil(MIN_STEPS / steps_per_epoch)),
        batch=estimator.batch_size,
        optimiser=Adam(rate=estimator.learning_rate, beta2=0.99),
    )
    compute = compute_of(estimator)
    result = train(vae, objective, images, training, compute=compute, seed=seed, callback=print_progress)
    return vae.cpu().eval(), result.history


def compute_of(estimator: Any) -> Compute:
    """Device and number of threads of an estimator."""
    threads = None if estimator.n_jobs == -1 else estimator.n_jobs
    return Compute(device=estimator.device, threads=threads).resolve()


def draw_seed(random_state: Any) -> int:
    """Draw a seed from a scikit-learn random state."""
    return int(check_random_state(random_state).randint(2**31 - 1))
