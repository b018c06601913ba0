"""Settings of a classification by the shape and number of its images."""

from __future__ import annotations

import math

from vaebench.core.frozen import Frozen
from vaebench.data.augment import PRESETS, Augmentation, bolder
from vaebench.models.classifying_vae import SelfTrainingLoss
from vaebench.models.networks import Conv, Shape
from vaebench.models.objectives import Contrastive
from vaebench.models.vae import Model
from vaebench.semi_supervised.self_training import SelfTraining, SupervisedTraining
from vaebench.training.loop import Training
from vaebench.training.schedules import Muon

MIN_PAIRS, MAX_PAIRS = 150_000, 1_500_000
"""Bounds on the pairs of an image and its augmented copy that the VAE is trained on; the upper one is approximate."""
EPOCHS = 6
"""Epochs of the VAE between the bounds."""
PILOT_PAIRS = 20_000
"""Pairs of a short training by which the augmentation is chosen."""
LARGE = 40
"""Side in pixels above which the network has one more layer."""
LATENTS = 128
SMALL = 16
"""Side in pixels up to which images are too small for squares to be cut out of them."""


class Settings(Frozen):
    """Everything except images and labels that decides the numbers of a classification."""

    model: Model
    objective: Contrastive
    training: Training
    semi_supervised: SelfTraining
    supervised: SupervisedTraining
    augmentation: str = "gentle"
    """Name of the augmentation in :data:`vaebench.data.augment.PRESETS`."""
    seed: int = 0


def settings_for(shape: Shape, images: int, labels: int, augmentation: str = "gentle") -> Settings:
    """Return the settings for a number of images of this shape and a number of labels.

    Args:
        shape: channels, height and width of the images.
        images: number of images.
        labels: number of labels.
        augmentation: name of a preset, which is prior knowledge: gentle assumes least.
    """
    channels, *sides = shape
    batch = min(256, max(16, images // 4))
    large = max(sides) > LARGE
    if channels == 1 and not large:
        model = Model(latent=LATENTS)
    else:
        model = Model(latent=LATENTS, network=Conv(filters=(32, 64, 128, 128) if large else (32, 64, 128), stride=(2,)))
    strong = PRESETS[augmentation].scaled(max(sides))
    return Settings(
        model=model,
        objective=Contrastive(
            weight=30.0, augmentation=pair_augmentation(augmentation, max(sides)), elbo_fraction=0.25
        ),
        training=Training(epochs=epochs_for(images), batch=batch, optimiser=Muon(rate=0.035)),
        semi_supervised=SelfTraining(
            rounds=(200, 200),
            objective=SelfTrainingLoss(strong=strong, generative=0.001),
            optimiser=Muon(rate=0.03),
        ),
        supervised=SupervisedTraining(strong=strong, steps=min(3000, max(400, 10 * labels // 128))),  # 10 epochs
        augmentation=augmentation,
    )


def pair_augmentation(name: str, side: int) -> Augmentation:
    """Augmentation of the pairs that the VAE is trained on: bolder than the preset, but for gentle and small images."""
    preset = PRESETS[name]
    return (preset if name == "gentle" or side <= SMALL else bolder(preset)).scaled(side)


def epochs_for(images: int) -> int:
    """Epochs of the VAE: from 400 for few images down to one for millions."""
    return min(400, max(math.ceil(MIN_PAIRS / images), min(EPOCHS, math.ceil(MAX_PAIRS / images))))
