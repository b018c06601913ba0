"""An estimate of the run time of a classification, from a few timed steps of each training."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch

from vaebench.classification.cross_validation import FIRST_FOLDS
from vaebench.classification.selection import FOLDS
from vaebench.classification.settings import PILOT_PAIRS, Settings
from vaebench.data.images import Images, Source
from vaebench.experiments.info import Budget
from vaebench.models.classifying_vae import ClassifyingVAE
from vaebench.models.loss import Objective
from vaebench.training.compute import Compute
from vaebench.training.loop import Training, train
from vaebench.training.schedules import AnyOptimiser

FIRST_RESULTS = 10.0
"""Seconds of further training from which results are written before it."""
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


class TimeEstimate(NamedTuple):
    """Seconds that the parts of a classification take in one process."""

    pilots: float
    """The short trainings that choose the augmentation."""
    vae: float
    """The training of the VAE."""
    fits: Mapping[str, float]
    """One fit of each method that trains a network."""
    rest: float
    """Classifying, encoding and outlier scores of all images."""

    @property
    def seconds_of_fits(self) -> float:
        """Seconds of the networks of a cross-validation that selects the semi-supervised VAE, and of its final fit."""
        return (FOLDS + 1) * self.fits["self-trained"] + len(FIRST_FOLDS) * self.fits["supervised"]

    def minutes(self, cross_validated: bool, workers: int = 1) -> float:
        """Minutes of a whole classification whose cross-validation is shared by so many workers."""
        shared = (self.seconds_of_fits + self.pilots) / workers
        first = self.rest if self.short_training_first else 0.0
        return (self.vae + (shared + first if cross_validated else self.fits["self-trained"]) + self.rest) / 60

    @property
    def short_training_first(self) -> bool:
        """Whether the results of a short training come well before those of the full one."""
        return self.pilots > 0 and self.vae >= max(FIRST_RESULTS, self.rest)

    def minutes_to_first(self, workers: int = 1) -> float:
        """Minutes to the first results: of a short training, or of the methods that train no network."""
        return (self.pilots / workers + (0.0 if self.short_training_first else self.vae) + self.rest) / 60


def estimate_time(settings: Settings, images: Images, classes: int, presets: int, compute: Compute) -> TimeEstimate:
    """Estimate the run time by timing a few steps of each training.

    Args:
        settings: those of the classification.
        images: all images.
        classes: number of classes.
        presets: number of augmentations that are compared.
        compute: where it is computed.
    """
    training, method = settings.training, settings.semi_supervised
    model, batch = settings.model.build(images.shape), min(method.batch, len(images))
    vae_step = _seconds_per_step(model, settings.objective, images, training.batch, training.optimiser, compute)
    network = ClassifyingVAE(model, classes)
    network_step = _seconds_per_step(network, method.objective, images, batch, method.optimiser, compute)
    steps = {"self-trained": float(sum(method.rounds)), "supervised": settings.supervised.steps / 2}
    return TimeEstimate(
        presets * PILOT_PAIRS / training.batch * vae_step,
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
