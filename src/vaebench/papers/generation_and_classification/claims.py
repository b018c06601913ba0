"""Paper B's claims: bounds and floors of the scale, who leads and who drops, how sharp pictures are."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vaebench.data.images import Dataset
from vaebench.evaluation.features import encode
from vaebench.evaluation.image_statistics import binary_fraction, ink, sharpness
from vaebench.evaluation.panels import Arrays, decoded
from vaebench.evaluation.samples import fitted_samples
from vaebench.experiments.measurements import bounds_step, pixels, reconstructions
from vaebench.experiments.trained import TrainedModel
from vaebench.models.likelihoods import GaussianPixels, GaussianPixelScale
from vaebench.models.objectives import Elbo
from vaebench.papers.experiment import PaperExperiment
from vaebench.papers.generation_and_classification.reported import CLASSIFIERS, FLOORS, NORMAL, REGIMES, VAES, WORDS
from vaebench.papers.generation_and_classification.table import Cells, code_reading, head_of, training_of
from vaebench.papers.paper import in_epochs
from vaebench.plotting.plots import Panel, Series, lines


def floors(experiment: PaperExperiment, data: Dataset) -> None:
    """The Normal VAE's ELBO under several floors of the scale, and with unit scale."""
    epochs = experiment.pick(1, 6, 50)
    found = {}
    for floor in FLOORS:
        model = NORMAL.model_copy(update={"likelihood": GaussianPixelScale(floor=floor)})
        trial = experiment.vae(f"floor-{floor:g}", data, model, Elbo(), training_of(experiment, "normal", epochs))
        found[floor] = bounds_step(experiment, f"floor-{floor:g}", trial)["test"]["elbo"]
        most = 784 * (-np.log(floor) - 0.5 * np.log(2 * np.pi))
        why = f"{in_epochs(epochs)}; the floor bounds the log density of an image at {most:,.0f} nats"
        experiment.found(f"floor-{floor:g}", found[floor], holds=None, why=why)
    model = NORMAL.model_copy(update={"likelihood": GaussianPixels(scale=1.0)})
    trial = experiment.vae("unit", data, model, Elbo(), training_of(experiment, "normal", epochs))
    elbo = bounds_step(experiment, "unit", trial)["test"]
    why = f"KL {elbo['kl']:.1f} nats, {elbo['active']} of 20 latents active: beside unit noise a pixel little of an image is worth coding"
    experiment.found("unit", elbo["elbo"], holds=None, why=why)
    head = head_of(experiment, "multilayer", "normal", "large")
    result = experiment.curves("unit-large-multilayer", head, code_reading(trial, "large", rows=4), 10)
    experiment.found("unit-accuracy", result["accuracy"], holds=None, why=f"{in_epochs(epochs)}, one seed")
    panel = Panel(
        "Normal VAE",
        {"test ELBO": Series(list(FLOORS), list(found.values()))},
        "scale floor",
        "nats per image",
        log_x=True,
    )
    experiment.figure("floors", lambda: lines([panel]))


def elbos(experiment: PaperExperiment, trials: dict[str, list[TrainedModel]]) -> None:
    """Bounds, seconds an epoch, and when training has converged."""
    shares = {}
    for name, several in trials.items():
        values = [bounds_step(experiment, f"{name}-{seed}", trial)["test"] for seed, trial in enumerate(several)]
        why = f"KL {values[0]['kl']:.1f} nats, {values[0]['active']} of 20 latents active"
        experiment.found(f"elbo-{name}", [value["elbo"] for value in values], holds=None, why=why)
        seconds = [trial.seconds / len(trial.history) for trial in several]
        experiment.found(f"cost-{name}", seconds, why=f"{experiment.device}, 55,000 images")
        shares[name] = _converged(several[0])
    words = ", ".join(
        f"{WORDS[name]} after {share:.0%} of {in_epochs(len(trials[name][0].history))}"
        for name, share in shares.items()
    )
    schedule = "constant" if experiment.budget == "full" else "one-cycle"
    why = f"validation ELBO within 1 % of its rise from its end, under a {schedule} rate: {words}"
    holds = all(0.3 <= share <= 0.7 for share in shares.values()) if experiment.budget == "full" else None
    experiment.found("converge", list(shares.values()), holds=holds, why=why)


def _converged(trial: TrainedModel) -> float:
    """The share of training after which the validation ELBO stays within 1 % of all that it gains."""
    elbo = [record["validation_elbo"] for record in trial.history]
    close = max(elbo) - 0.01 * (max(elbo) - elbo[0])
    return next(index + 1 for index, value in enumerate(elbo) if value >= close) / len(elbo)


def fill_claims(experiment: PaperExperiment, cells: Cells, progress: str) -> None:
    """Who leads, and what a small training set costs each classifier."""

    def mean(source: str, regime: str, classifier: str) -> float:
        return float(np.mean([result["accuracy"] for result in cells[source, regime, classifier]]))

    leads = {
        (regime, classifier): 100 * (mean("cb", regime, classifier) - mean("normal", regime, classifier))
        for regime in REGIMES
        for classifier in CLASSIFIERS
    }
    words = ", ".join(f"{regime} {classifier} {lead:+.1f}" for (regime, classifier), lead in leads.items())
    holds = min(leads.values()) > 1 and max(leads.values()) < 5
    experiment.found("leads", float(np.mean(list(leads.values()))), holds=holds, why=f"points: {words} ({progress})")
    lost = {
        (source, classifier): 100 * (mean(source, "large", classifier) - mean(source, "small", classifier))
        for source in WORDS
        for classifier in ("simple", "multilayer")
    }
    simple = [lost[source, "simple"] for source in VAES]
    many = [lost[source, "multilayer"] for source in VAES]
    words = ", ".join(f"{WORDS[source]} {value:.1f}" for (source, kind), value in lost.items() if kind == "simple")
    why = f"points lost by the simple CNN from large to small: {words}"
    experiment.found("robust", simple, holds=max(simple) < 1 and max(simple) < lost["original", "simple"], why=why)
    words = ", ".join(f"{WORDS[source]} {value:.1f}" for (source, kind), value in lost.items() if kind == "multilayer")
    holds = min(many) > 3 and min(many) > 2 * max(simple)
    experiment.found("drops", many, holds=holds, why=f"points lost by the multilayer CNN from large to small: {words}")


def _mean_ink(x: Float[Tensor, "N C H W"]) -> float:
    return float(ink(x).double().mean())


def fitted_to_codes(experiment: PaperExperiment, name: str, trial: TrainedModel) -> np.ndarray:
    """Decoder means of codes from a Gaussian fitted to the training images' codes."""

    def measure() -> Arrays:
        codes = encode(trial.vae, trial.data.train)
        return {"samples": decoded(trial.vae, fitted_samples(codes, 2000, seed=0))}

    return experiment.arrays(f"fitted/{name}", {"trial": trial.key}, measure)["samples"]


def _looks(experiment: PaperExperiment, name: str, trial: TrainedModel) -> dict[str, float]:
    """Sharpness, ink and share of binarised pixels of samples, reconstructions and real images."""

    def measure() -> dict[str, float]:
        z = torch.randn(2000, 20, generator=torch.Generator().manual_seed(0))
        drawn = {"samples": decoded(trial.vae, z), "fitted": fitted_to_codes(experiment, name, trial)}
        found = {what: torch.from_numpy(images).float() / 255 for what, images in drawn.items()}
        found |= {"reconstructions": reconstructions(trial), "real": pixels(trial.data.test)}
        scores = {"sharpness": sharpness, "binarised": binary_fraction, "ink": _mean_ink}
        return {f"{what}-{words}": score(x) for what, x in found.items() for words, score in scores.items()}

    return experiment.step(f"looks/{name}", {"trial": trial.key}, measure)


def sharpness_claims(experiment: PaperExperiment, trials: dict[str, list[TrainedModel]]) -> None:
    """How sharp samples and reconstructions are."""
    found = {name: _looks(experiment, name, several[0]) for name, several in trials.items()}
    normal, cb = found["normal"], found["cb"]
    for key, what in (("sharper", "samples"), ("sharper-fitted", "fitted"), ("sharper-rec", "reconstructions")):
        ratio = cb[f"{what}-sharpness"] / normal[f"{what}-sharpness"]
        why = f"CB {cb[f'{what}-sharpness']:.3f}, Normal {normal[f'{what}-sharpness']:.3f}, real images {cb['real-sharpness']:.3f}"
        why += f"; mean pixel CB {cb[f'{what}-ink']:.2f}, Normal {normal[f'{what}-ink']:.2f}, real {cb['real-ink']:.2f}"
        scatter = (
            "; where samples are far darker than images, they lie where no image was coded" if what == "samples" else ""
        )
        experiment.found(key, ratio, holds=ratio > 1.02, why=why + scatter)
    share = cb["samples-binarised"]
    why = f"Normal samples {normal['samples-binarised']:.2f}, real images {cb['real-binarised']:.2f}"
    experiment.found("binarised", share, holds=share > cb["real-binarised"] + 0.05, why=why)
