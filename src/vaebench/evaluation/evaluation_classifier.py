"""The judge: a classifier of the data set at hand, by whose features and answers samples are scored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from vaebench.data.images import Dataset, Images
from vaebench.evaluation.probes import Head
from vaebench.models.networks import MLP, Conv
from vaebench.models.objectives import CrossEntropy
from vaebench.training.compute import Compute
from vaebench.training.loop import train
from vaebench.training.schedules import Adam, OneCycle

NETWORK = Conv()
"""The same for every run, whatever is judged: scores compare under one judge alone."""
SMALLEST = 8
"""Pixels a side that it can read; an MLP reads smaller images."""
FEATURES = 64
TRAINING_HEAD = Head(
    epochs=2,
    least_steps=300,
    batch=256,
    optimiser=Adam(rate=4e-3, beta2=0.99, weight_decay=0.01),
    schedule=OneCycle(),
)
"""How it is trained."""


class ClassifierOutput(NamedTuple):
    """What the judge makes of images: features (N, 64), class probabilities (N, Y)."""

    features: Float[Tensor, "N F"]
    probabilities: Float[Tensor, "N Y"]


@dataclass(frozen=True)
class EvaluationClassifier:
    """A small CNN trained on the training part's labels; an MLP where images are too small for it."""

    body: nn.Module
    head: nn.Module
    accuracy: float
    """On the test part."""

    @classmethod
    def of(
        cls, data: Dataset, compute: Compute, seed: int = 0, callback: Callable[[float], None] = lambda share: None
    ) -> EvaluationClassifier:
        """Train it; the same arguments give the same bits. The data must have labels."""
        network = NETWORK if min(data.train.shape[1:]) >= SMALLEST else MLP(hidden=(256,))
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            body = nn.Sequential(network.encoder(data.train.shape, FEATURES), nn.ReLU())
            head = nn.Linear(FEATURES, len(data.classes))
        training = TRAINING_HEAD.training(len(data.train), seed)
        model = nn.Sequential(body, head)
        train(
            model,
            CrossEntropy(),
            data.train,
            training,
            compute=compute,
            seed=seed,
            callback=lambda at: callback(at.step / at.steps),
        )
        judge = cls(body, head, 0.0)
        right = judge.see(data.test).probabilities.argmax(1) == data.test.labels
        return cls(body, head, float(right.double().mean()))

    @torch.no_grad()
    def see(self, images: Images) -> ClassifierOutput:
        """Features and probabilities of images, in fp32, on the CPU."""
        device = next(self.head.parameters()).device
        features = [self.body(images.batch(rows).x.to(device)) for rows in torch.arange(len(images)).split(1000)]
        found = torch.cat(features)
        return ClassifierOutput(found.cpu(), self.head(found).softmax(-1).cpu())

    def see_pixels(self, pixels: UInt8[np.ndarray, "N C H W"]) -> ClassifierOutput:
        """The same of 8-bit images."""
        return self.see(Images(torch.from_numpy(pixels), torch.full((len(pixels),), -1)))
