"""EvaluationClassifier: a classifier of the data set at hand, whose features and probabilities score samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from vaebench.data.images import HIDDEN, Dataset, Images
from vaebench.evaluation.probes import Head
from vaebench.models.networks import MLP, Conv
from vaebench.models.objectives import CrossEntropy
from vaebench.training.compute import Compute
from vaebench.training.loop import TrainingEvent, train
from vaebench.training.schedules import Adam, OneCycle

NETWORK = Conv()
"""The same for every run, since scores are comparable only under the same evaluation classifier."""
MIN_SIDE = 8
"""Shortest image side in pixels that the CNN accepts; smaller images get an MLP."""
FEATURES = 64
TRAINING_HEAD = Head(
    epochs=2,
    least_steps=300,
    batch=256,
    optimiser=Adam(rate=4e-3, beta2=0.99, weight_decay=0.01),
    schedule=OneCycle(),
)
"""Training settings."""


class ClassifierOutput(NamedTuple):
    """Features (N, F) and class probabilities (N, Y) of the evaluation classifier."""

    features: Float[Tensor, "N F"]
    probabilities: Float[Tensor, "N Y"]


@dataclass(frozen=True)
class EvaluationClassifier:
    """A small CNN trained on the labels of the training part; an MLP where images are too small for it."""

    body: nn.Module
    head: nn.Module
    accuracy: float
    """Accuracy on the test part."""

    @classmethod
    def fit(
        cls, data: Dataset, compute: Compute, seed: int = 0, callback: Callable[[float], None] = lambda fraction: None
    ) -> EvaluationClassifier:
        """Train a classifier of labelled data; the same arguments give the same bits.

        ``callback`` receives the completed fraction in [0, 1].
        """
        network = NETWORK if min(data.train.shape[1:]) >= MIN_SIDE else MLP(hidden=(256,))
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            body = nn.Sequential(network.encoder(data.train.shape, FEATURES), nn.ReLU())
            head = nn.Linear(FEATURES, len(data.classes))
        model, training = nn.Sequential(body, head), TRAINING_HEAD.training(len(data.train), seed)

        def report(event: TrainingEvent) -> None:
            callback(event.step / event.steps)

        train(model, CrossEntropy(), data.train, training, compute=compute, seed=seed, callback=report)
        correct = cls(body, head, 0.0).predict(data.test).probabilities.argmax(1) == data.test.labels
        return cls(body, head, float(correct.double().mean()))

    @torch.no_grad()
    def predict(self, images: Images) -> ClassifierOutput:
        """Features and probabilities of images, in fp32, on the CPU."""
        device = next(self.head.parameters()).device
        parts = [self.body(images.batch(rows).x.to(device)) for rows in torch.arange(len(images)).split(1000)]
        features = torch.cat(parts)
        return ClassifierOutput(features.cpu(), self.head(features).softmax(-1).cpu())

    def predict_pixels(self, pixels: UInt8[np.ndarray, "N C H W"]) -> ClassifierOutput:
        """Features and probabilities of 8-bit images."""
        return self.predict(Images(torch.from_numpy(pixels), torch.full((len(pixels),), HIDDEN)))
