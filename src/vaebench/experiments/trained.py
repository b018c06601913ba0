"""A trained network of an experiment, and the labelled data that a probe reads."""

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
    """A trained network. If another worker trains it, its first use waits for that worker; weights are loaded, and
    images encoded, on first use."""

    key: str
    """Hash of everything that decided the weights."""
    data: Dataset
    read: Callable[[], dict[str, Any]]
    """Returns the record of the training, which it first waits for."""
    load: Callable[[], nn.Module]

    @cached_property
    def record(self) -> dict[str, Any]:
        """The record of the training."""
        return self.read()

    @property
    def history(self) -> list[dict[str, Any]]:
        """One record an epoch; see :class:`vaebench.training.loop.TrainingResult`."""
        history: list[dict[str, Any]] = self.record["history"]
        return history

    @property
    def best_epoch(self) -> int:
        """Epoch of the weights, from 1."""
        return int(self.record["best_epoch"])

    @property
    def seconds(self) -> float:
        """Seconds that the training took."""
        return float(self.record["seconds"])

    @cached_property
    def model(self) -> nn.Module:
        """The network with its best weights, in evaluation mode."""
        assert self.record
        return self.load()

    def by_step(self, part: str = "loss") -> tuple[list[int], list[float]]:
        """Return steps and the mean of ``part`` over the 50 steps before each; one value an epoch for short runs."""
        records = [mark for epoch in self.history for mark in epoch["trace"]] or self.history
        return [record["step"] for record in records], [record[part] for record in records]

    @property
    def vae(self) -> VAE:
        """The network, which must be a VAE."""
        assert isinstance(self.model, VAE)
        return self.model

    @cached_property
    def features(self) -> Features:
        """Posterior means and log-variances of training, validation and test images."""
        return latent_features("vae", self.vae, self.data)

    @property
    def means(self) -> ProbeInput:
        """Posterior means, for a probe."""
        return ProbeInput(f"{self.key}/means", lambda: split_of(self.features))

    @property
    def sampled(self) -> ProbeInput:
        """Latents sampled anew at each visit, for a probe."""
        return ProbeInput(f"{self.key}/sampled", lambda: split_of(self.features.sampled("sampled")))


@dataclass(frozen=True)
class ProbeInput:
    """Labelled training, validation and test data of a probe, made on first use."""

    key: str
    """Identifies everything that decides the data."""
    make: Callable[[], Split]

    @cached_property
    def split(self) -> Split:
        """Training, validation and test data."""
        return self.make()


def split_of(features: Features) -> Split:
    """Return the training, validation and test parts of features."""
    return Split(features.train, features.validation, features.test)
