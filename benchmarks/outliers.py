"""Detection of outliers by VAE scores: `python benchmarks/outliers.py [--minutes N] [--out DIR]`.

A VAE trained on MNIST scores test images of MNIST and Fashion-MNIST, and the other way round; the AUROC of a score is
the probability that it is higher for an image of the other data set. The other data set is used neither for fitting nor
for selection. Resumes where it was stopped; writes outliers.json and outliers.md.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from functools import partial
from itertools import product
from typing import NamedTuple

import numpy as np
from benchmark_script import BenchmarkScript, Report, Row, Tasks, import_script, provenance
from jaxtyping import Float
from PIL import Image
from sklearn.metrics import roc_auc_score

from vaebench.classification.outliers import OutlierDetector
from vaebench.data.images import Images
from vaebench.deprecated import RESULT_VALUES, upgrade_rows
from vaebench.evaluation.evidence import evidence
from vaebench.evaluation.features import encode
from vaebench.experiments.experiment import Experiment
from vaebench.models.likelihoods import ContinuousBernoulliPixels
from vaebench.models.objectives import Elbo
from vaebench.models.posteriors import diagonal_gaussian, kl
from vaebench.runs.recipe import RECIPES

SEEDS = 3
MINUTES = 55
"""Time on two cores; two of the VAEs were trained while the machine did other work."""
SAMPLES = 32
DATA = ("mnist", "fashion-mnist")


class ImageMeasures(NamedTuple):
    """Measures of images by a VAE, each of shape (N,)."""

    loss: Float[np.ndarray, " N"]
    """-log p(x) by importance weighting, nats."""
    reconstruction: Float[np.ndarray, " N"]
    """-log p(x|z) at the posterior mean, nats, up to an increasing function."""
    distance: Float[np.ndarray, " N"]
    """Logarithm of the mean distance to the ten nearest codes of training images."""
    divergence: Float[np.ndarray, " N"]
    """KL of the posterior from the prior, nats."""
    outlier: Float[np.ndarray, " N"]
    """Outlier score of `vaebench classify`: the maximum of reconstruction and distance in robust standard
    deviations."""
    png_size: Float[np.ndarray, " N"]
    """Size of the image as a PNG file, nats."""
    mean_loss: float
    """Mean loss of validation images of the VAE's own data set."""


class Score(NamedTuple):
    """A score that is higher for outliers, with its title and source."""

    title: str
    source: str
    compute: Callable[[ImageMeasures], Float[np.ndarray, " N"]]


SCORES: dict[str, Score] = {
    "loss": Score("-log p(x)", "likelihood", lambda measures: measures.loss),
    "reconstruction": Score("-log p(x\\|z)", "reconstruction error", lambda measures: measures.reconstruction),
    "divergence": Score("KL to the prior", "posterior", lambda measures: measures.divergence),
    "typicality": Score(
        "distance of log p(x) from its mean",
        "Nalisnick et al. 2019, typicality, one image at a time",
        lambda measures: np.abs(measures.loss - measures.mean_loss),
    ),
    "complexity": Score(
        "-log p(x) minus the size of the image's PNG file",
        "Serra et al. 2020, input complexity",
        lambda measures: measures.loss - measures.png_size,
    ),
    "distance": Score(
        "distance to the nearest codes", "k nearest neighbours in the latent space", lambda measures: measures.distance
    ),
    "outlier": Score(
        "maximum of reconstruction error and distance to the nearest codes",
        "outlier score of `vaebench classify`",
        lambda measures: measures.outlier,
    ),
}


def compute_aurocs(experiment: Experiment, name: str, seed: int) -> dict[str, float]:
    """AUROC of every score for a VAE of one data set and test images of the other as outliers."""
    recipe = RECIPES[name]
    data = experiment.data(recipe.data)
    other = experiment.data(RECIPES[next(one for one in DATA if one != name)].data)
    model = recipe.model.model_copy(update={"likelihood": ContinuousBernoulliPixels()})
    trained = experiment.vae(f"{name}-{seed}", data, model, Elbo(), recipe.training, seed)

    def make() -> dict[str, float]:
        mean_loss = -evidence(trained.vae, data.validation, SAMPLES).mean
        detector, _ = OutlierDetector.fit(trained.vae, data.train, encode(trained.vae, data.train).mean.numpy())
        measures = [measure_images(detector, images, mean_loss) for images in (data.test, other.test)]
        labels = np.repeat([0, 1], [len(data.test), len(other.test)])
        return {
            key: float(roc_auc_score(labels, np.concatenate([score.compute(each) for each in measures])))
            for key, score in SCORES.items()
        }

    step = experiment.step(f"{name}-{seed}", {"of": trained.key, "other": other.fingerprint}, make)
    return {RESULT_VALUES["score"].get(key, key): value for key, value in step.items()}


def measure_images(detector: OutlierDetector, images: Images, mean_loss: float) -> ImageMeasures:
    """All measures of images."""
    vae = detector.vae
    distance, reconstruction = detector.statistics(images).T
    loss = -evidence(vae, images, SAMPLES).log_px.numpy()
    codes = encode(vae, images)
    assert codes.log_variance is not None
    posterior = diagonal_gaussian(codes.mean, (codes.log_variance / 2).exp())
    divergence = kl(posterior, vae.prior()).numpy()
    outlier = ((np.stack([distance, reconstruction], 1) - detector.medians) / detector.spreads).max(1)
    return ImageMeasures(loss, reconstruction, distance, divergence, outlier, png_sizes(images), mean_loss)


def png_sizes(images: Images) -> Float[np.ndarray, " N"]:
    """Size of each image as a PNG file, in nats."""
    sizes = np.empty(len(images))
    for index, pixels in enumerate(images.pixels[:, 0].numpy()):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "png", optimize=True)
        sizes[index] = file.tell()
    return sizes * 8 * math.log(2)


def tasks(experiment: Experiment) -> Tasks:
    """Training and scoring of every VAE."""
    return {
        f"{name}-{seed}": partial(compute_aurocs, experiment, name, seed) for name, seed in product(DATA, range(SEEDS))
    }


def rows(experiment: Experiment) -> list[Row]:
    """One row per VAE and score."""
    return [
        {"trained_on": name, "seed": seed, "score": score, "auroc": value}
        for name, seed in product(DATA, range(SEEDS))
        for score, value in compute_aurocs(experiment, name, seed).items()
    ]


def values(rows: list[Row], name: str, score: str) -> list[float]:
    """AUROCs of a score by seed, for VAEs trained on one data set."""
    return [float(row["auroc"]) for row in rows if (row["trained_on"], row["score"]) == (name, score)]


def render(report: Report) -> str:
    rows = upgrade_rows(report["rows"])
    columns = {
        "mnist": "trained on MNIST, outliers from Fashion-MNIST",
        "fashion-mnist": "trained on Fashion-MNIST, outliers from MNIST",
    }
    out = [
        "# Detection of outliers by a VAE",
        "",
        f"{provenance(report, 'outliers')} {SEEDS} seeds.",
        "",
        "AUROC: the probability that a score is higher for a test image of the other data set than for one of the "
        "VAE's own; 1 is perfect, 0.5 is chance, and below that the score prefers the outliers. Means over seeds, "
        "with minimum and maximum. The VAEs are those of the recipes `mnist` and `fashion-mnist`, with beta 1 and "
        "continuous Bernoulli pixels. The scores do not use the other data set.",
        "",
        f"| score | source | {' | '.join(columns.values())} |",
        "|---|---|---|---|",
    ]
    for key, score in SCORES.items():
        aurocs = [values(rows, name, key) for name in columns]
        cells = [f"{np.mean(each):.3f} ({min(each):.3f} to {max(each):.3f})" for each in aurocs]
        out.append(f"| {score.title} | {score.source} | {' | '.join(cells)} |")
    worst = {key: min(np.mean(values(rows, name, key)) for name in DATA) for key in SCORES}
    best = max(worst, key=lambda key: worst[key])
    fails = "prefers the outliers in one direction" if worst["loss"] < 0.5 else "does not fail here"
    out += [
        "",
        f"The likelihood {fails}: its lower AUROC is {worst['loss']:.3f}. The score with the highest lower AUROC is "
        f"the {SCORES[best].title} ({worst[best]:.3f}).",
    ]
    return "\n".join(out) + "\n"


BENCHMARK = BenchmarkScript("outliers", MINUTES, tasks, rows, render)

if __name__ == "__main__":
    import_script("outliers").BENCHMARK.run(__doc__)
