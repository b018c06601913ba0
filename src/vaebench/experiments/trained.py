"""Trial: one trained network of a study. Reading: labelled parts for a probe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import nn

from vaebench.data.images import Dataset
from vaebench.evaluation.features import Features, latent_features
from vaebench.evaluation.scores import Split
from vaebench.models.vae import VAE


@dataclass(frozen=True)
class TrainedModel:
    """One trained network: the weights are read, and the images encoded, when they are first asked for."""

    key: str
    """Names everything that decided its bits."""
    data: Dataset
    history: list[dict[str, Any]]
    """One record an epoch; see :class:`vaebench.training.loop.TrainingResult`."""
    best_epoch: int
    seconds: float
    load: Callable[[], nn.Module]

    @cached_property
    def model(self) -> nn.Module:
        """The network with its best weights, in evaluation mode."""
        return self.load()

    def by_step(self, part: str = "loss") -> tuple[list[int], list[float]]:
        """Steps and the part's mean over the 50 before each; by epoch where the training was shorter than that."""
        records = [mark for epoch in self.history for mark in epoch["trace"]] or self.history
        return [record["step"] for record in records], [record[part] for record in records]

    @property
    def vae(self) -> VAE:
        """The network, where it is a VAE."""
        assert isinstance(self.model, VAE)
        return self.model

    @cached_property
    def features(self) -> Features:
        """Posterior means and log-variances of the three parts of its data."""
        return latent_features("vae", self.vae, self.data)

    @property
    def means(self) -> ProbeInput:
        """What a probe of the means reads."""
        return ProbeInput(f"{self.key}/means", lambda: _split(self.features))

    @property
    def sampled(self) -> ProbeInput:
        """What a probe of fresh samples of z reads."""
        return ProbeInput(f"{self.key}/sampled", lambda: _split(self.features.sampled("sampled")))


@dataclass(frozen=True)
class ProbeInput:
    """Labelled parts for a probe, made when they are first needed; ``key`` names all that decides them."""

    key: str
    make: Callable[[], Split]

    @cached_property
    def split(self) -> Split:
        """The parts to train on, to choose by, and to test on."""
        return self.make()


def _split(features: Features) -> Split:
    return Split(features.train, features.validation, features.test)
