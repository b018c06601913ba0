"""Paper B's table: every classifier on every input in both regimes, and our own rows beside it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from vaebench.data.images import Dataset, Images, split
from vaebench.evaluation.features import Grid, encode
from vaebench.evaluation.probes import Head
from vaebench.evaluation.scores import Split
from vaebench.experiments.trained import ProbeInput, TrainedModel
from vaebench.models.networks import MLP, Conv, Network
from vaebench.models.objectives import Elbo
from vaebench.papers.experiment import PaperExperiment
from vaebench.papers.generation_and_classification.reported import CLASSIFIERS, OWN, OWN_BETA, REGIMES, TABLE, VAES
from vaebench.papers.paper import in_epochs
from vaebench.training.loop import Training
from vaebench.training.schedules import Adam, Constant, OneCycle

SHORT = (1, 3)
"""Epochs of the trainings that show what there was on the way."""


def training_of(experiment: PaperExperiment, name: str, epochs: int = 0) -> Training:
    """Adam at 1e-3 for 200 epochs, gradients within +-2; in cpu a one-cycle rate and fewer epochs."""
    if experiment.budget == "full":
        return Training(epochs=epochs or 200, batch=128, optimiser=Adam(rate=1e-3), schedule=Constant(), clip_value=2.0)
    long = {"normal": 40, "cb": 15, "own": 5}[name]
    rate = {"normal": 4e-3, "cb": 2e-3, "own": 2e-2}[name]
    return Training(
        epochs=experiment.pick(1, epochs or long, 0),
        batch=experiment.pick(128, 256 if name == "cb" else 512, 0),
        optimiser=Adam(rate=rate, beta2=0.99),
        schedule=OneCycle(rise=0.2),
        clip_value=2.0,
    )


def parts_of(data: Dataset, regime: str) -> tuple[Images, Images, Images]:
    """Training, validation and test images: *small* trains and validates inside the 10,000, and tests on the 60,000."""
    if regime == "large":
        return data.train, data.validation, data.test
    train, validation = split(data.test, 1 / 12, 0)
    labels = torch.cat([data.train.labels, data.validation.labels])
    return train, validation, Images(torch.cat([data.train.pixels, data.validation.pixels]), labels, data.classes)


def image_reading(experiment: PaperExperiment, data: Dataset, regime: str) -> ProbeInput:
    """The images themselves."""
    return ProbeInput(f"{experiment.fingerprint(data)}/{regime}", lambda: Split(*parts_of(data, regime)))


def code_reading(trial: TrainedModel, regime: str, rows: int, sampled: bool = False) -> ProbeInput:
    """The trial's codes, standardised by their training part with one scale, as images of so many rows."""

    def make() -> Split:
        parts = [encode(trial.vae, part) for part in parts_of(trial.data, regime)]
        scaled = [replace(part.standardised_by(parts[0]), sampled=sampled) for part in parts]
        return Split(*(Grid(part, rows) for part in scaled))

    return ProbeInput(f"{trial.key}/{regime}/{rows}/{sampled}", make)


def head_of(experiment: PaperExperiment, classifier: str, source: str, regime: str, pool: bool = True) -> Head:
    """One of the paper's three classifiers; logistic regression is a linear layer trained by its cross-entropy."""
    images = source == "original"
    convolution: dict[str, Any] = {
        "filters": (32,),
        "kernel": (3,),
        "stride": (1,),
        "padding": (1,),
        "batch_norm": "none",
    }
    networks: dict[str, Network] = {
        "logistic": MLP(hidden=()),
        "simple": Conv(**convolution),
        "multilayer": Conv(**convolution, pool=(2 if pool else 1,), hidden=(128,)),
    }
    many, few = (10, 20) if classifier == "logistic" or not images else (3, 8)
    many = 5 if images and classifier == "multilayer" else many
    epochs = many if regime == "large" else few
    rate = 5e-3 if classifier == "logistic" else 2e-3 if images else 4e-3
    return Head(
        name=classifier,
        network=networks[classifier],
        epochs=experiment.pick(2, epochs, 5 * epochs),
        batch=128 if images else 256,
        optimiser=Adam(rate=rate, beta2=0.99),
        schedule=OneCycle(rise=0.2),
    )


Cells = dict[tuple[str, str, str], list[dict[str, Any]]]


def fill_table(experiment: PaperExperiment, data: Dataset, trials: dict[str, list[TrainedModel]]) -> Cells:
    """All 18 cells, each from every seed."""
    cells: Cells = {}
    growth = {name: _growth(experiment, data, name) for name in VAES}
    for source, regime in TABLE:
        for classifier in CLASSIFIERS:
            head, found = head_of(experiment, classifier, source, regime), []
            for seed in experiment.seeds(3):
                reading = (
                    image_reading(experiment, data, regime)
                    if source == "original"
                    else code_reading(trials[source][seed], regime, rows=4)
                )
                found.append(experiment.curves(f"table/{source}-{regime}-{classifier}-{seed}", head, reading, 10, seed))
            cells[source, regime, classifier] = found
            values = [result["accuracy"] for result in found]
            last = found[0]["epochs"][-1]
            why = f"training ends at {last['accuracy']:.3f}, validation at {last['validation_accuracy']:.3f}"
            if source != "original":
                so_far = np.mean([result["accuracy"] for result in cells[source, "large", "logistic"]])
                grown = f"{growth[source]}, {so_far:.3f} after all {len(trials[source][0].history)}"
                why += f"; logistic regression, large, by epochs of the VAE: {grown}; ours is in a row below"
            experiment.found(f"{source}-{regime}-{classifier}", values, why=why)
    return cells


def progress_of(trial: TrainedModel) -> str:
    """How far the VAE's training was from its end."""
    elbo = [record["validation_elbo"] for record in trial.history]
    gain = elbo[-1] - elbo[-2] if len(elbo) > 1 else float("nan")
    return f"{in_epochs(len(elbo))} of the VAE, which gained {gain:.1f} nats in the last"


def _growth(experiment: PaperExperiment, data: Dataset, name: str) -> str:
    """What logistic regression reads from shorter trainings of the VAE: whether more epochs would help."""
    head, found = head_of(experiment, "logistic", name, "large"), []
    for epochs in SHORT:
        reading = code_reading(short_trial(experiment, data, name, epochs), "large", rows=4)
        accuracy = experiment.curves(f"growth/{name}-{epochs}", head, reading, 10)["accuracy"]
        found.append(f"{accuracy:.3f} after {epochs}")
    return ", ".join(found)


def own(experiment: PaperExperiment, data: Dataset) -> None:
    """A frozen convolutional VAE with more latents and a lower beta, read by the same kinds of classifier."""
    trial = experiment.vae(
        "own", data, OWN, Elbo(beta=OWN_BETA), training_of(experiment, "own", 80 if experiment.budget == "full" else 0)
    )
    for regime in REGIMES:
        for classifier in CLASSIFIERS:
            reading = code_reading(trial, regime, rows=8)
            head = head_of(experiment, classifier, "own", regime)
            found = experiment.curves(f"own/{regime}-{classifier}", head, reading, 10)
            why = "standardised means, the code as an image of 8x8; the epoch chosen on validation"
            experiment.found(f"own-{regime}-{classifier}", found["accuracy"], why=why)


def variants(experiment: PaperExperiment, trials: dict[str, list[TrainedModel]]) -> None:
    """Sampled z instead of means, and the code as a row."""
    for source in VAES:
        for regime in REGIMES:
            means = experiment.findings.rows[f"{source}-{regime}-multilayer"].found
            reading = code_reading(trials[source][0], regime, rows=4, sampled=True)
            head = head_of(experiment, "multilayer", source, regime)
            found = experiment.curves(f"variants/sampled-{source}-{regime}", head, reading, 10)
            experiment.found(f"sampled-{source}-{regime}", found["accuracy"], holds=None, why=f"on means {means:.4f}")
            grid = experiment.findings.rows[f"{source}-{regime}-simple"].found
            reading = code_reading(trials[source][0], regime, rows=1)
            head = head_of(experiment, "simple", source, regime, pool=False)
            found = experiment.curves(f"variants/row-{source}-{regime}", head, reading, 10)
            experiment.found(f"row-{source}-{regime}", found["accuracy"], holds=None, why=f"as 4x5 {grid:.4f}")


def short_trial(experiment: PaperExperiment, data: Dataset, name: str, epochs: int) -> TrainedModel:
    """A shorter training of one of the VAEs."""
    return experiment.vae(f"short-{name}-{epochs}", data, VAES[name], Elbo(), training_of(experiment, name, epochs))
