"""DatasetContext: a data set with its draws of labels, representations and graphs, each computed once."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from scipy import sparse
from torch import Tensor

from vaebench.data.augment import Augmentation, bolder
from vaebench.data.images import Dataset, Images, balanced_draw
from vaebench.evaluation.features import Codes, Features, latent_features, pca_features, pixel_features
from vaebench.experiments.experiment import Experiment
from vaebench.experiments.trained import TrainedModel
from vaebench.models.local_decoder import LocalDecoderModel
from vaebench.models.loss import Objective
from vaebench.models.networks import Conv
from vaebench.models.objectives import Consistent, Contrastive, Elbo
from vaebench.models.vade import VaDE, VaDEElbo, fit_mixture
from vaebench.models.vae import VAE, Model
from vaebench.semi_supervised.graphs import Graph
from vaebench.training.loop import Training
from vaebench.training.schedules import Adam, AnyOptimiser, Muon

COMPONENTS = 100
PARTS = ("validation", "test")
"""Parts on which methods are evaluated."""
MUON = Muon(rate=0.035)
AugmentationLevel = Literal["none", "standard", "strong"]
"""Augmentation that a method uses: none, the data set's own, or a stronger one."""


class LabelDraw(NamedTuple):
    """The only labels that a method may read: rows of the training part, and their labels."""

    rows: Int[Tensor, " M"]
    labels: Int[Tensor, " M"]
    seed: int

    def labelled(self, source: Any) -> Any:
        """Labelled rows of the training images or of their codes."""
        return source.take(self.rows).with_labels(self.labels)


@dataclass
class DatasetContext:
    """A data set with everything that its methods share.

    Validation images are training images that no method trains on and whose labels are never drawn; they choose the
    settings for other data sets.

    Args:
        dimensions: latents of the compared frozen representations: PCA, the random encoder, VAEs trained on pairs.
        passes: passes of a VAE through the training images; VAEs trained on pairs read an augmented copy of each too.
        steps: optimiser steps of self-training in all rounds together.
    """

    experiment: Experiment
    name: str
    data: Dataset
    model: Model
    augmentation: Augmentation
    dimensions: int
    passes: int
    steps: int
    feature_cache: dict[str, Features] = field(default_factory=dict)
    graph_cache: dict[str, Graph] = field(default_factory=dict)
    weight_cache: dict[str, dict[str, sparse.csr_array]] = field(default_factory=dict)

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.data.classes)

    @cached_property
    def unlabelled(self) -> Images:
        """Training images with every label hidden."""
        return self.data.train.without_labels()

    @property
    def parts(self) -> dict[str, Images]:
        """Validation and test images."""
        return {"validation": self.data.validation, "test": self.data.test}

    @property
    def pair_model(self) -> Model:
        """The model with ``dimensions`` latents, for VAEs trained on pairs."""
        return self.model.model_copy(update={"latent": self.dimensions})

    @property
    def wide_model(self) -> Model:
        """``pair_model`` with twice the filters."""
        network = self.model.network
        assert isinstance(network, Conv)
        filters = tuple(2 * count for count in network.filters)
        return self.pair_model.model_copy(update={"network": network.model_copy(update={"filters": filters})})

    def augmentation_at(self, level: AugmentationLevel) -> Augmentation:
        """Augmentation of a level."""
        if level == "none":
            return Augmentation()
        return bolder(self.augmentation) if level == "strong" else self.augmentation

    def draw_labels(self, count: int, draw: int) -> LabelDraw:
        """Saved draw of ``count`` labels per class, the same for every method."""
        identity = {"data": self.data.fingerprint, "count": count, "draw": draw}

        def make() -> dict[str, Any]:
            return {"rows": balanced_draw(self.data.train.labels, count, (0, draw)).tolist()}

        rows = torch.tensor(self.experiment.step(f"{self.name}/draws/{count}-{draw}", identity, make)["rows"])
        return LabelDraw(rows, self.data.train.labels[rows], draw)

    # -- representations -----------------------------------------------------------------------------------------

    def train_vae(
        self,
        name: str,
        objective: Objective,
        passes: int,
        build: Callable[[], VAE] | None = None,
        optimiser: AnyOptimiser = MUON,
        model: Model | None = None,
    ) -> TrainedModel:
        """VAE trained on the training images without labels, with the weights of its last epoch.

        Args:
            build: initial VAE; by default of ``model``, or of the data set's model.
        """
        shape, own = self.data.train.shape, model or self.model
        training = Training(epochs=max(1, passes), batch=256, optimiser=optimiser)
        make = build or (lambda: own.build(shape))
        identity = {"model": own.model_dump(), "kind": name}
        return self.experiment.network(
            f"{self.name}/{name}", self.data, make, (self.unlabelled, None), objective, training, 0, identity
        )

    def vae(self, name: str) -> TrainedModel:
        """Trained VAE of a representation."""
        return VAES[name](self, name)

    def initial_vae(self, name: str) -> TrainedModel:
        """VAE that self-training starts from when its graph is of this representation."""
        return self.vae(INITIAL_VAES.get(name, name))

    def features(self, name: str) -> Features:
        """Codes of the training, validation and test images in a representation."""
        if name not in self.feature_cache:
            self.feature_cache[name] = self._features(name)
        return self.feature_cache[name]

    def _features(self, name: str) -> Features:
        if name == "pixels":
            return pixel_features(self.data)
        if name == "pca":
            return pca_features(self.features("pixels"), self.dimensions, 0)
        if name == "random":
            torch.manual_seed(0)
            return latent_features("random", self.pair_model.build(self.data.train.shape).eval(), self.data)
        return self.vae(name).features

    def standardised_codes(self, name: str) -> dict[str, Codes]:
        """Standardised codes of each part; labels of ``train`` are hidden."""
        standard = self.features(name).standardised()
        return {"train": standard.train, "validation": standard.validation, "test": standard.test}

    def graph(self, name: str) -> Graph:
        """Neighbour graph of the training images' codes."""
        if name not in self.graph_cache:
            self.experiment.report(f"{self.name}: graph of {name}")
            self.graph_cache[name] = Graph.from_codes(self.features(name).train.mean.numpy())
        return self.graph_cache[name]

    def neighbour_weights(self, name: str) -> dict[str, sparse.csr_array]:
        """Weights of the nearest training images in the graph, for validation and test images."""
        if name not in self.weight_cache:
            graph, features = self.graph(name), self.features(name)
            codes = {"validation": features.validation, "test": features.test}
            self.weight_cache[name] = {part: graph.connect(codes[part].mean.numpy()) for part in PARTS}
        return self.weight_cache[name]

    def key(self, name: str) -> str:
        """Key of everything that decides a representation."""
        if name in VAES:
            return self.vae(name).key
        return f"{name} {self.dimensions} {self.data.fingerprint}"


def _elbo(context: DatasetContext, name: str) -> TrainedModel:
    return context.train_vae(name, Elbo(beta=1.0), context.passes)


def _paired(
    objective: type[Consistent] | type[Contrastive], weight: float
) -> Callable[[DatasetContext, str], TrainedModel]:
    def make(context: DatasetContext, name: str) -> TrainedModel:
        weighted = objective(weight=weight, augmentation=context.augmentation_at(PAIRED[name]))
        model = context.wide_model if name in INITIAL_VAES else context.pair_model
        return context.train_vae(name, weighted, context.passes, model=model)

    return make


def _local(context: DatasetContext, name: str) -> TrainedModel:
    model = LocalDecoderModel(latent=context.model.latent, network=context.model.network)
    return context.train_vae(name, Elbo(beta=1.0), context.passes, lambda: model.build(context.data.train.shape))


def _mixture(context: DatasetContext, name: str) -> TrainedModel:
    """VaDE, initialised by the plain VAE and a mixture fitted to its means, as its authors initialise it by an
    autoencoder. Trained by Adam: Muon is for weight matrices, which the mixture's centres are not."""
    base = context.vae("elbo")

    def fit() -> dict[str, np.ndarray]:
        means = base.features.train.mean.numpy()
        fitted = fit_mixture(means, COMPONENTS, seed=0)
        return {"shares": fitted.weights_, "centres": fitted.means_, "scales": np.sqrt(fitted.covariances_)}

    start = context.experiment.arrays(f"{context.name}/mixture-start", {"of": base.key, "components": COMPONENTS}, fit)
    parameters = [torch.from_numpy(start[key]).float() for key in ("shares", "centres", "scales")]
    return context.train_vae(
        name,
        VaDEElbo(),
        2 * context.passes // 3,
        lambda: VaDE(copy.deepcopy(base.vae).cpu(), *parameters),
        Adam(rate=7e-3, beta2=0.99),
    )


VAES: dict[str, Callable[[DatasetContext, str], TrainedModel]] = {
    "elbo": _elbo,
    "consistent-3": _paired(Consistent, 3.0),
    "contrastive-30": _paired(Contrastive, 30.0),
    "contrastive-bold": _paired(Contrastive, 30.0),
    "contrastive-wide": _paired(Contrastive, 30.0),
    "local": _local,
    "mixture": _mixture,
}
"""Representations learned without labels."""
INITIAL_VAES = {"contrastive-wide": "contrastive-bold"}
"""By representation of the graph: VAE that self-training starts from where twice the filters would take too long."""
PAIRED: dict[str, AugmentationLevel] = {
    "consistent-3": "standard",
    "contrastive-30": "standard",
    "contrastive-bold": "strong",
    "contrastive-wide": "strong",
}
"""VAEs trained on pairs of an image and its augmented copy, with their augmentation; one of them is selected."""
