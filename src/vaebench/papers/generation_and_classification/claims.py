"""Paper B's VAEs, its table of every classifier on every input and training set, and its claims."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import torch

from vaebench.data.images import Dataset, Images, split
from vaebench.evaluation.features import Grid, encode
from vaebench.evaluation.image_statistics import binary_fraction, ink, sharpness
from vaebench.evaluation.panels import Arrays, decoded
from vaebench.evaluation.probes import Head
from vaebench.evaluation.samples import fitted_samples
from vaebench.evaluation.scores import Split
from vaebench.experiments.measurements import bounds_step, pixels, reconstructions
from vaebench.experiments.trained import ProbeInput, TrainedModel
from vaebench.models.likelihoods import ContinuousBernoulliPixels, GaussianPixels, GaussianPixelScale
from vaebench.models.networks import MLP, Conv, Network
from vaebench.models.objectives import Elbo
from vaebench.models.posteriors import SoftplusScale
from vaebench.models.vae import Model
from vaebench.papers.experiment import PaperExperiment
from vaebench.papers.text import format_epochs, format_values
from vaebench.plotting.plots import Panel, Series, lines
from vaebench.training.loop import Training
from vaebench.training.schedules import Adam, Constant, OneCycle

SIGMOID = MLP(hidden=(128,), activation="sigmoid")
NORMAL = Model(latent=20, network=MLP(hidden=(128,)), decoder=SIGMOID, likelihood=GaussianPixelScale(floor=0.01))
CB = Model(
    latent=20,
    network=Conv(filters=(32,), kernel=(3,), stride=(1,), pool=(2,), hidden=(512, 512), dropout=0.1, batch_norm="none"),
    decoder=MLP(hidden=(512, 512), dropout=0.1),
    likelihood=ContinuousBernoulliPixels(),
    posterior=SoftplusScale(),
)
VAES = {"normal": NORMAL, "cb": CB}
OUR_MODEL = Model(latent=64, network=Conv())
OUR_BETA = 0.3
CPU_TRAINING = {"normal": (40, 512, 4e-3), "cb": (15, 256, 2e-3), "own": (5, 512, 2e-2)}
"""Epochs, batch size and maximum learning rate in the cpu budget."""
SHORT_EPOCHS = (1, 3)
"""Epochs of the shorter trainings, which show the progress of the VAEs."""
FLOORS = (0.003, 0.01, 0.03, 0.1)
"""Lower bounds of the scale of the Gaussian likelihood."""
INPUTS = {"original": "original images", "normal": "Normal VAE", "cb": "CB VAE"}
CLASSIFIERS = {"logistic": "logistic regression", "simple": "simple CNN", "multilayer": "multilayer CNN"}
REGIMES = ("large", "small")
"""Training sets: the 60,000 images, or the 10,000."""
Table = dict[tuple[str, str, str], list[dict[str, Any]]]
"""Results of every seed by input, training set and classifier."""


def make_training(experiment: PaperExperiment, name: str, epochs: int = 0) -> Training:
    """Adam at 1e-3 for 200 epochs, gradients clipped to +-2; in cpu a one-cycle schedule and fewer epochs."""
    if experiment.budget == "full":
        return Training(epochs=epochs or 200, batch=128, optimiser=Adam(rate=1e-3), schedule=Constant(), clip_value=2.0)
    cpu_epochs, cpu_batch, rate = CPU_TRAINING[name]
    epochs, batch = experiment.pick((1, 128), (epochs or cpu_epochs, cpu_batch), (0, 0))
    optimiser, schedule = Adam(rate=rate, beta2=0.99), OneCycle(rise=0.2)
    return Training(epochs=epochs, batch=batch, optimiser=optimiser, schedule=schedule, clip_value=2.0)


def train_short(experiment: PaperExperiment, data: Dataset, name: str, epochs: int) -> TrainedModel:
    """Train one of the VAEs for fewer epochs."""
    return experiment.vae(f"short-{name}-{epochs}", data, VAES[name], Elbo(), make_training(experiment, name, epochs))


def _split_images(data: Dataset, regime: str) -> tuple[Images, Images, Images]:
    """Training, validation and test images: *small* trains and validates on the 10,000, and tests on the 60,000."""
    if regime == "large":
        return data.train, data.validation, data.test
    train, validation = split(data.test, 1 / 12, 0)
    labels = torch.cat([data.train.labels, data.validation.labels])
    return train, validation, Images(torch.cat([data.train.pixels, data.validation.pixels]), labels, data.classes)


def _image_input(data: Dataset, regime: str) -> ProbeInput:
    return ProbeInput(f"{data.fingerprint}/{regime}", lambda: Split(*_split_images(data, regime)))


def latent_input(vae: TrainedModel, regime: str, rows: int = 4, sampled: bool = False) -> ProbeInput:
    """Latents as images with ``rows`` rows, standardised by their training set with one scale."""

    def make() -> Split:
        codes = [encode(vae.vae, part) for part in _split_images(vae.data, regime)]
        scaled = [replace(part.standardised_by(codes[0]), sampled=sampled) for part in codes]
        return Split(*(Grid(part, rows) for part in scaled))

    return ProbeInput(f"{vae.key}/{regime}/{rows}/{sampled}", make)


def make_head(experiment: PaperExperiment, classifier: str, source: str, regime: str) -> Head:
    """One of the paper's three classifiers; logistic regression is a linear layer trained on the cross-entropy."""
    images, logistic = source == "original", classifier == "logistic"
    simple = Conv(filters=(32,), kernel=(3,), stride=(1,), padding=(1,), batch_norm="none")
    networks: dict[str, Network] = {
        "logistic": MLP(hidden=()),
        "simple": simple,
        "multilayer": simple.model_copy(update={"pool": (2,), "hidden": (128,)}),
    }
    large, small = (10, 20) if logistic or not images else (3, 8)
    large = 5 if images and classifier == "multilayer" else large
    epochs = large if regime == "large" else small
    return Head(
        name=classifier,
        network=networks[classifier],
        epochs=experiment.pick(2, epochs, 5 * epochs),
        batch=128 if images else 256,
        optimiser=Adam(rate=5e-3 if logistic else 2e-3 if images else 4e-3, beta2=0.99),
        schedule=OneCycle(rise=0.2),
    )


def record_table(experiment: PaperExperiment, data: Dataset, vaes: dict[str, list[TrainedModel]]) -> Table:
    """Record and return the 18 entries of the table, each from every seed."""
    table: Table = {}
    progress = {name: _accuracy_by_epochs(experiment, data, name) for name in VAES}
    for source, regime, classifier in product(INPUTS, REGIMES, CLASSIFIERS):
        if source == "original":
            inputs = [_image_input(data, regime)] * len(experiment.seeds(3))
        else:
            inputs = [latent_input(vae, regime) for vae in vaes[source]]
        head, name = make_head(experiment, classifier, source, regime), f"{source}-{regime}-{classifier}"
        results = [experiment.curves(f"table/{name}-{i}", head, inputs[i], 10, i) for i in experiment.seeds(3)]
        table[source, regime, classifier] = results
        last = results[0]["epochs"][-1]
        explanation = f"training ends at {last['accuracy']:.3f}, validation at {last['validation_accuracy']:.3f}"
        if source != "original":
            final = np.mean([result["accuracy"] for result in table[source, "large", "logistic"]])
            by_epochs = f"{progress[source]}, {final:.3f} after all {len(vaes[source][0].history)}"
            explanation += f"; logistic regression, large, by epochs of the VAE: {by_epochs}"
            explanation += "; our own VAE is in an additional row"
        experiment.record(name, [result["accuracy"] for result in results], explanation)
    return table


def _accuracy_by_epochs(experiment: PaperExperiment, data: Dataset, name: str) -> str:
    """Accuracy of logistic regression after shorter trainings of the VAE, which shows whether more would help."""
    head, texts = make_head(experiment, "logistic", name, "large"), []
    for epochs in SHORT_EPOCHS:
        probe_input = latent_input(train_short(experiment, data, name, epochs), "large")
        accuracy = experiment.curves(f"growth/{name}-{epochs}", head, probe_input, 10)["accuracy"]
        texts.append(f"{accuracy:.3f} after {epochs}")
    return ", ".join(texts)


def record_our_vae(experiment: PaperExperiment, data: Dataset) -> None:
    """Record the same classifiers on a frozen convolutional VAE with more latents and a lower beta."""
    training = make_training(experiment, "own", 80 if experiment.budget == "full" else 0)
    vae = experiment.vae("own", data, OUR_MODEL, Elbo(beta=OUR_BETA), training)
    explanation = "standardised means, as an image of 8x8; the epoch chosen on validation"
    for regime, classifier in product(REGIMES, CLASSIFIERS):
        head = make_head(experiment, classifier, "own", regime)
        result = experiment.curves(f"own/{regime}-{classifier}", head, latent_input(vae, regime, rows=8), 10)
        experiment.record(f"own-{regime}-{classifier}", result["accuracy"], explanation)


def record_variants(experiment: PaperExperiment, vaes: dict[str, list[TrainedModel]]) -> None:
    """Record sampled z instead of means, and latents as a row instead of an image."""
    for source, regime in product(VAES, REGIMES):
        vae = vaes[source][0]
        sampled, row = latent_input(vae, regime, sampled=True), latent_input(vae, regime, rows=1)
        for variant, probe_input, classifier, usual in (
            ("sampled", sampled, "multilayer", "on means"),
            ("row", row, "simple", "as 4x5"),
        ):
            key, head = f"{variant}-{source}-{regime}", make_head(experiment, classifier, source, regime)
            accuracy = experiment.curves(f"variants/{key}", head, probe_input, 10)["accuracy"]
            reproduced = experiment.rows[f"{source}-{regime}-{classifier}"].reproduced
            experiment.record(key, accuracy, f"{usual} {reproduced:.4f}")


def vary_scale(experiment: PaperExperiment, data: Dataset) -> None:
    """Record the Normal VAE's ELBO with several lower bounds of the scale, and with unit scale."""
    epochs, elbos = experiment.pick(1, 6, 50), {}
    training = make_training(experiment, "normal", epochs)
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
    head = make_head(experiment, "multilayer", "normal", "large")
    result = experiment.curves("unit-large-multilayer", head, latent_input(vae, "large"), 10)
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
