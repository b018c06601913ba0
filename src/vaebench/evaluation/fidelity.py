"""How like real images drawn ones are, and whether they are more than copies: distances between features of a judge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from vaebench.data.images import Dataset, Images
from vaebench.evaluation.evaluation_classifier import ClassifierOutput, EvaluationClassifier
from vaebench.evaluation.features import Codes
from vaebench.evaluation.panels import PAIRS, decoded, prior_samples
from vaebench.evaluation.samples import confident_fraction, fitted_samples, inception_score
from vaebench.models.vae import VAE

NEIGHBOURS = 3
BLOCK = 500


def frechet_distance(first: Float[Tensor, "N F"], second: Float[Tensor, "M F"]) -> float:
    """|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)): the squared Wasserstein distance of two Gaussians with the moments
    of the features. Heusel et al. 2017, eq. 6. It is FID only on the features of one Inception network.
    """
    (mean, covariance), (other_mean, other) = _moments(first), _moments(second)
    values, vectors = torch.linalg.eigh(covariance)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ other @ root).clamp(min=0).sqrt().sum()
    distance = (mean - other_mean).square().sum() + covariance.trace() + other.trace() - 2 * cross
    return float(distance.clamp(min=0))


def _moments(features: Float[Tensor, "N F"]) -> tuple[Float[Tensor, " F"], Float[Tensor, "F F"]]:
    features = features.double()
    return features.mean(0), torch.cov(features.T).reshape(features.shape[1], -1)


def precision_recall(
    real: Float[Tensor, "N F"], drawn: Float[Tensor, "M F"], neighbours: int = NEIGHBOURS
) -> tuple[float, float]:
    """Shares of the drawn images that lie among the real ones, and of the real ones that lie among the drawn.

    An image lies among others if it is within the distance of one of them to its own k-th neighbour among them.
    Kynkaanniemi et al. 2019, eqs. 1 and 2.
    """
    return _within(drawn, real, neighbours), _within(real, drawn, neighbours)


def _within(points: Float[Tensor, "M F"], others: Float[Tensor, "N F"], neighbours: int) -> float:
    neighbours = min(neighbours, len(others) - 1)
    radius = torch.cat([torch.cdist(part, others).kthvalue(neighbours + 1).values for part in others.split(BLOCK)])
    inside = [(torch.cdist(part, others) <= radius).any(1) for part in points.split(BLOCK)]
    return float(torch.cat(inside).double().mean())


def nearest(
    points: Float[Tensor, "M F"], others: Float[Tensor, "N F"], skip: int = 0
) -> tuple[Int[Tensor, " M"], Float[Tensor, " M"]]:
    """The nearest of the others to each point, and how far it is; ``skip`` leaves out so many nearer ones."""
    found = [torch.cdist(part, others).topk(skip + 1, largest=False) for part in points.split(BLOCK)]
    return torch.cat([one.indices[:, skip] for one in found]), torch.cat([one.values[:, skip] for one in found])


def authenticity(train: Float[Tensor, "N F"], drawn: Float[Tensor, "M F"]) -> float:
    """The share of drawn images that are no nearer to a training image than that image is to its own neighbour.

    Near 0 where training images are copied, about a half for new real images. Alaa et al. 2022, section 4.
    """
    closest, distance = nearest(drawn, train)
    _, own = nearest(train[closest], train, skip=1)
    return float((distance >= own).double().mean())


@dataclass(frozen=True)
class Fidelity:
    """Scores of training images, reconstructions, samples and fitted samples; how many images were compared; the
    judge's accuracy on the test part; some samples beside the training images nearest to them, (16, C, H, W) each."""

    scores: dict[str, dict[str, float]]
    images: int
    judge_accuracy: float
    samples: UInt8[np.ndarray, "P C H W"]
    nearest: UInt8[np.ndarray, "P C H W"]

    @property
    def panels(self) -> dict[str, np.ndarray]:
        """What the report shows."""
        return {"nearest_samples": self.samples, "nearest_images": self.nearest}


def fidelity(
    vae: VAE, data: Dataset, codes: tuple[Codes, Codes], judge: EvaluationClassifier, most: int, seed: int
) -> Fidelity:
    """Score what ``vae`` draws against the test images.

    Args:
        codes: of the training part and of the test part, by ``vae``.
        judge: of the same data set; scores under different judges do not compare.
        most: images to compare, if both parts have so many: all these scores depend on how many there are.
    """
    count = min(most, len(data.test), len(data.train))
    some = torch.from_numpy(np.random.default_rng(seed).permutation(len(data.train))[:count])
    drawn = _drawn(vae, prior_samples(vae, seed, count), data, seed)
    real, train = judge.see(data.test.take(slice(0, count))), judge.see(data.train).features
    seen = {
        "training images": judge.see(data.train.take(some)),
        "reconstructions": judge.see_pixels(_drawn(vae, codes[1].mean[:count], data, seed)),
        "samples": judge.see_pixels(drawn),
        "fitted samples": judge.see_pixels(_drawn(vae, fitted_samples(codes[0], count, seed), data, seed)),
    }
    scores = {name: _scores(real, found) for name, found in seen.items()}
    for name in ("samples", "fitted samples"):
        scores[name]["authentic"] = authenticity(train, seen[name].features)
    rows, _ = nearest(seen["samples"].features[:PAIRS], train)
    return Fidelity(scores, count, judge.accuracy, drawn[:PAIRS], data.train.pixels[rows].numpy())


def _drawn(vae: VAE, z: Float[Tensor, "N D"], data: Dataset, seed: int) -> UInt8[np.ndarray, "N C H W"]:
    """The decoder's means; beside binarised images, their pixels drawn black or white as those are."""
    means = decoded(vae, z)
    if data.test.white_probability is None:
        return means
    grey = Images(torch.from_numpy(means), torch.full((len(means),), -1))
    return grey.binarised(torch.Generator().manual_seed(seed)).pixels.numpy()


def _scores(real: ClassifierOutput, drawn: ClassifierOutput) -> dict[str, float]:
    precision, recall = precision_recall(real.features, drawn.features)
    return {
        "frechet": frechet_distance(real.features, drawn.features),
        "precision": precision,
        "recall": recall,
        "inception_score": inception_score(drawn.probabilities)[0],
        "legible": confident_fraction(drawn.probabilities),
    }
