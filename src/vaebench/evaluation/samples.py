"""Codes to draw images from, and what a classifier makes of drawn images. Each score names its classifier."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from vaebench.evaluation.features import Codes

CONFIDENT = 0.9
"""A sample is legible where the classifier gives some class at least this probability."""


def inception_score(probabilities: Float[Tensor, "N Y"], splits: int = 10) -> tuple[float, float]:
    """exp E_x[KL(p(y|x) || p(y))], mean and standard deviation over equal splits of the samples.

    1 where the classifier cannot tell any two samples apart, Y where each is certainly of one class and all classes
    are equally often. Salimans et al. 2016, "Improved techniques for training GANs", section 4; with a classifier
    of the data set at hand in place of Inception, so that scores compare only under the same classifier.

    Args:
        probabilities: p(y|x) of each sample; rows sum to 1.
        splits: parts of equal size, of which each gives one score.
    """
    scores = []
    for part in probabilities.double().chunk(splits):
        marginal = part.mean(0, keepdim=True)
        gain = torch.special.xlogy(part, part) - torch.special.xlogy(part, marginal)
        scores.append(gain.sum(1).mean().exp())
    found = torch.stack(scores)
    return float(found.mean()), float(found.std(correction=1)) if len(found) > 1 else 0.0


def confident_fraction(probabilities: Float[Tensor, "N Y"], confidence: float = CONFIDENT) -> float:
    """The share of samples whose most probable class has at least this probability."""
    return float((probabilities.amax(1) >= confidence).double().mean())


def marginal_entropy(probabilities: Float[Tensor, "N Y"]) -> float:
    """Entropy of the classes over all samples, in nats: log Y where each class is drawn equally often."""
    marginal = probabilities.double().mean(0)
    return float(-torch.special.xlogy(marginal, marginal).sum())


def gaussian_of(codes: Codes) -> tuple[Float[Tensor, " D"], Float[Tensor, "D D"]]:
    """Mean and covariance of z ~ q(z|x) over the images, in float64: the aggregate posterior's first two moments.

    The covariance of the means plus the mean of the variances (the law of total variance).
    """
    mean = codes.mean.double()
    covariance = (mean - mean.mean(0)).T @ (mean - mean.mean(0)) / len(mean)
    if codes.log_variance is not None:
        covariance += codes.log_variance.double().exp().mean(0).diag()
    return mean.mean(0), covariance


def fitted_samples(codes: Codes, count: int, seed: int) -> Float[Tensor, "N D"]:
    """Codes from a Gaussian with the moments of ``codes``: samples where the decoder has seen codes.

    Density estimation after training, with one Gaussian; Ghosh et al. 2020, "From variational to deterministic
    autoencoders", section 4. Where the aggregate posterior follows the prior, these are samples of the prior.
    """
    mean, covariance = gaussian_of(codes)
    values, vectors = torch.linalg.eigh(covariance)
    noise = torch.randn(count, len(mean), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    drawn: Tensor = mean + noise * values.clamp(min=0).sqrt() @ vectors.T
    return drawn.to(codes.mean.dtype)
