"""Claims of paper B: ELBOs and the scale of the likelihood, accuracies compared, sharpness of images."""

from __future__ import annotations

import numpy as np
import torch

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
from vaebench.papers.generation_and_classification import table as paper_table
from vaebench.papers.generation_and_classification.table import INPUTS, NORMAL, Table
from vaebench.papers.text import format_epochs, format_values
from vaebench.plotting.plots import Panel, Series, lines

FLOORS = (0.003, 0.01, 0.03, 0.1)
"""Lower bounds of the scale of the Gaussian likelihood."""


def vary_scale(experiment: PaperExperiment, data: Dataset) -> None:
    """Record the Normal VAE's ELBO with several lower bounds of the scale, and with unit scale."""
    epochs, elbos = experiment.pick(1, 6, 50), {}
    training = paper_table.make_training(experiment, "normal", epochs)
    for floor in FLOORS:
        model = NORMAL.model_copy(update={"likelihood": GaussianPixelScale(floor=floor)})
        vae = experiment.vae(f"floor-{floor:g}", data, model, Elbo(), training)
        elbos[floor] = bounds_step(experiment, f"floor-{floor:g}", vae)["test"]["elbo"]
        maximum = 784 * (-np.log(floor) - 0.5 * np.log(2 * np.pi))
        explanation = f"{format_epochs(epochs)}; the floor bounds the log density of an image at {maximum:,.0f} nats"
        experiment.record(f"floor-{floor:g}", elbos[floor], explanation)
    model = NORMAL.model_copy(update={"likelihood": GaussianPixels(scale=1.0)})
    vae = experiment.vae("unit", data, model, Elbo(), training)
    bounds = bounds_step(experiment, "unit", vae)["test"]
    explanation = f"KL {bounds['kl']:.1f} nats, {bounds['active']} of 20 latents active: with unit noise per pixel, little of an image is worth encoding"
    experiment.record("unit", bounds["elbo"], explanation)
    head = paper_table.make_head(experiment, "multilayer", "normal", "large")
    result = experiment.curves("unit-large-multilayer", head, paper_table.latent_input(vae, "large"), 10)
    experiment.record("unit-accuracy", result["accuracy"], f"{format_epochs(epochs)}, one seed")
    curve = Series(list(FLOORS), list(elbos.values()))
    panel = Panel("Normal VAE", {"test ELBO": curve}, "scale floor", "nats per image", log_x=True)
    experiment.figure("floors", lambda: lines([panel]))


def record_elbos(experiment: PaperExperiment, vaes: dict[str, list[TrainedModel]]) -> None:
    """Record ELBOs, seconds per epoch, and when training has converged."""
    fractions, texts = [], []
    for name, seeds in vaes.items():
        values = [bounds_step(experiment, f"{name}-{seed}", vae)["test"] for seed, vae in enumerate(seeds)]
        explanation = f"KL {values[0]['kl']:.1f} nats, {values[0]['active']} of 20 latents active"
        experiment.record(f"elbo-{name}", [value["elbo"] for value in values], explanation)
        seconds = [vae.seconds / len(vae.history) for vae in seeds]
        experiment.record(f"cost-{name}", seconds, f"{experiment.device}, 55,000 images")
        fractions.append(_converged(seeds[0]))
        texts.append(f"{INPUTS[name]} after {fractions[-1]:.0%} of {format_epochs(len(seeds[0].history))}")
    full, schedule = experiment.budget == "full", experiment.pick("one-cycle", "one-cycle", "constant")
    explanation = f"validation ELBO within 1 % of its total gain, with a {schedule} learning rate: {', '.join(texts)}"
    agrees = all(0.3 <= fraction <= 0.7 for fraction in fractions) if full else None
    experiment.record("converge", fractions, explanation, agrees=agrees)


def _converged(vae: TrainedModel) -> float:
    """Fraction of training after which the validation ELBO has reached its maximum up to 1 % of its total gain."""
    elbo = [record["validation_elbo"] for record in vae.history]
    threshold = max(elbo) - 0.01 * (max(elbo) - elbo[0])
    return next(index + 1 for index, value in enumerate(elbo) if value >= threshold) / len(elbo)


def record_claims(experiment: PaperExperiment, table: Table, vaes: dict[str, list[TrainedModel]]) -> None:
    """Record which VAE gives the higher accuracy, and the accuracy lost with a small training set."""
    mean = {key: float(np.mean([result["accuracy"] for result in results])) for key, results in table.items()}
    advantages = {
        f"{regime} {classifier}": 100 * (accuracy - mean["normal", regime, classifier])
        for (source, regime, classifier), accuracy in mean.items()
        if source == "cb"
    }
    progress = ", ".join(f"{INPUTS[name]}: {_last_gain(seeds[0])}" for name, seeds in vaes.items())
    explanation = f"points: {format_values(advantages, '+.1f', ' ')} ({progress})"
    agrees = min(advantages.values()) > 1 and max(advantages.values()) < 5
    experiment.record("leads", float(np.mean(list(advantages.values()))), explanation, agrees=agrees)
    simple, multilayer = (
        {name: 100 * (mean[name, "large", classifier] - mean[name, "small", classifier]) for name in INPUTS}
        for classifier in ("simple", "multilayer")
    )
    on_latents = [simple["normal"], simple["cb"]]
    agrees = max(on_latents) < min(1, simple["original"])
    explanation = f"points lost by the simple CNN from large to small: {_format_inputs(simple)}"
    experiment.record("robust", on_latents, explanation, agrees=agrees)
    lost = [multilayer["normal"], multilayer["cb"]]
    agrees = min(lost) > max(3, 2 * max(on_latents))
    explanation = f"points lost by the multilayer CNN from large to small: {_format_inputs(multilayer)}"
    experiment.record("drops", lost, explanation, agrees=agrees)


def _format_inputs(values: dict[str, float]) -> str:
    return format_values({INPUTS[name]: value for name, value in values.items()}, ".1f", " ")


def _last_gain(vae: TrainedModel) -> str:
    elbo = [record["validation_elbo"] for record in vae.history]
    gain = elbo[-1] - elbo[-2] if len(elbo) > 1 else float("nan")
    return f"{format_epochs(len(elbo))} of the VAE, which gained {gain:.1f} nats in the last"


def fitted_to_latents(experiment: PaperExperiment, name: str, vae: TrainedModel) -> np.ndarray:
    """Decoder means of samples from a Gaussian fitted to the latents of the training images."""

    def measure() -> Arrays:
        codes = encode(vae.vae, vae.data.train)
        return {"samples": decoded(vae.vae, fitted_samples(codes, 2000, seed=0))}

    return experiment.arrays(f"fitted/{name}", {"trial": vae.key}, measure)["samples"]


def _image_statistics(experiment: PaperExperiment, name: str, vae: TrainedModel) -> dict[str, float]:
    """Sharpness, mean ink and fraction of binarised pixels of samples, reconstructions and real images."""

    def measure() -> dict[str, float]:
        z = torch.randn(2000, 20, generator=torch.Generator().manual_seed(0))
        samples = {"samples": decoded(vae.vae, z), "fitted": fitted_to_latents(experiment, name, vae)}
        images = {kind: torch.from_numpy(values).float() / 255 for kind, values in samples.items()}
        images |= {"reconstructions": reconstructions(vae), "real": pixels(vae.data.test)}
        scores = {"sharpness": sharpness, "binarised": binary_fraction, "ink": lambda x: float(ink(x).double().mean())}
        return {f"{kind}-{statistic}": score(x) for kind, x in images.items() for statistic, score in scores.items()}

    return experiment.step(f"looks/{name}", {"trial": vae.key}, measure)


def record_sharpness(experiment: PaperExperiment, vaes: dict[str, list[TrainedModel]]) -> None:
    """Record how sharp samples and reconstructions are."""
    normal, cb = (_image_statistics(experiment, name, vaes[name][0]) for name in ("normal", "cb"))
    for key, kind in (("sharper", "samples"), ("sharper-fitted", "fitted"), ("sharper-rec", "reconstructions")):
        sharp, dark = f"{kind}-sharpness", f"{kind}-ink"
        explanation = (
            f"CB {cb[sharp]:.3f}, Normal {normal[sharp]:.3f}, real images {cb['real-sharpness']:.3f}; "
            f"mean pixel CB {cb[dark]:.2f}, Normal {normal[dark]:.2f}, real {cb['real-ink']:.2f}"
        )
        if kind == "samples":
            explanation += "; samples far darker than images come from latents to which no image is encoded"
        ratio = cb[sharp] / normal[sharp]
        experiment.record(key, ratio, explanation, agrees=ratio > 1.02)
    fraction, real = cb["samples-binarised"], cb["real-binarised"]
    explanation = f"Normal samples {normal['samples-binarised']:.2f}, real images {real:.2f}"
    experiment.record("binarised", fraction, explanation, agrees=fraction > real + 0.05)
