"""Can a VAE tell images unlike its own? `python benchmarks/unlike.py [--minutes N] [--out DIR]`.

A VAE of MNIST is shown test images of MNIST and of Fashion-MNIST, and the other way round; each score's AUROC is the
chance that it is higher for an image of the other data set. Nothing is fitted to the other data set, and nothing is
chosen by it. Goes on where it was stopped; writes unlike.json and unlike.md.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from functools import partial
from itertools import product
from typing import NamedTuple

import numpy as np
from bench import About, Bench, Row, Tasks, made_by
from jaxtyping import Float
from PIL import Image
from sklearn.metrics import roc_auc_score

from vaebench.classification.outliers import OutlierDetector
from vaebench.data.images import Images
from vaebench.evaluation.evidence import evidence
from vaebench.evaluation.features import encode
from vaebench.experiments.experiment import Experiment
from vaebench.models.likelihoods import ContinuousBernoulliPixels
from vaebench.models.objectives import Elbo
from vaebench.models.posteriors import diagonal_gaussian, kl
from vaebench.runs.recipe import RECIPES

SEEDS = 3
MINUTES = 55
"""On two cores; two of its VAEs were trained beside other work."""
SAMPLES = 32
SIDES = ("mnist", "fashion-mnist")


class Seen(NamedTuple):
    """What a VAE says of images, each (N,)."""

    loss: Float[np.ndarray, " N"]
    """-log p(x) by importance weighting, nats."""
    reconstruction: Float[np.ndarray, " N"]
    """-log p(x|z) at the posterior mean, nats, by an increasing function."""
    distance: Float[np.ndarray, " N"]
    """Logarithm of the mean distance to the ten nearest codes of training images."""
    divergence: Float[np.ndarray, " N"]
    """KL of the posterior from the prior, nats."""
    unlike: Float[np.ndarray, " N"]
    """Robust standard deviations, the greater of reconstruction's and distance's."""
    packed: Float[np.ndarray, " N"]
    """Nats of the image as a PNG file."""
    usual: float
    """Mean loss of its own validation images."""


class Score(NamedTuple):
    """Higher for what is unlike; its words and where it is from."""

    words: str
    source: str
    of: Callable[[Seen], Float[np.ndarray, " N"]]


SCORES: dict[str, Score] = {
    "loss": Score("-log p(x)", "the likelihood alone", lambda seen: seen.loss),
    "reconstruction": Score("-log p(x\\|z)", "reconstruction alone", lambda seen: seen.reconstruction),
    "divergence": Score("KL to the prior", "the code alone, as the prior sees it", lambda seen: seen.divergence),
    "typicality": Score(
        "distance of log p(x) from the usual one",
        "Nalisnick et al. 2019, typicality, one image at a time",
        lambda seen: np.abs(seen.loss - seen.usual),
    ),
    "complexity": Score(
        "-log p(x) less the size of the image's PNG file",
        "Serra et al. 2020, input complexity",
        lambda seen: seen.loss - seen.packed,
    ),
    "distance": Score(
        "distance of the code to the nearest codes",
        "k nearest neighbours in the latent space",
        lambda seen: seen.distance,
    ),
    "unlike": Score(
        "the greater of reconstruction and distance", "what `vaebench classify` lists", lambda seen: seen.unlike
    ),
}


def aurocs(experiment: Experiment, own: str, seed: int) -> dict[str, float]:
    """Of every score, for a VAE of one data set shown the other's test images."""
    recipe = RECIPES[own]
    data = experiment.data(recipe.data)
    other = experiment.data(RECIPES[next(side for side in SIDES if side != own)].data)
    model = recipe.model.model_copy(update={"likelihood": ContinuousBernoulliPixels()})
    trial = experiment.vae(f"{own}-{seed}", data, model, Elbo(), recipe.training, seed)

    def make() -> dict[str, float]:
        usual = -evidence(trial.vae, data.validation, SAMPLES).mean
        rarity, _ = OutlierDetector.fit(trial.vae, data.train, encode(trial.vae, data.train).mean.numpy())
        sides = [seen(rarity, images, usual) for images in (data.test, other.test)]
        truth = np.repeat([0, 1], [len(data.test), len(other.test)])
        return {
            name: float(roc_auc_score(truth, np.concatenate([score.of(side) for side in sides])))
            for name, score in SCORES.items()
        }

    return experiment.step(f"{own}-{seed}", {"of": trial.key, "other": experiment.fingerprint(other)}, make)


def seen(rarity: OutlierDetector, images: Images, usual: float) -> Seen:
    """Everything of these images."""
    vae = rarity.vae
    distance, reconstruction = rarity.statistics(images).T
    loss = -evidence(vae, images, SAMPLES).log_px.numpy()
    codes = encode(vae, images)
    assert codes.log_variance is not None
    q = diagonal_gaussian(codes.mean, (codes.log_variance / 2).exp())
    divergence = kl(q, vae.prior()).numpy()
    unlike = ((np.stack([distance, reconstruction], 1) - rarity.medians) / rarity.spreads).max(1)
    return Seen(loss, reconstruction, distance, divergence, unlike, packed(images), usual)


def packed(images: Images) -> Float[np.ndarray, " N"]:
    """Nats of each image as a PNG file."""
    sizes = np.empty(len(images))
    for index, pixels in enumerate(images.pixels[:, 0].numpy()):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "png", optimize=True)
        sizes[index] = file.tell()
    return sizes * 8 * math.log(2)


def tasks(experiment: Experiment) -> Tasks:
    """Every VAE."""
    return {f"{own}-{seed}": partial(aurocs, experiment, own, seed) for own, seed in product(SIDES, range(SEEDS))}


def rows(experiment: Experiment) -> list[Row]:
    """One a VAE and score."""
    return [
        {"own": own, "seed": seed, "score": name, "auroc": value}
        for own, seed in product(SIDES, range(SEEDS))
        for name, value in aurocs(experiment, own, seed).items()
    ]


def render(about: About) -> str:
    """unlike.json as a page."""
    found = about["rows"]
    own = {"mnist": "trained on MNIST, shown Fashion-MNIST", "fashion-mnist": "trained on Fashion-MNIST, shown MNIST"}
    out = [
        "# Can a VAE tell images unlike its own?",
        "",
        f"{made_by(about, 'unlike')} {SEEDS} seeds.",
        "",
        "AUROC: the chance that a score is higher for a test image of the other data set than for one of its own; 1 is "
        "perfect, 0.5 is a guess, and below that the score prefers the stranger. Means over seeds, with the lowest and "
        "the highest. The VAEs are those of the recipes `mnist` and `fashion-mnist` "
        "with beta 1 and continuous Bernoulli pixels. No score has seen the other data set.",
        "",
        f"| score | from | {' | '.join(own.values())} |",
        "|---|---|---|---|",
    ]
    for name, score in SCORES.items():
        cells = []
        for side in own:
            got = [float(row["auroc"]) for row in found if (row["own"], row["score"]) == (side, name)]
            cells.append(f"{np.mean(got):.3f} ({min(got):.3f} to {max(got):.3f})")
        out.append(f"| {score.words} | {score.source} | {' | '.join(cells)} |")
    return "\n".join([*out, "", *verdict(found)]) + "\n"


def verdict(found: list[Row]) -> list[str]:
    """What the table says, in words."""
    worst = {
        name: min(
            np.mean([row["auroc"] for row in found if (row["own"], row["score"]) == (side, name)]) for side in SIDES
        )
        for name in SCORES
    }
    best = max(worst, key=lambda name: worst[name])
    fails = "prefers strangers on one side" if worst["loss"] < 0.5 else "does not fail here"
    return [
        f"The likelihood alone {fails}: its worse side has an AUROC of {worst['loss']:.3f}. The score whose worse side "
        f"is best is {SCORES[best].words} ({worst[best]:.3f})."
    ]


BENCH = Bench("unlike", MINUTES, tasks, rows, render)

if __name__ == "__main__":
    BENCH.run(__doc__)
