"""What a run measures: which representations, read by which probes, from how many labels."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from vaebench.core.frozen import Frozen
from vaebench.evaluation.learning_curves import LabelCount
from vaebench.evaluation.probes import KNN, AnyProbe, Head, Logistic
from vaebench.models.networks import Network
from vaebench.semi_supervised.self_training import SelfTraining
from vaebench.training.schedules import Adam, AnyOptimiser, OneCycle

Positive = Annotated[int, Field(ge=1)]
FeatureName = Literal["vae", "vae-sampled", "autoencoder", "pixels", "pca", "random"]


class SupervisedBaseline(Frozen):
    """The rival that uses no unlabelled image: the VAE's encoder, trained on the labelled images alone."""

    epochs: Positive = 3
    least_steps: Positive = 150
    """Few labels make short epochs: epochs are added until there are this many steps."""
    batch: Positive = 128
    optimiser: AnyOptimiser = Adam(rate=4e-3, beta2=0.99, weight_decay=0.01)

    def head(self, network: Network) -> Head:
        """The probe that reads images through this network."""
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
    """The few-label protocol of a run."""

    labels_per_class: tuple[Annotated[LabelCount, Field(union_mode="left_to_right")], ...] = (
        1,
        3,
        5,
        10,
        100,
        1000,
        "all",
    )
    """Labels a class, or "all"; counts that a class cannot give are left out."""
    draws: Positive = 5
    """Draws of labels for each count; they are saved, and every representation reads the same ones."""
    features: tuple[FeatureName, ...] = ("vae", "autoencoder", "pixels", "pca", "random")
    """Representations to compare; "vae" reads means, "vae-sampled" fresh samples of z."""
    probes: tuple[AnyProbe, ...] = (Logistic(), KNN())
    supervised: SupervisedBaseline | None = SupervisedBaseline()
    importance_samples: Positive | None = None
    """Samples of z an image for log p(x) by importance weighting on the test part; none leaves it out. 5,000 are usual,
    and take hours on a processor."""
    samples: Annotated[int, Field(ge=50)] | None = 2000
    """Images that are drawn and scored beside as many test images, where images have labels; none leaves it out."""
    self_training: SelfTraining | None = None
    """What makes a classifier of the VAE itself from the same draws, beside the probes; None: nothing."""

    @field_validator("labels_per_class")
    @classmethod
    def _positive(cls, counts: tuple[LabelCount, ...]) -> tuple[LabelCount, ...]:
        if bad := [count for count in counts if count != "all" and count < 1]:
            raise ValueError(f"labels_per_class holds {bad}; expected whole numbers from 1, or 'all'")
        return counts
