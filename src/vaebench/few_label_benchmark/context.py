"""DatasetContext: a data set with its draws of labels, representations and graphs, each computed once."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from scipy import sparse
from torch import Tensor

from vaebench.data.augment import Augmentation, bolder
from vaebench.data.draws import balanced_draw
from vaebench.data.images import Dataset, Images
from vaebench.evaluation.features import Features, latent_features, pca_features, pixel_features
from vaebench.evaluation.gaussian_mixture import Clusters
from vaebench.experiments.experiment import Experiment
from vaebench.experiments.trained import TrainedModel
from vaebench.models.local_decoder import LocalDecoderModel
from vaebench.models.loss import Objective
from vaebench.models.networks import Conv
from vaebench.models.objectives import Consistent, Contrastive, Elbo
from vaebench.models.vade import VaDE, VaDEElbo
from vaebench.models.vae import VAE, Model
from vaebench.semi_supervised.graphs import Graph
from vaebench.training.loop import Training
from vaebench.training.schedules import Adam, Muon

COMPONENTS = 100
PARTS = ("validation", "test")
"""Parts on which methods are evaluated."""
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


@dataclass(eq=False)
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
        return {part: getattr(self.data, part) for part in PARTS}

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
        *,
        model: Model | None = None,
        build: Callable[[], VAE] | None = None,
        training: Training | None = None,
    ) -> TrainedModel:
        """VAE trained on the training images without labels, with the weights of its last epoch.

        Args:
            model: by default the data set's model.
            build: initial VAE; by default of ``model``.
            training: by default ``passes`` epochs of Muon.
        """
        model = model or self.model
        make = build or (lambda: model.build(self.data.train.shape))
        training = training or Training(epochs=self.passes, batch=256, optimiser=Muon(rate=0.035))
        identity = {"model": model.model_dump(), "kind": name}
        return self.experiment.network(
            f"{self.name}/{name}", self.data, make, (self.unlabelled, None), objective, training, 0, identity
        )

    def vae(self, name: str) -> TrainedModel:
        """Trained VAE of a representation."""
        return VAES[name](self, name)

    def initial_vae(self, name: str) -> TrainedModel:
        """VAE that self-training starts from when its graph is of this representation."""
        return self.vae(INITIAL_VAES.get(name, name))

    @cache  # noqa: B019 - a context lives as long as its process
    def features(self, name: str) -> Features:
        """Codes of the training, validation and test images in a representation."""
        if name == "pixels":
            return pixel_features(self.data)
        if name == "pca":
            return pca_features(self.features("pixels"), self.dimensions, 0)
        if name == "random":
            torch.manual_seed(0)
            return latent_features("random", self.pair_model.build(self.data.train.shape).eval(), self.data)
        return self.vae(name).features

    @cache  # noqa: B019
    def graph(self, name: str) -> Graph:
        """Neighbour graph of the training images' codes."""
        self.experiment.report(f"{self.name}: graph of {name}")
        return Graph.from_codes(self.features(name).train.mean.numpy())

    @cache  # noqa: B019
    def neighbour_weights(self, name: str) -> dict[str, sparse.csr_array]:
        """Weights of the nearest training images in the graph, for validation and test images."""
        graph, features = self.graph(name), self.features(name)
        return {part: graph.connect(getattr(features, part).mean.numpy()) for part in PARTS}

    def key(self, name: str) -> str:
        """Key of everything that decides a representation."""
        if name in VAES:
            return self.vae(name).key
        return f"{name} {self.dimensions} {self.data.fingerprint}"


INITIAL_VAES = {"contrastive-wide": "contrastive-bold"}
"""By representation of the graph: VAE that self-training starts from where twice the filters would take too long."""
PAIRED: dict[str, AugmentationLevel] = {
    "consistent-3": "standard",
    "contrastive-30": "standard",
    "contrastive-bold": "strong",
    "contrastive-wide": "strong",
}
"""VAEs trained on pairs of an image and its augmented copy, with their augmentation; one of them is selected."""


def _paired(context: DatasetContext, name: str) -> TrainedModel:
    augmentation = context.augmentation_at(PAIRED[name])
    model = context.wide_model if name in INITIAL_VAES else context.pair_model
    if name == "consistent-3":
        return context.train_vae(name, Consistent(weight=3.0, augmentation=augmentation), model=model)
    return context.train_vae(name, Contrastive(weight=30.0, augmentation=augmentation), model=model)


def _local(context: DatasetContext, name: str) -> TrainedModel:
    model = LocalDecoderModel(latent=context.model.latent, network=context.model.network)
    return context.train_vae(name, Elbo(beta=1.0), build=lambda: model.build(context.data.train.shape))


def _mixture(context: DatasetContext, name: str) -> TrainedModel:
    """VaDE, initialised by the plain VAE and a mixture fitted to its means, as its authors initialise it by an
    autoencoder. Trained by Adam: Muon is for weight matrices, which the mixture's centres are not."""
    base = context.vae("elbo")

    def fit() -> dict[str, np.ndarray]:
        fitted = Clusters.fit(base.features.train.mean.numpy(), COMPONENTS).mixture
        return {"shares": fitted.weights_, "centres": fitted.means_, "scales": np.sqrt(fitted.covariances_)}

    start = context.experiment.arrays(f"{context.name}/mixture-start", {"of": base.key, "components": COMPONENTS}, fit)
    parameters = [torch.from_numpy(start[key]).float() for key in ("shares", "centres", "scales")]
    epochs, optimiser = 2 * context.passes // 3, Adam(rate=7e-3, beta2=0.99)
    return context.train_vae(
        name,
        VaDEElbo(),
        build=lambda: VaDE(copy.deepcopy(base.vae).cpu(), *parameters),
        training=Training(epochs=epochs, batch=256, optimiser=optimiser),
    )


VAES: dict[str, Callable[[DatasetContext, str], TrainedModel]] = {
    "elbo": lambda context, name: context.train_vae(name, Elbo(beta=1.0)),
    **dict.fromkeys(PAIRED, _paired),
    "local": _local,
    "mixture": _mixture,
}
"""Representations learned without labels."""
