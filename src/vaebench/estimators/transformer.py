"""VAETransformer: rows of pixels to latent codes and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from vaebench.estimators.training import BATCH, DTYPES, Pixels, seed_of, trained
from vaebench.models.objectives import Elbo
from vaebench.models.posteriors import kl

SAMPLES = 8
"""Samples of z in :meth:`VAETransformer.score_samples`, the same noise for every image."""


class VAETransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """A variational autoencoder: rows of pixels to the means of their latent codes.

    Kingma & Welling 2014, "Auto-encoding variational Bayes", eq. 3, with the KL weighted by beta (Higgins et al. 2017).
    Pixels are rounded to 8 bits; see ``pixels_`` for their range.

    Args:
        latent: D, the number of latents.
        image_shape: (height, width) or (channels, height, width) of a row; none reads rows as they are.
        beta: weight of the KL.
        epochs: passes through the rows; none means as many as make 2,000 steps, but at least 10.
        batch_size: rows a step.
        learning_rate: Adam's, the top of a one-cycle schedule.
        random_state: draws weights, order and noise; an integer gives the same bits again.
        device: "cpu", "cuda" or "auto".
        n_jobs: CPU threads; none takes all.
        verbose: whether to print each epoch to stderr.

    Attributes:
        vae_: the trained VAE, a torch module in float64.
        n_features_in_: d.
        history_: one record an epoch, nats per image.

    Raises:
        ValueError: an ``image_shape`` that does not fit, and all that scikit-learn's validation refuses.
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
        """Train on rows X (n, d); y is ignored."""
        X = validate_data(self, X, dtype=DTYPES, ensure_min_samples=2)
        self.pixels_ = Pixels(X, self.image_shape)
        images = self.pixels_.images(X)
        vae, self.history_ = trained(self, images, Elbo(beta=self.beta), seed_of(self.random_state))
        self.vae_ = vae.double()
        return self

    def transform(self, X: Any) -> Any:
        """Means of q(z|x), (n, D)."""
        return self._posterior(X)[0]

    def _posterior(self, X: Any) -> tuple[np.ndarray, np.ndarray, torch.Tensor]:
        """Means and scales of q(z|x), (n, D), and pixels (n, C, H, W) in [0, 1]."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=DTYPES, reset=False)
        x = self.pixels_.images(X).batch(torch.arange(len(X))).x.double()
        with torch.no_grad():
            parts = [self.vae_.posterior(part).base_dist for part in x.split(BATCH)]
        return (
            torch.cat([part.loc for part in parts]).numpy(),
            torch.cat([part.scale for part in parts]).numpy(),
            x,
        )

    @torch.no_grad()
    def inverse_transform(self, X: Any) -> np.ndarray:
        """Mean images (n, d) of p(x|z), on the scale of the training rows, for codes X (n, D).

        Raises:
            ValueError: another number of latents.
        """
        check_is_fitted(self)
        codes = torch.as_tensor(np.asarray(X, dtype=np.float64))
        if codes.ndim != 2 or codes.shape[1] != self.latent:
            raise ValueError(f"X has shape {tuple(codes.shape)}; expected codes (n, {self.latent})")
        return self.pixels_.rows(torch.cat([self.vae_.decode(part).mean for part in codes.split(BATCH)]))

    @torch.no_grad()
    def score_samples(self, X: Any) -> np.ndarray:
        """The ELBO of each row, (n,), in nats per image: the mean of log p(x|z) over 8 samples of z, less the KL."""
        means, scales, x = self._posterior(X)
        noise = torch.randn(SAMPLES, self.latent, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        found = []
        for start in range(0, len(x), BATCH):
            rows = slice(start, start + BATCH)
            q = self.vae_.posterior(x[rows])
            z = torch.from_numpy(means[rows]) + torch.from_numpy(scales[rows]) * noise[:, None]
            found.append(self.vae_.decode(z).log_prob(x[rows]).mean(0) - kl(q, self.vae_.prior()))
        return torch.cat(found).numpy()

    def score(self, X: Any, y: Any = None) -> float:
        """The mean of :meth:`score_samples`."""
        return float(self.score_samples(X).mean())

    def sample(self, n_samples: int = 1, random_state: Any = None) -> np.ndarray:
        """Mean images (n, d) of p(x|z) for z drawn from the prior."""
        check_is_fitted(self)
        return self.inverse_transform(check_random_state(random_state).standard_normal((n_samples, self.latent)))

    @property
    def _n_features_out(self) -> int:
        return int(self.latent)
