"""Common parts of the estimators: conversion of rows to 8-bit images, training of the VAE, seeds, progress."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state

from vaebench.data.images import HIDDEN, Images
from vaebench.models.loss import Objective
from vaebench.models.networks import MLP, Conv
from vaebench.models.vae import VAE, Model
from vaebench.training.compute import Compute
from vaebench.training.loop import Training, TrainingEvent, train
from vaebench.training.schedules import Adam

DTYPES = [np.float64, np.float32, np.uint8]
BATCH = 1000
MIN_STEPS, MIN_EPOCHS = 2000, 10
"""Minimum training of a VAE for ``epochs=None``."""
MIN_CONV_SIDE = 8
"""Images with a shorter side get a fully connected network."""


class PixelScaler:
    """Conversion of rows (n, d) to 8-bit images and back, by the range of the training rows.

    The range is 0 to 255 for uint8, and for non-negative integers with a maximum of 128 to 255; 0 to 1 for values in
    that range; otherwise the minimum to the maximum of the training rows. Values outside the range are clipped.
    """

    def __init__(self, X: np.ndarray, image_shape: Sequence[int] | None) -> None:
        self.shape = _image_shape(X.shape[1], image_shape)
        low, high = float(X.min()), float(X.max())
        if X.dtype != np.uint8 and low >= 0 and high <= 1:
            low, high = 0.0, 1.0
        elif X.dtype == np.uint8 or (low >= 0 and 127 < high <= 255 and bool((np.rint(X) == X).all())):
            low, high = 0.0, 255.0
        self.low, self.span = low, (high - low) or 1.0

    def to_images(self, X: np.ndarray) -> Images:
        """8-bit images without labels."""
        scaled = np.rint(np.clip((X - self.low) / self.span, 0, 1) * 255).astype(np.uint8)
        return Images(torch.from_numpy(scaled).view(-1, *self.shape), torch.full((len(X),), HIDDEN))

    def to_pixels(self, X: np.ndarray) -> torch.Tensor:
        """Pixels (n, C, H, W) in [0, 1], in float64."""
        return self.to_images(X).batch(torch.arange(len(X))).x.double()

    def to_rows(self, x: torch.Tensor) -> np.ndarray:
        """Rows (n, d) on the scale of the training rows, from pixels (n, C, H, W) in [0, 1]."""
        return np.asarray(x.flatten(1).double().numpy() * self.span + self.low)


def _image_shape(features: int, image_shape: Sequence[int] | None) -> tuple[int, int, int]:
    """Channels, height and width; without ``image_shape``, an image of one row of pixels."""
    shape = (1, 1, features) if image_shape is None else tuple(image_shape)
    shape = (1, *shape) if len(shape) == 2 else shape
    if len(shape) != 3 or math.prod(shape) != features:
        raise ValueError(
            f"image_shape is {image_shape!r}, but X has {features} features; expected (height, width) or (channels, "
            "height, width) with that product"
        )
    return shape[0], shape[1], shape[2]


def train_vae(estimator: Any, images: Images, objective: Objective, seed: int) -> tuple[VAE, list[dict[str, Any]]]:
    """Train a VAE with the parameters of ``estimator``; returns it, on the CPU, and the history of training."""

    def print_progress(event: TrainingEvent) -> None:
        if estimator.verbose and event.epoch is not None:
            epoch, loss, left = event.epoch["epoch"], event.epoch["loss"], event.seconds_left
            name = type(estimator).__name__
            print(f"[{name}] epoch {epoch}, loss {loss:.4g} nats, {left:.0f} s left", file=sys.stderr)

    network = Conv() if min(images.shape[1:]) >= MIN_CONV_SIDE else MLP(hidden=(256, 128))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        vae = Model(latent=estimator.latent, network=network).build(images.shape)
    steps_per_epoch = math.ceil(len(images) / estimator.batch_size)
    training = Training(
        epochs=estimator.epochs or max(MIN_EPOCHS, math.ceil(MIN_STEPS / steps_per_epoch)),
        batch=estimator.batch_size,
        optimiser=Adam(rate=estimator.learning_rate, beta2=0.99),
    )
    compute = compute_of(estimator)
    result = train(vae, objective, images, training, compute=compute, seed=seed, callback=print_progress)
    return vae.cpu().eval(), result.history


def compute_of(estimator: Any) -> Compute:
    """Device and number of threads of an estimator."""
    threads = None if estimator.n_jobs == -1 else estimator.n_jobs
    return Compute(device=estimator.device, threads=threads).resolve()


def draw_seed(random_state: Any) -> int:
    """Draw a seed from a scikit-learn random state."""
    return int(check_random_state(random_state).randint(2**31 - 1))
