"""Evaluation settings of a run: representations, probes, label counts and sample scores."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from vaebench.core.frozen import Frozen
from vaebench.evaluation.learning_curves import LabelCount
from vaebench.evaluation.probes import KNN, AnyProbe, Head, Logistic
from vaebench.models.networks import Network
from vaebench.semi_supervised.classifiers import AnySemiSupervised
from vaebench.semi_supervised.self_training import SelfTraining
from vaebench.training.schedules import Adam, AnyOptimiser, OneCycle

Positive = Annotated[int, Field(ge=1)]
Count = Annotated[LabelCount, Field(union_mode="left_to_right")]
FeatureName = Literal["vae", "vae-sampled", "autoencoder", "pixels", "pca", "random"]
OTHER_NAMES = (*get_args(FeatureName), "images", "supervised", "graph", "self-trained", "self-training")
"""Names in results that no semi-supervised method may have."""


class SupervisedBaseline(Frozen):
    """Supervised baseline: the VAE's encoder architecture, trained on the labelled images only."""

    epochs: Positive = 3
    least_steps: Positive = 150
    """Minimum number of optimiser steps: with few labels, epochs are added until it is reached."""
    batch: Positive = 128
    optimiser: AnyOptimiser = Adam(rate=4e-3, beta2=0.99, weight_decay=0.01)

    def head(self, network: Network) -> Head:
        """Return the probe that classifies images with this network architecture."""
        return Head(
            name="supervised",
            network=network,
            epochs=self.epochs,
            least_steps=self.least_steps,
            batch=self.batch,
            optimiser=self.optimiser,
            schedule=OneCycle(),
        )


class Evaluation(Frozen):
    """Settings of the few-label protocol and of the other measurements."""

    labels_per_class: tuple[Count, ...] = (1, 3, 5, 10, 100, 1000, "all")
    """Numbers of labels per class, or "all"; counts above the size of the smallest class are skipped."""
    draws: Positive = 5
    """Label draws per count. They are saved, and every representation is evaluated on the same draws."""
    features: tuple[FeatureName, ...] = ("vae", "autoencoder", "pixels", "pca", "random")
    """Representations to compare; "vae" uses posterior means, "vae-sampled" fresh samples of z."""
    probes: tuple[AnyProbe, ...] = (Logistic(), KNN())
    supervised: SupervisedBaseline | None = SupervisedBaseline()
    importance_samples: Positive | None = None
    """Samples of z per image for the importance-weighted log p(x) of the test images; None skips the estimate. 5,000 is
    usual and takes hours on a CPU."""
    samples: Annotated[int, Field(ge=50)] | None = 2000
    """Generated images to score against as many test images, for labelled data; None skips the scores."""
    self_training: SelfTraining | None = None
    """Self-training of the VAE itself on the same label draws, in addition to the probes; None skips it."""
    semi_supervised: tuple[AnySemiSupervised, ...] = ()
    """Classifiers that are trained on the same label draws and the unlabelled images, by kind or as tables: m2, adgm,
    information-bottleneck."""

    @field_validator("semi_supervised", mode="before")
    @classmethod
    def _kinds(cls, methods: Any) -> Any:
        """Methods given by their kind alone have the defaults of the kind."""
        methods = [methods] if isinstance(methods, str) else methods
        if not isinstance(methods, list | tuple):
            return methods
        return [{"kind": method} if isinstance(method, str) else method for method in methods]

    @model_validator(mode="after")
    def _check_names(self) -> Evaluation:
        names = [method.name for method in self.semi_supervised]
        others = {*OTHER_NAMES, *(probe.name for probe in self.probes)}
        if taken := sorted({name for name in names if names.count(name) > 1 or name in others}):
            raise ValueError(f"semi_supervised: the name {taken[0]!r} is taken; give each method a name of its own")
        return self

    @field_validator("labels_per_class")
    @classmethod
    def _positive(cls, counts: tuple[LabelCount, ...]) -> tuple[LabelCount, ...]:
        if bad := [count for count in counts if count != "all" and count < 1]:
            raise ValueError(f"labels_per_class holds {bad}; expected whole numbers from 1, or 'all'")
        return counts
