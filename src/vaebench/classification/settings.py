"""Settings: what is trained for images of one shape and number, and how long it will take here."""

from __future__ import annotations

import math
import time

import torch

from vaebench.classification.selection import FOLDS
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

PAIRS, MOST_PAIRS = 150_000, 1_500_000
"""Images that the VAE sees, each beside its augmented self: at least so many, and not many more than so many."""
EPOCHS = 10
"""Of the VAE where neither bound is met."""
PASSES = 10
"""Of the supervised network through its labelled images, where these are many."""
LARGE = 40
"""Pixels of a side from which on the network has one more layer."""
TRIED_STEPS = 4
SECONDS_AN_IMAGE = 0.001
"""For classifying, encoding, comparing and writing, beside the trainings; a million of 28 x 28 pixels took 0.0007
(LOG.md, 2026-11-28)."""


class Settings(Frozen):
    """Everything that decides a classification's numbers, but for images and labels."""

    model: Model
    objective: Contrastive
    training: Training
    semi_supervised: SelfTraining
    supervised: SupervisedTraining
    seed: int = 0

    def steps(self, images: int) -> tuple[int, int, int]:
        """Steps of the VAE, of one self-training, of one supervised training."""
        return (
            self.training.epochs * math.ceil(images / self.training.batch),
            sum(self.semi_supervised.rounds),
            self.supervised.steps,
        )


def settings_for(shape: Shape, images: int, labels: int, augmentation: Augmentation = GENTLE) -> Settings:
    """The settings for so many images of this shape, so many of them labelled.

    What images may undergo is prior knowledge: of images that nobody has seen, only small turns and shifts are assumed.
    """
    channels, *sides = shape
    batch = min(256, max(16, images // 4))
    if channels == 1 and max(sides) <= LARGE:
        model = Model(latent=32)
    else:
        deep = max(sides) > LARGE
        model = Model(latent=64, network=Conv(filters=(32, 64, 128, 128) if deep else (32, 64, 128), stride=(2,)))
    return Settings(
        model=model,
        objective=Contrastive(weight=30.0, augmentation=augmentation),
        training=Training(
            epochs=epochs_for(images),
            batch=batch,
            optimiser=Adam(rate=7e-3 if batch == 256 else 3e-3, beta2=0.99),
        ),
        semi_supervised=SelfTraining(
            rounds=(200, 200),
            pseudo_labeller=NetworkPseudoLabels(),
            objective=SelfTrainingLoss(strong=augmentation, generative=0.001),
            optimiser=Muon(rate=0.03),
        ),
        supervised=SupervisedTraining(strong=augmentation, steps=min(3000, max(400, PASSES * labels // 128))),
    )


def epochs_for(images: int) -> int:
    """Epochs of the VAE: 400 of the fewest images, one of the most."""
    return min(400, max(math.ceil(PAIRS / images), min(EPOCHS, math.ceil(MOST_PAIRS / images))))


def minutes(settings: Settings, images: Images, classes: int, compute: Compute, validated: bool) -> float:
    """Minutes to expect, by a few steps of each training; ``validated`` tells whether there is a cross-validation."""
    vae, self_training, supervised = settings.steps(len(images))
    model = settings.model.build(images.shape)
    rule = settings.training
    seconds = vae * _a_step(model, settings.objective, images, rule.batch, rule.optimiser, compute)
    method = settings.semi_supervised
    batch = min(method.batch, len(images))
    network = ClassifyingVAE(model, classes)
    taught = _a_step(network, method.objective, images, batch, method.optimiser, compute)
    fits = FOLDS + 1 if validated else 1
    seconds += fits * (self_training * taught + (supervised * taught / 2 if validated else 0.0))
    return (seconds + SECONDS_AN_IMAGE * len(images)) / 60


def _a_step(
    model: torch.nn.Module, objective: Objective, images: Images, batch: int, optimiser: AnyOptimiser, compute: Compute
) -> float:
    """Seconds of one training step."""
    some: Source = images.take(torch.arange(min(len(images), TRIED_STEPS * batch)))
    rule = Training(epochs=1, batch=batch, optimiser=optimiser)
    train(model, objective, some, rule, compute=compute)
    start = time.monotonic()
    train(model, objective, some, rule, compute=compute)
    return (time.monotonic() - start) / math.ceil(len(some) / batch)
