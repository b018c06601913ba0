"""Images with unknown pixels: `python benchmarks/missing_pixels.py [--epochs N] [--minutes N] [--out DIR]`.

MNIST, of which 30 % of the pixels of every image, drawn once, are unknown in training and in test. A VAE reconstructs
the unknown pixels of test images; the baseline is the mean of each pixel over the training images in which it is known.
Three seeds, each with its own masks. Resumes where it was stopped; writes missing_pixels.json and missing_pixels.md.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from benchmark_script import BenchmarkScript, Report, Row, Tasks, arguments, import_script, provenance
from jaxtyping import Bool, Float
from torch import Tensor

from vaebench.core.statistics import summary
from vaebench.data.datasets import Data
from vaebench.data.images import Dataset, Images
from vaebench.experiments.experiment import Experiment
from vaebench.experiments.trained import TrainedModel
from vaebench.models.objectives import Elbo
from vaebench.runs.recipe import RECIPES
from vaebench.training.loop import Training
from vaebench.training.schedules import Muon

MINUTES = 8
"""Time on two cores."""
SEEDS, EPOCHS, UNKNOWN = 3, 4, 0.3
MODEL = RECIPES["mnist"].model
METHODS = {"vae": "VAE", "mean": "mean of each pixel over the training images in which it is known"}


def with_holes(images: Images, generator: torch.Generator) -> Images:
    """The images as floats, a fraction `UNKNOWN` of whose pixels is unknown."""
    pixels = images.pixels.float() / 255
    pixels[torch.rand(pixels.shape, generator=generator) < UNKNOWN] = math.nan
    return replace(images, pixels=pixels)


def holey(data: Dataset, seed: int) -> Dataset:
    """The data set with the masks of this seed."""
    train, validation, test = (
        with_holes(images, torch.Generator().manual_seed(1009 * seed + index))
        for index, images in enumerate((data.train, data.validation, data.test))
    )
    return Dataset(f"{data.name} with unknown pixels", train, validation, test)


def train_vae(experiment: Experiment, epochs: int, seed: int) -> TrainedModel:
    """VAE of the mnist recipe, trained on the images of this seed."""
    data = holey(experiment.data(Data(source="mnist")), seed)
    training = Training(epochs=epochs, batch=256, optimiser=Muon(rate=0.05))
    return experiment.vae(f"vae-{seed}", data, MODEL, Elbo(), training, seed)


def measure(experiment: Experiment, epochs: int, seed: int) -> dict[str, Any]:
    """Mean squared errors of one VAE on unknown and on known pixels of the test images; kept."""
    trained = train_vae(experiment, epochs, seed)

    def errors() -> dict[str, Any]:
        data = experiment.data(Data(source="mnist"))
        known = ~holey(data, seed).test.pixels.isnan()
        truth = data.test.pixels.float() / 255
        with torch.no_grad():
            mean = trained.features.test.mean.to(trained.vae.zero.device)
            outputs = torch.cat([trained.vae.decode(z).mean.cpu() for z in mean.split(1000)])
        return squared_errors(outputs, truth, known)

    return experiment.step(f"errors/vae-{seed}", {"trial": trained.key}, errors)


def squared_errors(
    outputs: Float[Tensor, "N C H W"], truth: Float[Tensor, "N C H W"], known: Bool[Tensor, "N C H W"]
) -> dict[str, float]:
    """Mean squared error on unknown and on known pixels, in squared units of the pixel range."""
    errors = (outputs - truth).square().double()
    return {"unknown": float(errors[~known].mean()), "known": float(errors[known].mean())}


def mean_errors(experiment: Experiment, seed: int) -> dict[str, Any]:
    """Errors of the baseline; kept."""

    def errors() -> dict[str, Any]:
        data = experiment.data(Data(source="mnist"))
        holes = holey(data, seed)
        means = holes.train.pixels.nanmean(0, keepdim=True)
        truth = data.test.pixels.float() / 255
        return squared_errors(means.expand_as(truth), truth, ~holes.test.pixels.isnan())

    return experiment.step(f"errors/mean-{seed}", {"unknown": UNKNOWN, "seed": seed}, errors)


def tasks(experiment: Experiment, epochs: int) -> Tasks:
    """Training and test of every VAE."""
    return {f"vae-{seed}": partial(measure, experiment, epochs, seed) for seed in range(SEEDS)}


def rows(experiment: Experiment, epochs: int) -> list[Row]:
    """One row per method, with the baseline's error divided by its own, over seeds."""
    baseline = [mean_errors(experiment, seed) for seed in range(SEEDS)]
    rows = []
    for method, title in METHODS.items():
        own = baseline if method == "mean" else [measure(experiment, epochs, s) for s in range(SEEDS)]
        ratios = [base["unknown"] / result["unknown"] for base, result in zip(baseline, own, strict=True)]
        errors = {part: summary([result[part] for result in own]) for part in ("unknown", "known")}
        rows.append({"method": method, "title": title, "epochs": epochs, **errors, "ratios": ratios})
    return rows


def render(report: Report) -> str:
    """Render missing_pixels.json as Markdown."""
    rows = {row["method"]: row for row in report["rows"]}
    ratios = rows["vae"]["ratios"]
    out = [
        "# Images with unknown pixels",
        "",
        f"{provenance(report, 'missing')} MNIST, {UNKNOWN:.0%} of the pixels of every image unknown, in training and "
        f"in test; {MODEL.latent} latents, beta 1, {rows['vae']['epochs']} epochs, {len(ratios)} seeds. Mean "
        "squared errors of the decoded posterior means of the 10,000 test images, pixels from 0 to 1, mean ± standard "
        "deviation over seeds; the validation images selected the epoch.",
        "",
        f"On unknown pixels the error of the VAE is {min(ratios):.1f} to {max(ratios):.1f} times lower than that of "
        "filling in the mean.",
        "",
        "| method | error on unknown pixels | error on known pixels | times lower than the mean |",
        "|---|---|---|---|",
    ]
    for row in report["rows"]:
        unknown, known = (f"{row[part]['mean']:.5f} ± {row[part]['sd']:.5f}" for part in ("unknown", "known"))
        out.append(f"| {row['title']} | {unknown} | {known} | {sum(row['ratios']) / len(row['ratios']):.2f} |")
    return "\n".join(out) + "\n"


def script(epochs: int) -> BenchmarkScript:
    """The benchmark with this many epochs of training."""
    return BenchmarkScript(
        "missing_pixels", MINUTES, partial(tasks, epochs=epochs), partial(rows, epochs=epochs), render
    )


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="epochs of training")
    options = parser.parse_args()
    import_script("missing_pixels").script(options.epochs).execute(options)
