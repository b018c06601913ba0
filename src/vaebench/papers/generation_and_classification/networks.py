"""Paper B's VAEs, the inputs of its classifiers, and the classifiers."""

from __future__ import annotations

from dataclasses import replace

import torch

from vaebench.data.draws import split
from vaebench.data.images import Dataset, Images
from vaebench.evaluation.features import Grid, encode
from vaebench.evaluation.probes import Head
from vaebench.evaluation.scores import Split
from vaebench.experiments.trained import ProbeInput, TrainedModel
from vaebench.models.likelihoods import ContinuousBernoulliPixels, GaussianPixels, GaussianPixelScale
from vaebench.models.networks import MLP, Conv, Network
from vaebench.models.objectives import Elbo
from vaebench.models.posteriors import SoftplusScale
from vaebench.models.vae import Model
from vaebench.papers.experiment import PaperExperiment
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


def make_training(experiment: PaperExperiment, name: str, epochs: int = 0) -> Training:
    """Adam at 1e-3 for 200 epochs, gradients clipped to +-2; in cpu a one-cycle schedule and fewer epochs."""
    if experiment.budget == "full":
        return Training(epochs=epochs or 200, batch=128, optimiser=Adam(rate=1e-3), schedule=Constant(), clip_value=2.0)
    cpu_epochs, cpu_batch, rate = CPU_TRAINING[name]
    epochs, batch = experiment.pick((1, 128), (epochs or cpu_epochs, cpu_batch), (0, 0))
    optimiser, schedule = Adam(rate=rate, beta2=0.99), OneCycle(rise=0.2)
    return Training(epochs=epochs, batch=batch, optimiser=optimiser, schedule=schedule, clip_value=2.0)


def train_our_vae(experiment: PaperExperiment, data: Dataset) -> TrainedModel:
    """Train a convolutional VAE with more latents and a lower beta."""
    training = make_training(experiment, "own", 80 if experiment.budget == "full" else 0)
    return experiment.vae("own", data, OUR_MODEL, Elbo(beta=OUR_BETA), training)


def train_scales(experiment: PaperExperiment, data: Dataset) -> dict[str, TrainedModel]:
    """Train the Normal VAE with several lower bounds of the scale, and with unit scale."""
    training = make_training(experiment, "normal", experiment.pick(1, 6, 50))
    likelihoods = {f"floor-{floor:g}": GaussianPixelScale(floor=floor) for floor in FLOORS}
    models = {name: NORMAL.model_copy(update={"likelihood": each}) for name, each in likelihoods.items()}
    models["unit"] = NORMAL.model_copy(update={"likelihood": GaussianPixels(scale=1.0)})
    return {name: experiment.vae(name, data, model, Elbo(), training) for name, model in models.items()}


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


def image_input(data: Dataset, regime: str) -> ProbeInput:
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
