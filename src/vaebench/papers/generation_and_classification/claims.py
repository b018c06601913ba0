"""Paper B's table of every classifier on every input and training set, and its claims."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import Any

import numpy as np
import torch

from vaebench.data.images import Dataset
from vaebench.evaluation.features import encode
from vaebench.evaluation.image_statistics import binary_fraction, ink, sharpness
from vaebench.evaluation.panels import Arrays, decoded
from vaebench.evaluation.samples import gaussian_samples
from vaebench.experiments.measurements import bounds_step, pixels, reconstructions
from vaebench.experiments.trained import ProbeInput, TrainedModel
from vaebench.papers.experiment import PaperExperiment
from vaebench.papers.generation_and_classification.networks import (
    CLASSIFIERS,
    FLOORS,
    INPUTS,
    REGIMES,
    SHORT_EPOCHS,
    VAES,
    image_input,
    latent_input,
    make_head,
    train_short,
)
from vaebench.papers.text import format_epochs, format_values
from vaebench.plotting.plots import Panel, Series, lines

Table = dict[tuple[str, str, str], list[dict[str, Any]]]
"""Results of every seed by input, training set and classifier."""


def record_table(experiment: PaperExperiment, data: Dataset, vaes: dict[str, list[TrainedModel]]) -> Table:
    """Record and return the 18 entries of the table, each from every seed."""
    table: Table = {}
    inputs = _inputs(experiment, data, vaes)

    def fit(source: str, regime: str, classifier: str, seed: int) -> dict[str, Any]:
        head, name = make_head(experiment, classifier, source, regime), f"{source}-{regime}-{classifier}"
        return experiment.curves(f"table/{name}-{seed}", head, inputs[source, regime][seed], 10, seed)

    entries = list(product(INPUTS, REGIMES, CLASSIFIERS))
    seeds = experiment.seeds(3)
    experiment.run_tasks(
        {"table/{}-{}-{}-{}".format(*e, seed): partial(fit, *e, seed) for e in entries for seed in seeds}
    )
    progress = _accuracy_by_epochs(experiment, data)
    for source, regime, classifier in entries:
        table[source, regime, classifier] = results = [fit(source, regime, classifier, seed) for seed in seeds]
        last = results[0]["epochs"][-1]
        explanation = f"training ends at {last['accuracy']:.3f}, validation at {last['validation_accuracy']:.3f}"
        if source != "original":
            final = np.mean([result["accuracy"] for result in table[source, "large", "logistic"]])
            by_epochs = f"{progress[source]}, {final:.3f} after all {len(vaes[source][0].history)}"
            explanation += f"; logistic regression, large, by epochs of the VAE: {by_epochs}"
            explanation += "; our own VAE is in an additional row"
        key = f"{source}-{regime}-{classifier}"
        experiment.record(key, [result["accuracy"] for result in results], explanation)
    return table


def _inputs(
    experiment: PaperExperiment, data: Dataset, vaes: dict[str, list[TrainedModel]]
) -> dict[tuple[str, str], list[ProbeInput]]:
    """Input of every seed by source and training set; each is encoded once for all classifiers."""
    seeds = experiment.seeds(3)
    return {
        (source, regime): [image_input(data, regime)] * len(seeds)
        if source == "original"
        else [latent_input(vae, regime) for vae in vaes[source]]
        for source, regime in product(INPUTS, REGIMES)
    }


def _accuracy_by_epochs(experiment: PaperExperiment, data: Dataset) -> dict[str, str]:
    """Accuracy of logistic regression after shorter trainings of each VAE, which shows whether more would help."""

    def fit(name: str, epochs: int) -> float:
        head, vae = make_head(experiment, "logistic", name, "large"), train_short(experiment, data, name, epochs)
        return float(experiment.curves(f"growth/{name}-{epochs}", head, latent_input(vae, "large"), 10)["accuracy"])

    experiment.run_tasks({"growth/{}-{}".format(*of): partial(fit, *of) for of in product(VAES, SHORT_EPOCHS)})
    return {name: ", ".join(f"{fit(name, n):.3f} after {n}" for n in SHORT_EPOCHS) for name in VAES}


def record_our_vae(experiment: PaperExperiment, vae: TrainedModel) -> None:
    """Record the same classifiers on our frozen VAE."""
    inputs = {regime: latent_input(vae, regime, rows=8) for regime in REGIMES}

    def fit(regime: str, classifier: str) -> float:
        head = make_head(experiment, classifier, "own", regime)
        return float(experiment.curves(f"own/{regime}-{classifier}", head, inputs[regime], 10)["accuracy"])

    entries = list(product(REGIMES, CLASSIFIERS))
    experiment.run_tasks({"own/{}-{}".format(*of): partial(fit, *of) for of in entries})
    explanation = "standardised means, as an image of 8x8; the epoch chosen on validation"
    for regime, classifier in entries:
        experiment.record(f"own-{regime}-{classifier}", fit(regime, classifier), explanation)


def record_variants(experiment: PaperExperiment, vaes: dict[str, list[TrainedModel]]) -> None:
    """Record sampled z instead of means, and latents as a row instead of an image."""
    variants = {"sampled": ("multilayer", "on means"), "row": ("simple", "as 4x5")}

    def fit(source: str, regime: str, variant: str) -> float:
        sampled = variant == "sampled"
        probe_input = latent_input(vaes[source][0], regime, rows=4 if sampled else 1, sampled=sampled)
        head = make_head(experiment, variants[variant][0], source, regime)
        return float(experiment.curves(f"variants/{variant}-{source}-{regime}", head, probe_input, 10)["accuracy"])

    entries = list(product(VAES, REGIMES, variants))
    experiment.run_tasks({"variants/{}-{}-{}".format(*of): partial(fit, *of) for of in entries})
    for source, regime, variant in entries:
        classifier, usual = variants[variant]
        reproduced = experiment.rows[f"{source}-{regime}-{classifier}"].reproduced
        experiment.record(f"{variant}-{source}-{regime}", fit(source, regime, variant), f"{usual} {reproduced:.4f}")


def vary_scale(experiment: PaperExperiment, vaes: dict[str, TrainedModel]) -> None:
    """Record the ELBO of the VAEs of :func:`train_scales`."""
    experiment.run_tasks({f"bounds/{name}": partial(bounds_step, experiment, name, vae) for name, vae in vaes.items()})
    epochs, elbos = len(vaes["unit"].history), {}
    for floor in FLOORS:
        name = f"floor-{floor:g}"
        elbos[floor] = bounds_step(experiment, name, vaes[name])["test"]["elbo"]
        maximum = 784 * (-np.log(floor) - 0.5 * np.log(2 * np.pi))
        explanation = f"{format_epochs(epochs)}; the floor bounds the log density of an image at {maximum:,.0f} nats"
        experiment.record(name, elbos[floor], explanation)
    vae = vaes["unit"]
    bounds = bounds_step(experiment, "unit", vae)["test"]
    explanation = f"KL {bounds['kl']:.1f} nats, {bounds['active']} of 20 latents active: with unit noise per pixel, little of an image is worth encoding"
    experiment.record("unit", bounds["elbo"], explanation)
    head = make_head(experiment, "multilayer", "normal", "large")
    result = experiment.curves("unit-large-multilayer", head, latent_input(vae, "large"), 10)
    experiment.record("unit-accuracy", result["accuracy"], f"{format_epochs(epochs)}, one seed")
    curve = Series(list(FLOORS), list(elbos.values()))
    panel = Panel("Normal VAE", {"test ELBO": curve}, "scale floor", "nats per image", log_x=True)
    experiment.figure("floors", lambda: lines([panel]))


def record_elbos(experiment: PaperExperiment, vaes: dict[str, list[TrainedModel]]) -> None:
    """Record ELBOs, seconds per epoch, and when training has converged."""
    fractions, texts = [], []
    each = {f"{name}-{seed}": vae for name, seeds in vaes.items() for seed, vae in enumerate(seeds)}
    experiment.run_tasks({f"bounds/{name}": partial(bounds_step, experiment, name, vae) for name, vae in each.items()})
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
        {title: 100 * (mean[name, "large", each] - mean[name, "small", each]) for name, title in INPUTS.items()}
        for each in ("simple", "multilayer")
    )
    (on_images, *on_latents), (_, *lost) = simple.values(), multilayer.values()
    agrees = max(on_latents) < min(1, on_images)
    explanation = f"points lost by the simple CNN from large to small: {format_values(simple, '.1f', ' ')}"
    experiment.record("robust", on_latents, explanation, agrees=agrees)
    agrees = min(lost) > max(3, 2 * max(on_latents))
    explanation = f"points lost by the multilayer CNN from large to small: {format_values(multilayer, '.1f', ' ')}"
    experiment.record("drops", lost, explanation, agrees=agrees)


def _last_gain(vae: TrainedModel) -> str:
    elbo = [record["validation_elbo"] for record in vae.history]
    gain = elbo[-1] - elbo[-2] if len(elbo) > 1 else float("nan")
    return f"{format_epochs(len(elbo))} of the VAE, which gained {gain:.1f} nats in the last"


def fitted_to_latents(experiment: PaperExperiment, name: str, vae: TrainedModel) -> np.ndarray:
    """Decoder means of samples from a Gaussian fitted to the latents of the training images."""

    def measure() -> Arrays:
        codes = encode(vae.vae, vae.data.train)
        return {"samples": decoded(vae.vae, gaussian_samples(codes, 2000, seed=0))}

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
    measures = {f"looks/{name}": partial(_image_statistics, experiment, name, vaes[name][0]) for name in VAES}
    experiment.run_tasks(measures)
    normal, cb = (measure() for measure in measures.values())
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
