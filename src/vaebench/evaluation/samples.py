"""SAMPLERS: samples from densities fitted to codes; and classifier-based scores of generated images."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vaebench.evaluation.features import Codes

COMPONENTS = 10
"""Components of the fitted mixture, or as many as there are images."""
FITTED = 5_000
"""Images that the mixture is fitted to."""
CONFIDENT = 0.9
"""A sample counts as confidently classified if its highest class probability is at least this."""


def inception_score(probabilities: Float[Tensor, "N Y"], splits: int = 10) -> tuple[float, float]:
    """Inception score exp E_x[KL(p(y|x) || p(y))]: mean and standard deviation over equal splits of the samples.

    It is 1 if all samples have the same class probabilities, and Y if each is classified with certainty and all
    classes are equally frequent. Salimans et al. 2016, "Improved techniques for training GANs", section 4; with a
    classifier of the data set at hand in place of Inception, so that only scores of the same classifier are comparable.

    Args:
        probabilities: p(y|x) of each sample; rows sum to 1.
        splits: number of equal parts, each of which gives one score.
    """
    scores = []
    for part in probabilities.double().chunk(splits):
        marginal = part.mean(0, keepdim=True)
        gain = torch.special.xlogy(part, part) - torch.special.xlogy(part, marginal)
        scores.append(gain.sum(1).mean().exp())
    values = torch.stack(scores)
    return float(values.mean()), float(values.std(correction=1)) if len(values) > 1 else 0.0


def confident_fraction(probabilities: Float[Tensor, "N Y"], confidence: float = CONFIDENT) -> float:
    """Fraction of samples whose highest class probability is at least ``confidence``."""
    return float((probabilities.amax(1) >= confidence).double().mean())


def marginal_entropy(probabilities: Float[Tensor, "N Y"]) -> float:
    """Entropy of the mean class probabilities in nats: log Y if all classes are equally frequent."""
    marginal = probabilities.double().mean(0)
    return float(-torch.special.xlogy(marginal, marginal).sum())


def aggregate_moments(codes: Codes) -> tuple[Float[Tensor, " D"], Float[Tensor, "D D"]]:
    """Mean and covariance of the aggregate posterior of the images, in float64.

    The covariance is that of the means plus the mean of the variances (law of total variance).
    """
    mean = codes.mean.double()
    covariance = (mean - mean.mean(0)).T @ (mean - mean.mean(0)) / len(mean)
    if codes.log_variance is not None:
        covariance += codes.log_variance.double().exp().mean(0).diag()
    return mean.mean(0), covariance


def gaussian_samples(codes: Codes, count: int, seed: int, temperature: float = 1.0) -> Float[Tensor, "N D"]:
    """Draw codes from a Gaussian fitted to the aggregate posterior of ``codes``.

    Ex-post density estimation with one Gaussian; Ghosh et al. 2020, "From variational to deterministic autoencoders",
    section 4. If the aggregate posterior equals the prior, these are samples of the prior.

    Args:
        codes: posteriors of the training images.
        count: N.
        seed: of the noise.
        temperature: factor of the standard deviation.
    """
    mean, covariance = aggregate_moments(codes)
    values, vectors = torch.linalg.eigh(covariance)
    noise = torch.randn(count, len(mean), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    z: Tensor = mean + temperature * noise * values.clamp(min=0).sqrt() @ vectors.T
    return z.to(codes.mean.dtype)


def mixture_samples(codes: Codes, count: int, seed: int, temperature: float = 1.0) -> Float[Tensor, "N D"]:
    """Draw codes from a mixture of ``COMPONENTS`` Gaussians with full covariances, fitted to the aggregate posterior.

    Ghosh et al. 2020, section 4, "GMM". It is fitted to one sample of z of each of ``FITTED`` random images at most.

    Args:
        codes: posteriors of the training images.
        count: N.
        seed: of the fit and of the noise.
        temperature: factor of the standard deviation within components.
    """
    from sklearn.mixture import GaussianMixture  # takes a second, which trainings should not cost

    generator = np.random.default_rng(seed)
    rows = torch.from_numpy(generator.permutation(len(codes))[:FITTED])
    z = codes.mean[rows].double().numpy()
    if codes.log_variance is not None:
        z = z + codes.log_variance[rows].double().mul(0.5).exp().numpy() * generator.standard_normal(z.shape)
    mixture = GaussianMixture(min(COMPONENTS, len(z)), max_iter=50, reg_covar=1e-4, random_state=seed).fit(z)
    components = generator.choice(len(mixture.weights_), count, p=mixture.weights_)
    factors = np.linalg.cholesky(mixture.covariances_)[components]
    noise = np.einsum("nij,nj->ni", factors, generator.standard_normal((count, z.shape[1])))
    return torch.from_numpy(mixture.means_[components] + temperature * noise).to(codes.mean.dtype)


class Sampler(NamedTuple):
    """A density that is fitted to the codes of a trained model, to generate images from."""

    features: str
    """Name of the samples in results."""
    title: str
    """In a report: "samples from TITLE"."""
    draw: Callable[[Codes, int, int, float], Tensor]
    """Codes (N, D) from the posteriors of the training images, N, a seed and a temperature."""


SAMPLERS = {
    "gaussian": Sampler("fitted samples", "a fitted Gaussian", gaussian_samples),
    "mixture": Sampler("mixture samples", "a fitted mixture", mixture_samples),
}
