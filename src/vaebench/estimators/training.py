"""What the estimators share: rows as 8-bit images, a trained VAE, seeds, progress."""

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
from vaebench.models.networks import MLP, Conv, Network
from vaebench.models.vae import VAE, Model
from vaebench.training.compute import Compute
from vaebench.training.loop import Training, TrainingEvent, train
from vaebench.training.schedules import Adam

DTYPES = [np.float64, np.float32, np.uint8]
BATCH = 1000
STEPS, LEAST_EPOCHS = 2000, 10
"""Of a VAE whose epochs are not given."""
SMALL_SIDE = 8
"""Images with a shorter side than this go through a fully connected network."""


class Pixels:
    """How rows (n, d) become 8-bit images and back, by the training rows: 0 to 255 where that is their type or their
    greatest integers are above half of it, 0 to 1 for floats of that range, else from their least to their greatest
    value. What lies beyond is clipped."""

    def __init__(self, X: np.ndarray, image_shape: Sequence[int] | None) -> None:
        self.shape = _shape(X.shape[1], image_shape)
        low, high = float(X.min()), float(X.max())
        if X.dtype != np.uint8 and low >= 0 and high <= 1:
            low, high = 0.0, 1.0
        elif X.dtype == np.uint8 or (low >= 0 and 127 < high <= 255 and bool((np.rint(X) == X).all())):
            low, high = 0.0, 255.0
        self.low, self.span = low, (high - low) or 1.0

    def images(self, X: np.ndarray) -> Images:
        """8-bit images without labels."""
        scaled = np.rint(np.clip((X - self.low) / self.span, 0, 1) * 255).astype(np.uint8)
        return Images(torch.from_numpy(scaled).view(-1, *self.shape), torch.full((len(X),), HIDDEN))

    def rows(self, x: torch.Tensor) -> np.ndarray:
        """Rows (n, d) on the scale of the training rows."""
        found: np.ndarray = x.flatten(1).double().numpy() * self.span + self.low
        return found


def _shape(features: int, image_shape: Sequence[int] | None) -> tuple[int, int, int]:
    """Channels, height, width; rows without a shape are images of one line."""
    shape = (1, 1, features) if image_shape is None else tuple(image_shape)
    shape = (1, *shape) if len(shape) == 2 else shape
    if len(shape) != 3 or math.prod(shape) != features:
        raise ValueError(
            f"image_shape is {image_shape!r}, but X has {features} features; expected (height, width) or (channels, "
            "height, width) with that product"
        )
    return shape[0], shape[1], shape[2]


def _network(shape: tuple[int, int, int]) -> Network:
    return Conv() if min(shape[1:]) >= SMALL_SIDE else MLP(hidden=(256, 128))


class Progress:
    """Epochs to stderr, if they are asked for."""

    def __init__(self, name: str, verbose: bool) -> None:
        self.name, self.verbose = name, verbose

    def __call__(self, at: TrainingEvent) -> None:
        if self.verbose and at.epoch is not None:
            loss, left = at.epoch["loss"], at.seconds_left
            print(f"[{self.name}] epoch {at.epoch['epoch']}, loss {loss:.4g} nats, {left:.0f} s left", file=sys.stderr)


def trained(estimator: Any, images: Images, objective: Objective, seed: int) -> tuple[VAE, list[dict[str, Any]]]:
    """A VAE of the estimator's settings, on the CPU, and its history."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        vae = Model(latent=estimator.latent, network=_network(images.shape)).build(images.shape)
    an_epoch = math.ceil(len(images) / estimator.batch_size)
    rule = Training(
        epochs=estimator.epochs or max(LEAST_EPOCHS, math.ceil(STEPS / an_epoch)),
        batch=estimator.batch_size,
        optimiser=Adam(rate=estimator.learning_rate, beta2=0.99),
    )
    callback = Progress(type(estimator).__name__, estimator.verbose)
    result = train(vae, objective, images, rule, compute=compute_of(estimator), seed=seed, callback=callback)
    return vae.cpu().eval(), result.history


def compute_of(estimator: Any) -> Compute:
    """Where and with how many threads an estimator computes."""
    threads = None if estimator.n_jobs == -1 else estimator.n_jobs
    return Compute(device=estimator.device, threads=threads).resolve()


def seed_of(random_state: Any) -> int:
    """One seed out of what scikit-learn takes for a random state."""
    return int(check_random_state(random_state).randint(2**31 - 1))
