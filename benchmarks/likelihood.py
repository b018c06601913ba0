"""log p(x) of binarised MNIST beside what others printed: `python benchmarks/likelihood.py [--minutes N] [--out DIR]`.

Training: every pixel is drawn anew at each visit, black or white, with its grey value as the chance. Validation and
test: drawn once, by the seed of the data. Nothing is thresholded. The validation part chooses each model's epoch, and
which model is called the best. Goes on where it was stopped; writes likelihood.json, likelihood.md, likelihood/*.png.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from bench import About, Bench, Row, Tasks, made_by

from vaebench.core.progress import ProgressEvent
from vaebench.data.datasets import Data
from vaebench.data.images import Dataset, Images
from vaebench.evaluation.bounds import bounds
from vaebench.evaluation.evidence import Evidence, evidence
from vaebench.evaluation.panels import decoded, prior_samples
from vaebench.experiments.experiment import Experiment
from vaebench.experiments.trained import TrainedModel
from vaebench.models.loss import Objective
from vaebench.models.networks import MLP, Conv
from vaebench.models.objectives import Elbo, ImportanceWeighted
from vaebench.models.priors import Flow, Vamp
from vaebench.models.vae import Model
from vaebench.plotting.plots import Panel, Series, lines
from vaebench.runs.report.pictures import grids, in_rows
from vaebench.training.compute import Compute
from vaebench.training.loop import Training
from vaebench.training.schedules import Adam

TO_CHOOSE, SAMPLES, AT_LENGTH = 100, 500, 5000
"""K: samples of z an image, for the validation part, for the test part, and for the test part of the best model."""
CHECKED = 256
"""Test images on which the precision of training is held against fp32."""
PIECES = 4
"""Into which that last is cut, for several processes to share."""
MINUTES = 60
"""On two cores."""
DRAWN = 60
DATA = Data(source="mnist", binarised=True)


@dataclass(frozen=True)
class Contestant:
    """A model with its objective, trained alike but for the epochs."""

    words: str
    model: Model
    objective: Objective
    epochs: int
    rate: float = 7e-3

    @property
    def training(self) -> Training:
        """The same rule for all."""
        return Training(epochs=self.epochs, batch=256, optimiser=Adam(rate=self.rate, beta2=0.99))


_CONV = Conv(filters=(32, 64), stride=(2,), hidden=(256,))
CONTESTANTS: dict[str, Contestant] = {
    "mlp": Contestant(
        "VAE, 300-300 MLP, 50 latents",
        Model(latent=50, network=MLP(hidden=(300, 300), batch_norm="before")),
        Elbo(),
        60,
    ),
    "conv": Contestant("VAE, convolutions, 32 latents", Model(latent=32, network=_CONV), Elbo(), 20),
    "iwae": Contestant(
        "importance-weighted VAE (5 samples), convolutions, 32 latents",
        Model(latent=32, network=_CONV),
        ImportanceWeighted(samples=5),
        12,
    ),
    "vamp": Contestant(
        "VAE, convolutions, 32 latents, VampPrior of 200",
        Model(latent=32, network=_CONV, prior=Vamp(components=200)),
        Elbo(),
        20,
    ),
    "flow": Contestant(
        "VAE, convolutions, 32 latents, flow as prior", Model(latent=32, network=_CONV, prior=Flow()), Elbo(), 24
    ),
}


@dataclass(frozen=True)
class Printed:
    """A figure from elsewhere: nats per image, to be held only against figures of the same binarisation."""

    words: str
    nats: float
    samples: int
    source: str


PRINTED: dict[str, tuple[Printed, ...]] = {
    "training pixels drawn anew at each visit": (
        Printed("PIWAE (M = 8, K = 8)", 84.58, 5000, "pythae's reproduction of Rainforth et al. 2018 (84.46)"),
        Printed("CIWAE (beta = 0.05)", 84.74, 5000, "pythae's reproduction of Rainforth et al. 2018 (84.57)"),
        Printed("auxiliary deep generative model", 82.97, 5000, "Maaloe et al. 2016"),
        Printed("NVAE, a deep hierarchy", 78.01, 1000, "Vahdat & Kautz 2020"),
    ),
    "drawn once and for all, in training too": (
        Printed("VAE", 89.78, 200, "pythae's reproduction of Rezende & Mohamed 2015 (89.9)"),
        Printed("IWAE, K = 5", 87.85, 5000, "pythae's reproduction of Burda et al. 2016 (87.6)"),
        Printed("IWAE, K = 50", 86.82, 5000, "pythae's reproduction of Burda et al. 2016 (87.1)"),
        Printed("VAE, VampPrior of 500", 85.79, 5000, "pythae's reproduction of Tomczak & Welling 2018 (85.57)"),
    ),
}
OURS = "training pixels drawn anew at each visit"


def trained(experiment: Experiment, data: Dataset, name: str) -> TrainedModel:
    """One contestant."""
    one = CONTESTANTS[name]
    return experiment.vae(name, data, one.model, one.objective, one.training)


def weighed(experiment: Experiment, name: str, part: str, samples: int, piece: int = 0, pieces: int = 1) -> Evidence:
    """log p(x) of every image of a part, or of one of its pieces, kept; networks run as precisely as in training."""
    data = experiment.data(DATA)
    whole = {"validation": data.validation, "test": data.test}[part]
    images = whole.take(torch.arange(len(whole)).tensor_split(pieces)[piece])
    step = f"{name}/{part}-{samples}-{piece + 1}-of-{pieces}"
    return weighed_images(experiment, step, trained(experiment, data, name), images, samples, experiment.compute)


def rounding(experiment: Experiment, name: str) -> Row:
    """What the precision of training does to -log p(x) of the first test images, beside fp32: mean and standard error
    over images, nats per image."""
    data = experiment.data(DATA)
    trial, some = trained(experiment, data, name), data.test.take(torch.arange(CHECKED))
    exact = experiment.compute.model_copy(update={"precision": "fp32"})
    there, here = (
        weighed_images(experiment, f"{name}/first-{compute.precision}", trial, some, SAMPLES, compute).log_px.double()
        for compute in (experiment.compute, exact)
    )
    gaps = here - there
    return {"rounding": float(gaps.mean()), "rounding_error": float(gaps.std() / len(gaps) ** 0.5)}


def weighed_images(
    experiment: Experiment, step: str, trial: TrainedModel, images: Images, samples: int, compute: Compute
) -> Evidence:
    """log p(x) of these images, kept; the networks alone run at the precision of ``compute``."""
    identity = {"of": trial.key, "images": images.fingerprint(), "samples": samples, "precision": compute.precision}
    partial_file = experiment.folder / "partial" / f"{step}.npz"

    def make() -> dict[str, np.ndarray]:
        partial_file.parent.mkdir(parents=True, exist_ok=True)
        with compute.autocast():
            found = evidence(
                trial.vae,
                images,
                samples,
                checkpoint=partial_file,
                callback=lambda share: experiment.callback(
                    ProgressEvent(experiment.info.title_in_short, 0.0, note=f"{step}, {share:.0%}")
                ),
            )
        partial_file.unlink(missing_ok=True)
        return {"log_px": found.log_px.numpy(), "error": found.error.numpy(), "effective": found.effective.numpy()}

    kept = experiment.arrays(step, identity, make)
    return Evidence(*(torch.from_numpy(kept[what]) for what in ("log_px", "error", "effective")))


def best(experiment: Experiment) -> str:
    """The contestant that the validation part prefers."""
    means = {name: weighed(experiment, name, "validation", TO_CHOOSE).mean for name in CONTESTANTS}
    return max(means, key=lambda name: means[name])


def weighed_at_length(experiment: Experiment, piece: int) -> Evidence:
    """A piece of the test part under the best model."""
    return weighed(experiment, best(experiment), "test", AT_LENGTH, piece, PIECES)


def row(experiment: Experiment, name: str) -> Row:
    """All that is known of one contestant by the samples that all are given."""
    data = experiment.data(DATA)
    trial, one = trained(experiment, data, name), CONTESTANTS[name]

    def bound() -> dict[str, Any]:
        found = bounds(trial.vae, data.test)
        return {"elbo": found.elbo, "kl": found.kl, "active": found.active}

    return {
        "name": name,
        "words": one.words,
        "validation_nats": -weighed(experiment, name, "validation", TO_CHOOSE).mean,
        **summary(weighed(experiment, name, "test", SAMPLES), SAMPLES),
        **experiment.step(f"{name}/bound", {"of": trial.key}, bound),
        **rounding(experiment, name),
        "precision": experiment.compute.precision,
        "epochs": one.epochs,
        "epoch": trial.best_epoch,
        "images_seen": one.epochs * len(data.train),
        "seconds": trial.seconds,
        "seed": 0,
    }


def summary(found: Evidence, samples: int) -> Row:
    """-log p(x) in nats per image, with both standard errors."""
    return {
        "samples": samples,
        "nats": -found.mean,
        "standard_error": found.standard_error,
        "over_images": float(found.log_px.double().std() / len(found.log_px) ** 0.5),
        "effective_samples": float(found.effective.mean()),
        "least_effective_samples": float(found.effective.min()),
    }


def draw(experiment: Experiment, data: Dataset) -> None:
    """Curves and samples."""
    trials = {name: trained(experiment, data, name) for name in CONTESTANTS}
    curves = {
        CONTESTANTS[name].words: Series(
            [record["epoch"] for record in trial.history], [record["validation_loss"] for record in trial.history]
        )
        for name, trial in trials.items()
    }
    panel = Panel("Binarised MNIST", curves, "epoch", "validation loss (nats per image)", log_x=True, limits=(82, 110))
    experiment.figure("validation", lambda: lines([panel], 1, (6.4, 4.2)))
    sheets = {
        CONTESTANTS[name].words: in_rows(decoded(trial.vae, prior_samples(trial.vae, 0, DRAWN)), 20)
        for name, trial in trials.items()
    }
    experiment.figure("samples", lambda: grids(sheets))


def render(about: About) -> str:
    """likelihood.json as a page."""
    rows = about["rows"]
    chosen = min(rows, key=lambda row: float(row["validation_nats"]))["name"]
    out = [
        "# log p(x) of binarised MNIST",
        "",
        "A lower number is better: -log p(x) in nats per image, the mean over the 10,000 test images, by importance "
        "weighting with K samples of z an image (Burda et al. 2016, eq. 8), which is a bound: the truth is a little "
        "lower. The first standard error is of drawing codes, the second of which images there are.",
        "",
        f"{made_by(about, 'likelihood')} One seed.",
        "",
        "How pixels become black or white decides the numbers, so figures of different ways are never in one table. "
        "Ours: in training each pixel is drawn anew at each visit, with its grey value as the chance of white; "
        "validation and test images are drawn once, by a saved seed. Nothing is thresholded. The validation part "
        f"(5,000 training images, K = {TO_CHOOSE}) chose each model's epoch and the best model, in bold, which alone "
        f"is measured with K = {AT_LENGTH:,}; the test part chose nothing.",
        "",
        f"## Pixels in training: {OURS.removeprefix('training pixels ')}",
        "",
        "| model | -log p(x) | K | standard errors: codes, images | effective samples, mean (least) | -ELBO | "
        "KL | validation | images seen | minutes |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for one in sorted(rows, key=lambda row: float(row["nats"])):
        mark = "**" if one["name"] == chosen else ""
        out.append(
            f"| {mark}{one['words']}{mark} | {mark}{one['nats']:.2f}{mark} | {one['samples']:,} | "
            f"{one['standard_error']:.3f}, "
            f"{one['over_images']:.2f} | {one['effective_samples']:.0f} ({one['least_effective_samples']:.1f}) | "
            f"{-one['elbo']:.2f} | {one['kl']:.1f} | {one['validation_nats']:.2f} | "
            f"{one['images_seen'] / 1e6:.1f} million | {one['seconds'] / 60:.0f} |"
        )
    reached = min(float(row["nats"]) for row in rows if row["name"] == chosen)
    out += ["", *_rounded(rows), "", "Printed elsewhere for this way, and by how much our best is higher:", ""]
    out += _printed(OURS, reached)
    for way in PRINTED:
        if way != OURS:
            out += [
                "",
                f"## Pixels in training: {way}",
                "",
                "Not to be held against the tables above.",
                "",
                *_printed(way),
            ]
    for name, words in BENCH.captions.items():
        out += ["", f"![{words}](likelihood/{name}.png)", "", f"*{words}*"]
    return "\n".join(out) + "\n"


def _rounded(rows: list[Row]) -> list[str]:
    """What the networks' precision does to the figures."""
    precision = rows[0]["precision"]
    if precision == "fp32":
        return ["Everything was computed in fp32."]
    told = {row["words"]: f"{row['rounding']:+.3f} ({row['rounding_error']:.3f})" for row in rows}
    gaps = "; ".join(f"{words}: {gap}" for words, gap in told.items())
    return [
        f"For log p(x) networks ran in {precision}, all else in fp32. On the first {CHECKED} test images, "
        f"K = {SAMPLES}, that moves -log p(x) by so many nats per image, with the standard error over images: {gaps}."
    ]


def _printed(way: str, best: float | None = None) -> list[str]:
    """What others printed, beside the best of ours where pixels were drawn alike."""
    beside = "" if best is None else " our best, less it |"
    lines = [f"| model | -log p(x) | K | source |{beside}", "|---|---|---|---|" + "---|" * bool(beside)]
    for one in PRINTED[way]:
        gap = "" if best is None else f" {best - one.nats:+.2f} |"
        lines.append(f"| {one.words} | {one.nats:.2f} | {one.samples:,} | {one.source} |{gap}")
    return lines


def tasks(experiment: Experiment) -> Tasks:
    """Training and measuring of each contestant, then the best at length."""
    found: dict[str, Callable[[], object]] = {name: partial(row, experiment, name) for name in CONTESTANTS}
    return found | {f"best-{piece}": partial(weighed_at_length, experiment, piece) for piece in range(PIECES)}


def rows(experiment: Experiment) -> list[Row]:
    """All contestants, and the best once more at length."""
    found = [row(experiment, name) for name in CONTESTANTS]
    pieces = [weighed_at_length(experiment, piece) for piece in range(PIECES)]
    joined = Evidence(*(torch.cat(parts) for parts in zip(*(astuple(one) for one in pieces), strict=True)))
    at_length = next(one for one in found if one["name"] == best(experiment)) | summary(joined, AT_LENGTH)
    draw(experiment, experiment.data(DATA))
    return [*found, at_length]


BENCH = Bench(
    "likelihood",
    MINUTES,
    tasks,
    rows,
    render,
    {
        "validation": "Validation loss over epochs: the bound that each model is trained on, in nats per image.",
        "samples": "Chances of a white pixel decoded from codes that are drawn from each prior; none are chosen.",
    },
)

if __name__ == "__main__":
    BENCH.run(__doc__)
