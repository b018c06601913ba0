"""Fidelity of generated images: Frechet distance, precision, recall and authenticity of evaluation features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from vaebench.data.images import HIDDEN, Dataset, Images
from vaebench.data.pixels import to_8_bits
from vaebench.evaluation.evaluation_classifier import ClassifierOutput, EvaluationClassifier
from vaebench.evaluation.features import Codes
from vaebench.evaluation.panels import PAIRS, decoded, prior_samples
from vaebench.evaluation.samples import SAMPLERS, confident_fraction, inception_score
from vaebench.models.vae import VAE

NEIGHBOURS = 3
BLOCK = 500


def frechet_distance(first: Float[Tensor, "N F"], second: Float[Tensor, "M F"]) -> float:
    """Frechet distance |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) of two Gaussians with the moments of the features.

    Heusel et al. 2017, eq. 6. It is the FID only for the features of one particular Inception network.
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
    real: Float[Tensor, "N F"], generated: Float[Tensor, "M F"], neighbours: int = NEIGHBOURS
) -> tuple[float, float]:
    """Precision and recall of generated images: fractions of each set in the estimated manifold of the other.

    An image lies in the manifold of a set if its distance to some image of the set is at most that image's distance to
    its own k-th nearest neighbour in the set. Kynkaanniemi et al. 2019, eqs. 1 and 2.
    """
    return _within(generated, real, neighbours), _within(real, generated, neighbours)


def _within(points: Float[Tensor, "M F"], others: Float[Tensor, "N F"], neighbours: int) -> float:
    neighbours = min(neighbours, len(others) - 1)
    radius = torch.cat([torch.cdist(part, others).kthvalue(neighbours + 1).values for part in others.split(BLOCK)])
    inside = [(torch.cdist(part, others) <= radius).any(1) for part in points.split(BLOCK)]
    return float(torch.cat(inside).double().mean())


def nearest(
    points: Float[Tensor, "M F"], others: Float[Tensor, "N F"], skip: int = 0
) -> tuple[Int[Tensor, " M"], Float[Tensor, " M"]]:
    """Rows in ``others`` and distances of the nearest neighbour of each point, after ``skip`` nearer ones."""
    parts = [torch.cdist(part, others).topk(skip + 1, largest=False) for part in points.split(BLOCK)]
    return torch.cat([part.indices[:, skip] for part in parts]), torch.cat([part.values[:, skip] for part in parts])


def authenticity(train: Float[Tensor, "N F"], generated: Float[Tensor, "M F"]) -> float:
    """Fraction of generated images at least as far from their nearest training image as that is from its own neighbour.

    Near 0 for copies of training images, about 0.5 for new real images. Alaa et al. 2022, section 4.
    """
    closest, distance = nearest(generated, train)
    _, own = nearest(train[closest], train, skip=1)
    return float((distance >= own).double().mean())


@dataclass(frozen=True)
class Fidelity:
    """Scores of training images, reconstructions, samples of the prior and of ``SAMPLERS`` against test images."""

    scores: dict[str, dict[str, float]]
    images: int
    """Number of images compared."""
    classifier_accuracy: float
    """Accuracy of the evaluation classifier on the test part."""
    samples: UInt8[np.ndarray, "P C H W"]
    """The first 16 samples."""
    nearest: UInt8[np.ndarray, "P C H W"]
    """Their nearest training images."""

    @property
    def panels(self) -> dict[str, np.ndarray]:
        """Arrays of the report's figures."""
        return {"nearest_samples": self.samples, "nearest_images": self.nearest}


def fidelity(
    vae: VAE, data: Dataset, codes: tuple[Codes, Codes], classifier: EvaluationClassifier, max_images: int, seed: int
) -> Fidelity:
    """Score generated images of ``vae`` against the test images.

    Args:
        codes: codes of the training part and of the test part.
        classifier: trained on the same data set; scores under different classifiers are not comparable.
        max_images: number of images to compare, or fewer if a part has fewer; all scores depend on that number.
    """
    count = min(max_images, len(data.test), len(data.train))
    rows = torch.from_numpy(np.random.default_rng(seed).permutation(len(data.train))[:count])
    samples = _generate(vae, prior_samples(vae, seed, count), data, seed)
    real, train = classifier.predict(data.test.take(slice(0, count))), classifier.predict(data.train).features
    outputs = {
        "training images": classifier.predict(data.train.take(rows)),
        "reconstructions": classifier.predict_pixels(_generate(vae, codes[1].mean[:count], data, seed)),
        "samples": classifier.predict_pixels(samples),
    }
    for sampler in SAMPLERS.values():
        drawn = sampler.draw(codes[0], count, seed, 1.0)
        outputs[sampler.features] = classifier.predict_pixels(_generate(vae, drawn, data, seed))
    scores = {name: _scores(real, output) for name, output in outputs.items()}
    for name in ("samples", *(sampler.features for sampler in SAMPLERS.values())):
        scores[name]["authenticity"] = authenticity(train, outputs[name].features)
    closest, _ = nearest(outputs["samples"].features[:PAIRS], train)
    return Fidelity(scores, count, classifier.accuracy, samples[:PAIRS], to_8_bits(data.train.pixels[closest]))


def _generate(vae: VAE, z: Float[Tensor, "N D"], data: Dataset, seed: int) -> UInt8[np.ndarray, "N C H W"]:
    """Means of p(x|z), or samples of black and white pixels where the data set is binarised."""
    means = decoded(vae, z)
    if data.test.white_probability is None:
        return means
    grey = Images(torch.from_numpy(means), torch.full((len(means),), HIDDEN))
    return grey.binarised(torch.Generator().manual_seed(seed)).pixels.numpy()


def _scores(real: ClassifierOutput, generated: ClassifierOutput) -> dict[str, float]:
    precision, recall = precision_recall(real.features, generated.features)
    return {
        "frechet": frechet_distance(real.features, generated.features),
        "precision": precision,
        "recall": recall,
        "inception_score": inception_score(generated.probabilities)[0],
        "confident_fraction": confident_fraction(generated.probabilities),
    }
