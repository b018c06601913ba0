"""VAETransformer: a VAE as a scikit-learn transformer."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from vaebench.estimators.training import BATCH, DTYPES, PixelScaler, draw_seed, train_vae
from vaebench.models.objectives import Elbo
from vaebench.models.posteriors import kl

SAMPLES = 8
"""Samples of z per image in :meth:`VAETransformer.score_samples`, with the same noise for every image."""


class VAETransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Variational autoencoder that encodes rows of pixels as the means of their latent codes.

    The objective is the ELBO with the KL weighted by ``beta`` (see References). Pixels are rounded to 8 bits.

    Parameters
    ----------
    latent : int, default=10
        Number of latents, D.
    image_shape : tuple of int, default=None
        (height, width) or (channels, height, width) of the image in a row. By default rows are not treated as images.
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

    def __init__(
        self,
        latent: Any = 10,
        *,
        image_shape: Any = None,
        beta: Any = 1.0,
        epochs: Any = None,
        batch_size: Any = 64,
        learning_rate: Any = 5e-3,
        random_state: Any = None,
        device: Any = "cpu",
        n_jobs: Any = None,
        verbose: Any = False,
    ) -> None:
        self.latent = latent
        self.image_shape = image_shape
        self.beta = beta
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.random_state = random_state
        self.device = device
        self.n_jobs = n_jobs
        self.verbose = verbose

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
