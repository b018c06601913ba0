"""Settings of a classification by the shape and number of its images, and an estimate of its run time."""

from __future__ import annotations

import math
import time

import torch

from vaebench.classification.methods import FOLDS
from vaebench.core.frozen import Frozen
from vaebench.data.augment import GENTLE, Augmentation
from vaebench.data.images import Images, Source
from vaebench.models.classifying_vae import ClassifyingVAE, SelfTrainingLoss
from vaebench.models.loss import Objective
from vaebench.models.networks import Conv, Shape
from vaebench.models.objectives import Contrastive
from vaebench.models.vae import Model
from vaebench.semi_supervised.pseudo_labels import NetworkPseudoLabels
from vaebench.semi_supervised.self_training import SelfTraining, SupervisedTraining
from vaebench.training.compute import Compute
from vaebench.training.loop import Training, train
from vaebench.training.schedules import Adam, AnyOptimiser, Muon

MIN_PAIRS, MAX_PAIRS = 150_000, 1_500_000
"""Bounds on the pairs of an image and its augmented copy that the VAE is trained on; the upper one is approximate."""
EPOCHS = 10
"""Epochs of the VAE between the bounds."""
LARGE = 40
"""Side in pixels above which the network has one more layer."""
TIMED_STEPS = 4
SECONDS_PER_IMAGE = 0.001
"""Time for classifying, encoding, outlier scores and writing; a million of 28 x 28 pixels took 0.0007 per image
(LOG.md, 2026-11-28)."""


class Settings(Frozen):
    """Everything except images and labels that decides the numbers of a classification."""

    model: Model
    objective: Contrastive
    training: Training
    semi_supervised: SelfTraining
    supervised: SupervisedTraining
    seed: int = 0


def settings_for(shape: Shape, images: int, labels: int, augmentation: Augmentation = GENTLE) -> Settings:
    """Return the settings for a number of images of this shape and a number of labels.

    Augmentation is prior knowledge; for unknown images only small rotations and shifts are assumed to keep the class.
    """
    channels, *sides = shape
    batch = min(256, max(16, images // 4))
    large = max(sides) > LARGE
    if channels == 1 and not large:
        model = Model(latent=32)
    else:
        model = Model(latent=64, network=Conv(filters=(32, 64, 128, 128) if large else (32, 64, 128), stride=(2,)))
    optimiser = Adam(rate=7e-3 if batch == 256 else 3e-3, beta2=0.99)
    return Settings(
        model=model,
        objective=Contrastive(weight=30.0, augmentation=augmentation),
        training=Training(epochs=epochs_for(images), batch=batch, optimiser=optimiser),
        semi_supervised=SelfTraining(
            rounds=(200, 200),
            pseudo_labeller=NetworkPseudoLabels(),
            objective=SelfTrainingLoss(strong=augmentation, generative=0.001),
            optimiser=Muon(rate=0.03),
        ),
        supervised=SupervisedTraining(strong=augmentation, steps=min(3000, max(400, 10 * labels // 128))),  # 10 epochs
    )


def epochs_for(images: int) -> int:
    """Epochs of the VAE: from 400 for few images down to one for millions."""
    return min(400, max(math.ceil(MIN_PAIRS / images), min(EPOCHS, math.ceil(MAX_PAIRS / images))))


def estimate_minutes(
    settings: Settings, images: Images, classes: int, compute: Compute, cross_validated: bool
) -> float:
    """Estimate the run time in minutes by timing a few steps of each training."""
    training, method = settings.training, settings.semi_supervised
    model, batch = settings.model.build(images.shape), min(method.batch, len(images))
    vae_step = _seconds_per_step(model, settings.objective, images, training.batch, training.optimiser, compute)
    network = ClassifyingVAE(model, classes)
    network_step = _seconds_per_step(network, method.objective, images, batch, method.optimiser, compute)
    fits = FOLDS + 1 if cross_validated else 1
    steps = sum(method.rounds) + (settings.supervised.steps / 2 if cross_validated else 0.0)
    seconds = training.epochs * math.ceil(len(images) / training.batch) * vae_step + fits * steps * network_step
    return (seconds + SECONDS_PER_IMAGE * len(images)) / 60


def _seconds_per_step(
    model: torch.nn.Module, objective: Objective, images: Images, batch: int, optimiser: AnyOptimiser, compute: Compute
) -> float:
    sample: Source = images.take(torch.arange(min(len(images), TIMED_STEPS * batch)))
    training = Training(epochs=1, batch=batch, optimiser=optimiser)
    train(model, objective, sample, training, compute=compute)  # warm-up
    start = time.monotonic()
    train(model, objective, sample, training, compute=compute)
    return (time.monotonic() - start) / math.ceil(len(sample) / batch)
