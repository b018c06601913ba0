"""SEMI_SUPERVISED: classifiers with losses of their own, as methods of the few-label protocol.

They are fitted on all training images, of which some are labelled, from random weights. A method is one class, with its
model, objective and training as fields, and one entry of the dictionary.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import torch
from pydantic import Field

from vaebench.core.frozen import Frozen, one_of
from vaebench.data.draws import epoch_batches
from vaebench.data.images import HIDDEN, MixedSource, Source, UnlabelledSource
from vaebench.models.adgm import ADGMElbo, ADGMModel
from vaebench.models.information_bottleneck import InformationBottleneckLoss, InformationBottleneckModel
from vaebench.models.loss import UnitFraction
from vaebench.models.m2 import M2Elbo, M2Model
from vaebench.training.compute import Compute
from vaebench.training.loop import Training, train
from vaebench.training.prediction import LabelledSource, Predict, predict_with
from vaebench.training.schedules import Adam, OneCycle


@runtime_checkable
class SemiSupervised(Protocol):
    """A classifier that is fitted on partly labelled images."""

    @property
    def name(self) -> str:
        """Name in results and figures."""
        ...

    def fit(self, source: LabelledSource, classes: int, seed: int, compute: Compute) -> Predict:
        """Fit on all images of ``source``, of which those with the label -1 are unlabelled."""
        ...


class _Classifier(Frozen):
    """The fields and the fit that all methods share; the training is that of the few-label benchmark."""

    kind: str
    name: str
    """Name in results and figures."""
    model: Any
    """Builds a network that maps images to logits."""
    objective: Any
    training: Training = Training(
        epochs=6, batch=256, optimiser=Adam(rate=2e-3, beta2=0.99), schedule=OneCycle(), clip_norm=100.0
    )
    least_steps: int = Field(1000, ge=1)
    """Minimum number of optimiser steps: with few images, epochs are added until it is reached."""
    labelled_fraction: UnitFraction | None = 0.25
    """Fraction of each batch that is labelled, at most one half; the others are all images without labels. None trains
    on the labelled images alone."""

    def fit(self, source: LabelledSource, classes: int, seed: int, compute: Compute) -> Predict:
        """Train a network from random weights; images with the label -1 are unlabelled."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = self.model.build(source.shape, classes)
        images = self.training_source(source)
        steps_per_epoch = sum(1 for _ in epoch_batches(len(images), self.training.batch, (seed, 0)))
        epochs = max(self.training.epochs, math.ceil(self.least_steps / steps_per_epoch))
        training = self.training.model_copy(update={"epochs": epochs})
        train(network, self.objective, images, training, compute=compute, seed=seed)
        return predict_with(network, seed, compute)

    def training_source(self, source: LabelledSource) -> Source:
        """What the network is trained on."""
        labelled = source.take(torch.nonzero(source.labels != HIDDEN)[:, 0])
        if self.labelled_fraction is None:
            return labelled
        labelled_per_batch = max(1, round(self.labelled_fraction * self.training.batch))
        return MixedSource(labelled, UnlabelledSource(source), labelled_per_batch)


class M2Classifier(_Classifier):
    """M2, the semi-supervised VAE of Kingma et al. 2014, as a classifier q(y|x)."""

    kind: Literal["m2"] = "m2"
    name: str = "m2"
    model: M2Model = M2Model()
    objective: M2Elbo = M2Elbo()


class ADGMClassifier(_Classifier):
    """The auxiliary deep generative model of Maaloe et al. 2016 as a classifier q(y|a,x) at the mean of q(a|x)."""

    kind: Literal["adgm"] = "adgm"
    name: str = "adgm"
    model: ADGMModel = ADGMModel()
    objective: ADGMElbo = ADGMElbo()


class InformationBottleneckClassifier(_Classifier):
    """The variational information bottleneck of Alemi et al. 2017, which learns from the labelled images alone."""

    kind: Literal["information-bottleneck"] = "information-bottleneck"
    name: str = "information-bottleneck"
    model: InformationBottleneckModel = InformationBottleneckModel()
    objective: InformationBottleneckLoss = InformationBottleneckLoss()
    training: Training = Training(epochs=10, batch=128, optimiser=Adam(rate=5e-3, beta2=0.99), ema=0.98)
    least_steps: int = Field(300, ge=1)
    """Minimum number of optimiser steps: with few labels, epochs are added until it is reached."""
    labelled_fraction: None = None
    """None: unlabelled images are of no use."""


SEMI_SUPERVISED: dict[str, type[Any]] = {
    "m2": M2Classifier,
    "adgm": ADGMClassifier,
    "information-bottleneck": InformationBottleneckClassifier,
}

if TYPE_CHECKING:
    AnySemiSupervised = SemiSupervised
else:
    AnySemiSupervised = one_of(SEMI_SUPERVISED)
