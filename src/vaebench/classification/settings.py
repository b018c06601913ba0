"""Settings of a classification by the shape and number of its images, and an estimate of its run time."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch

from vaebench.classification.cross_validation import FOLDS
from vaebench.core.frozen import Frozen
from vaebench.data.augment import GENTLE, Augmentation
from vaebench.data.images import Images, Source
from vaebench.experiments.info import Budget
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


@dataclass(frozen=True)
class ClassificationInfo:
    """Description of a classification for :class:`vaebench.experiments.experiment.Experiment`."""

    minutes: Mapping[Budget, float | int]
    title_in_short: str = "classify"
    captions: Mapping[str, str] = field(default_factory=dict)


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


class TimeEstimate(NamedTuple):
    """Seconds that the parts of a classification take in one process."""

    vae: float
    """The training of the VAE."""
    fits: Mapping[str, float]
    """One fit of each method that trains a network."""
    rest: float
    """Classifying, encoding and outlier scores of all images."""

    @property
    def seconds_of_folds(self) -> float:
        """Seconds of all fits of a cross-validation."""
        return FOLDS * sum(self.fits.values())

    def minutes(self, cross_validated: bool, workers: int = 1) -> float:
        """Minutes of a whole classification whose cross-validation is shared by so many workers."""
        if cross_validated:
            fits = self.seconds_of_folds / workers + sum(self.fits.values())
        else:
            fits = self.fits["self-trained"]
        return (self.vae + fits + self.rest) / 60


def estimate_time(settings: Settings, images: Images, classes: int, compute: Compute) -> TimeEstimate:
    """Estimate the run time by timing a few steps of each training."""
    training, method = settings.training, settings.semi_supervised
    model, batch = settings.model.build(images.shape), min(method.batch, len(images))
    vae_step = _seconds_per_step(model, settings.objective, images, training.batch, training.optimiser, compute)
    network = ClassifyingVAE(model, classes)
    network_step = _seconds_per_step(network, method.objective, images, batch, method.optimiser, compute)
    steps = {"self-trained": float(sum(method.rounds)), "supervised": settings.supervised.steps / 2}
    return TimeEstimate(
        training.epochs * math.ceil(len(images) / training.batch) * vae_step,
        {name: count * network_step for name, count in steps.items()},
        SECONDS_PER_IMAGE * len(images),
    )


def _seconds_per_step(
    model: torch.nn.Module, objective: Objective, images: Images, batch: int, optimiser: AnyOptimiser, compute: Compute
) -> float:
    sample: Source = images.take(torch.arange(min(len(images), TIMED_STEPS * batch)))
    training = Training(epochs=1, batch=batch, optimiser=optimiser)
    train(model, objective, sample, training, compute=compute)  # warm-up
    start = time.monotonic()
    train(model, objective, sample, training, compute=compute)
    return (time.monotonic() - start) / math.ceil(len(sample) / batch)
