"""log p(x) of binarised MNIST and published values: `python benchmarks/likelihood.py [--minutes N] [--out DIR]`.

Training images are binarised anew at each visit: a pixel is white with the probability of its grey value. Validation
and test images are binarised once, by the seed of the data. Nothing is thresholded. Validation images select each
model's epoch, and the best model. Resumes where it was stopped; writes likelihood.json, likelihood.md,
likelihood/*.png.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from benchmark_script import BenchmarkScript, Report, Row, Tasks, figures, import_script, provenance

from vaebench.core.progress import ProgressEvent
from vaebench.data.datasets import Data
from vaebench.data.images import Dataset, Images
from vaebench.deprecated import upgrade_rows
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
from vaebench.plotting.sheets import grids, in_rows
from vaebench.training.compute import Compute
from vaebench.training.loop import Training
from vaebench.training.schedules import Adam

VALIDATION_SAMPLES, TEST_SAMPLES, BEST_SAMPLES = 100, 500, 5000
"""K, samples of z per image: for validation images, for test images, and for test images under the best model."""
ROUNDING_IMAGES = 256
"""Test images on which the precision of training is compared with fp32."""
PIECES = 4
"""Pieces of the test images under the best model, for several processes to share."""
MINUTES = 60
"""Time on two cores."""
GENERATED = 60
DATA = Data(source="mnist", binarised=True)


@dataclass(frozen=True)
class Candidate:
    """A model with its objective; training differs in epochs only."""

    title: str
    model: Model
    objective: Objective
    epochs: int
    rate: float = 7e-3

    @property
    def training(self) -> Training:
        """Training with the same optimiser and schedule for all."""
        return Training(epochs=self.epochs, batch=256, optimiser=Adam(rate=self.rate, beta2=0.99))


_CONV = Conv(filters=(32, 64), stride=(2,), hidden=(256,))
CANDIDATES: dict[str, Candidate] = {
    "mlp": Candidate(
        "VAE, 300-300 MLP, 50 latents",
        Model(latent=50, network=MLP(hidden=(300, 300), batch_norm="before")),
        Elbo(),
        60,
    ),
    "conv": Candidate("VAE, convolutions, 32 latents", Model(latent=32, network=_CONV), Elbo(), 20),
    "iwae": Candidate(
        "importance-weighted VAE (5 samples), convolutions, 32 latents",
        Model(latent=32, network=_CONV),
        ImportanceWeighted(samples=5),
        12,
    ),
    "vamp": Candidate(
        "VAE, convolutions, 32 latents, VampPrior of 200",
        Model(latent=32, network=_CONV, prior=Vamp(components=200)),
        Elbo(),
        20,
    ),
    "flow": Candidate(
        "VAE, convolutions, 32 latents, flow prior", Model(latent=32, network=_CONV, prior=Flow()), Elbo(), 24
    ),
}


@dataclass(frozen=True)
class Published:
    """A published -log p(x) in nats per image, comparable only with the same binarisation."""

    title: str
    nats: float
    samples: int
    source: str


OURS = "sampled anew at each visit"
"""Binarisation of training images here."""
PUBLISHED: dict[str, tuple[Published, ...]] = {
    OURS: (
        Published("PIWAE (M = 8, K = 8)", 84.58, 5000, "pythae's reproduction of Rainforth et al. 2018 (84.46)"),
        Published("CIWAE (beta = 0.05)", 84.74, 5000, "pythae's reproduction of Rainforth et al. 2018 (84.57)"),
        Published("auxiliary deep generative model", 82.97, 5000, "Maaloe et al. 2016"),
        Published("NVAE, a deep hierarchy", 78.01, 1000, "Vahdat & Kautz 2020"),
    ),
    "fixed": (
        Published("VAE", 89.78, 200, "pythae's reproduction of Rezende & Mohamed 2015 (89.9)"),
        Published("IWAE, K = 5", 87.85, 5000, "pythae's reproduction of Burda et al. 2016 (87.6)"),
        Published("IWAE, K = 50", 86.82, 5000, "pythae's reproduction of Burda et al. 2016 (87.1)"),
        Published("VAE, VampPrior of 500", 85.79, 5000, "pythae's reproduction of Tomczak & Welling 2018 (85.57)"),
    ),
}


def train_candidate(experiment: Experiment, data: Dataset, name: str) -> TrainedModel:
    """Trained VAE of a candidate."""
    candidate = CANDIDATES[name]
    return experiment.vae(name, data, candidate.model, candidate.objective, candidate.training)


def part_evidence(
    experiment: Experiment, name: str, part: str, samples: int, piece: int = 0, pieces: int = 1
) -> Evidence:
    """log p(x) of the validation or test images, or of one piece of them, kept."""
    data = experiment.data(DATA)
    images = {"validation": data.validation, "test": data.test}[part]
    images = images.take(torch.arange(len(images)).tensor_split(pieces)[piece])
    step = f"{name}/{part}-{samples}-{piece + 1}-of-{pieces}"
    trained = train_candidate(experiment, data, name)
    return compute_evidence(experiment, step, trained, images, samples, experiment.compute)


def measure_rounding(experiment: Experiment, name: str) -> Row:
    """Change in -log p(x) of the first test images by the precision of training, compared with fp32: mean and standard
    error over images, nats per image."""
    data = experiment.data(DATA)
    trained, images = train_candidate(experiment, data, name), data.test.take(torch.arange(ROUNDING_IMAGES))
    fp32 = experiment.compute.model_copy(update={"precision": "fp32"})
    rounded, exact = (
        compute_evidence(
            experiment, f"{name}/first-{compute.precision}", trained, images, TEST_SAMPLES, compute
        ).log_px.double()
        for compute in (experiment.compute, fp32)
    )
    gaps = exact - rounded
    return {"rounding": float(gaps.mean()), "rounding_error": float(gaps.std() / len(gaps) ** 0.5)}


def compute_evidence(
    experiment: Experiment, step: str, trained: TrainedModel, images: Images, samples: int, compute: Compute
) -> Evidence:
    """log p(x) of images, kept; only the networks run in the precision of ``compute``."""
    identity = {"of": trained.key, "images": images.fingerprint(), "samples": samples, "precision": compute.precision}
    partial_file = experiment.folder / "partial" / f"{step}.npz"

    def report(done: float) -> None:
        note = f"{step}, {done:.0%}"
        experiment.callback(ProgressEvent(experiment.info.title_in_short, 0.0, note=note))

    def make() -> dict[str, np.ndarray]:
        partial_file.parent.mkdir(parents=True, exist_ok=True)
        with compute.autocast():
            result = evidence(trained.vae, images, samples, checkpoint=partial_file, callback=report)
        partial_file.unlink(missing_ok=True)
        return {key: getattr(result, key).numpy() for key in ("log_px", "error", "effective")}

    arrays = experiment.arrays(step, identity, make)
    return Evidence(*(torch.from_numpy(arrays[key]) for key in ("log_px", "error", "effective")))


def best_candidate(experiment: Experiment) -> str:
    """Candidate with the highest mean log p(x) of validation images."""
    means = {name: part_evidence(experiment, name, "validation", VALIDATION_SAMPLES).mean for name in CANDIDATES}
    return max(means, key=lambda name: means[name])


def best_evidence(experiment: Experiment, piece: int) -> Evidence:
    """log p(x) of a piece of the test images under the best candidate, with ``BEST_SAMPLES``."""
    return part_evidence(experiment, best_candidate(experiment), "test", BEST_SAMPLES, piece, PIECES)


def candidate_row(experiment: Experiment, name: str) -> Row:
    """Row of one candidate, with ``TEST_SAMPLES``."""
    data, candidate = experiment.data(DATA), CANDIDATES[name]
    trained = train_candidate(experiment, data, name)

    def measure_elbo() -> dict[str, Any]:
        result = bounds(trained.vae, data.test)
        return {"elbo": result.elbo, "kl": result.kl, "active": result.active}

    return {
        "name": name,
        "title": candidate.title,
        "validation_nats": -part_evidence(experiment, name, "validation", VALIDATION_SAMPLES).mean,
        **summarise(part_evidence(experiment, name, "test", TEST_SAMPLES), TEST_SAMPLES),
        **experiment.step(f"{name}/bound", {"of": trained.key}, measure_elbo),
        **measure_rounding(experiment, name),
        "precision": experiment.compute.precision,
        "epochs": candidate.epochs,
        "epoch": trained.best_epoch,
        "images_seen": candidate.epochs * len(data.train),
        "seconds": trained.seconds,
        "seed": 0,
    }


def summarise(log_px: Evidence, samples: int) -> Row:
    """-log p(x) in nats per image, with standard errors over samples of z and over images."""
    return {
        "samples": samples,
        "nats": -log_px.mean,
        "standard_error": log_px.standard_error,
        "over_images": float(log_px.log_px.double().std() / len(log_px.log_px) ** 0.5),
        "effective_samples": float(log_px.effective.mean()),
        "least_effective_samples": float(log_px.effective.min()),
    }


def draw_figures(experiment: Experiment, data: Dataset) -> None:
    """Draw validation losses and samples of all candidates."""
    trained = {CANDIDATES[name].title: train_candidate(experiment, data, name) for name in CANDIDATES}
    curves = {
        title: Series(
            [record["epoch"] for record in one.history], [record["validation_loss"] for record in one.history]
        )
        for title, one in trained.items()
    }
    panel = Panel("Binarised MNIST", curves, "epoch", "validation loss (nats per image)", log_x=True, limits=(82, 110))
    experiment.figure("validation", lambda: lines([panel], 1, (6.4, 4.2)))
    samples = {
        title: in_rows(decoded(one.vae, prior_samples(one.vae, 0, GENERATED)), 20) for title, one in trained.items()
    }
    experiment.figure("samples", lambda: grids(samples))


def render(report: Report) -> str:
    rows = upgrade_rows(report["rows"])
    best = min(rows, key=lambda row: float(row["validation_nats"]))["name"]
    out = [
        "# log p(x) of binarised MNIST",
        "",
        "-log p(x) in nats per image, lower is better: the mean over the 10,000 test images by importance weighting "
        "with K samples of z per image (Burda et al. 2016, eq. 8), an upper bound that is a little above the true "
        "value. The first standard error is over samples of z, the second over images.",
        "",
        f"{provenance(report, 'likelihood')} One seed.",
        "",
        "The numbers depend on how pixels are binarised, so values of different binarisations are in separate tables. "
        "Here, each training pixel is sampled anew at each visit, white with the probability of its grey value; "
        "validation and test images are sampled once, with a saved seed. Nothing is thresholded. The validation images "
        f"(5,000 training images, K = {VALIDATION_SAMPLES}) selected each model's epoch and the best model, in bold, "
        f"which alone is evaluated with K = {BEST_SAMPLES:,}; test images selected nothing.",
        "",
        f"## Binarisation of training images: {OURS}",
        "",
        "| model | -log p(x) | K | standard errors: samples, images | effective samples, mean (least) | -ELBO | "
        "KL | validation | images seen | minutes |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in sorted(rows, key=lambda row: float(row["nats"])):
        mark, title = "**" if row["name"] == best else "", _title(row)
        out.append(
            f"| {mark}{title}{mark} | {mark}{row['nats']:.2f}{mark} | {row['samples']:,} | "
            f"{row['standard_error']:.3f}, {row['over_images']:.2f} | {row['effective_samples']:.0f} "
            f"({row['least_effective_samples']:.1f}) | {-row['elbo']:.2f} | {row['kl']:.1f} | "
            f"{row['validation_nats']:.2f} | {row['images_seen'] / 1e6:.1f} million | {row['seconds'] / 60:.0f} |"
        )
    best_nats = min(float(row["nats"]) for row in rows if row["name"] == best)
    out += ["", _describe_rounding(rows), "", "Published values for this binarisation, and our best minus each:", ""]
    out += _published_table(OURS, best_nats)
    for binarisation in PUBLISHED:
        if binarisation != OURS:
            out += ["", f"## Binarisation of training images: {binarisation}", ""]
            out += ["Not comparable with the tables above.", "", *_published_table(binarisation)]
    return "\n".join([*out, *figures(BENCHMARK)]) + "\n"


def _title(row: Row) -> str:
    return CANDIDATES[row["name"]].title if row["name"] in CANDIDATES else str(row["title"])


def _describe_rounding(rows: list[Row]) -> str:
    """Effect of the networks' precision on the values, as a sentence."""
    precision = rows[0]["precision"]
    if precision == "fp32":
        return "Everything was computed in fp32."
    gaps = {_title(row): f"{row['rounding']:+.3f} ({row['rounding_error']:.3f})" for row in rows}
    return (
        f"For log p(x), networks ran in {precision}, everything else in fp32. On the first {ROUNDING_IMAGES} test "
        f"images, K = {TEST_SAMPLES}, this changes -log p(x) by the following nats per image (standard error over "
        f"images): {'; '.join(f'{title}: {gap}' for title, gap in gaps.items())}."
    )


def _published_table(binarisation: str, best: float | None = None) -> list[str]:
    """Published values of a binarisation, with our best minus each if ``best`` is given."""
    column = "" if best is None else " our best minus it |"
    lines = [f"| model | -log p(x) | K | source |{column}", "|---|---|---|---|" + "---|" * bool(column)]
    for one in PUBLISHED[binarisation]:
        gap = "" if best is None else f" {best - one.nats:+.2f} |"
        lines.append(f"| {one.title} | {one.nats:.2f} | {one.samples:,} | {one.source} |{gap}")
    return lines


def tasks(experiment: Experiment) -> Tasks:
    """Training and evaluation of each candidate, then of the best with more samples."""
    rows: dict[str, Callable[[], object]] = {name: partial(candidate_row, experiment, name) for name in CANDIDATES}
    return rows | {f"best-{piece}": partial(best_evidence, experiment, piece) for piece in range(PIECES)}


def rows(experiment: Experiment) -> list[Row]:
    """Rows of all candidates, and of the best once more with ``BEST_SAMPLES``."""
    candidates = {name: candidate_row(experiment, name) for name in CANDIDATES}
    pieces = [best_evidence(experiment, piece) for piece in range(PIECES)]
    joined = Evidence(*(torch.cat(parts) for parts in zip(*(astuple(one) for one in pieces), strict=True)))
    best = candidates[best_candidate(experiment)] | summarise(joined, BEST_SAMPLES)
    draw_figures(experiment, experiment.data(DATA))
    return [*candidates.values(), best]


BENCHMARK = BenchmarkScript(
    "likelihood",
    MINUTES,
    tasks,
    rows,
    render,
    {
        "validation": "Validation loss by epoch: the bound that each model is trained on, in nats per image.",
        "samples": "Decoded samples of each prior: probability of a white pixel. No sample is hand-picked.",
    },
)

if __name__ == "__main__":
    import_script("likelihood").BENCHMARK.run(__doc__)
