"""Arena: one data set with its saved draws of labels, its representations and their graphs, each made once."""

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
from sklearn.mixture import GaussianMixture
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
from vaebench.models.vade import VaDE, VaDEElbo
from vaebench.models.vae import VAE, Model
from vaebench.semi_supervised.graphs import Graph
from vaebench.training.loop import Training
from vaebench.training.schedules import Adam, AnyOptimiser, Muon

COMPONENTS = 100
PARTS = ("held", "test")
MUON = Muon(rate=0.035)
Knowledge = Literal["nothing", "own", "bolder"]
"""Of augmentation: the data set's own, or a bolder one."""


class LabelDraw(NamedTuple):
    """All that a method may read of labels: a draw's rows of the training part, and the labels of these."""

    rows: Int[Tensor, " M"]
    labels: Int[Tensor, " M"]
    seed: int


@dataclass
class DatasetContext:
    """One data set. Its validation part is the *held* part: training images that no method trains on and whose labels
    are never drawn; choices for other data sets read it.

    ``dimensions`` are those of a frozen representation: of PCA, a random encoder, VAEs of pairs. ``passes`` is how
    often a VAE passes through the training images, those of pairs with an augmented image beside each; ``steps`` are
    those of the whole method, in all its rounds.
    """

    experiment: Experiment
    name: str
    data: Dataset
    model: Model
    augmentation: Augmentation
    dimensions: int
    passes: int
    steps: int
    features_made: dict[str, Features] = field(default_factory=dict)
    graphs_made: dict[str, Graph] = field(default_factory=dict)
    joined_made: dict[str, dict[str, sparse.csr_array]] = field(default_factory=dict)

    @property
    def classes(self) -> int:
        """Y."""
        return len(self.data.classes)

    @cached_property
    def unlabelled(self) -> Images:
        """The training part, every label hidden."""
        return self.data.train.without_labels()

    @property
    def parts(self) -> dict[str, Images]:
        """What methods are tested on."""
        return {"held": self.data.validation, "test": self.data.test}

    @property
    def coded(self) -> Model:
        """The model with as many latents as a frozen representation may have: that of VAEs of pairs."""
        return self.model.model_copy(update={"latent": self.dimensions})

    @property
    def wide(self) -> Model:
        """The same with twice the filters."""
        network = self.model.network
        assert isinstance(network, Conv)
        filters = tuple(2 * count for count in network.filters)
        return self.coded.model_copy(update={"network": network.model_copy(update={"filters": filters})})

    def known(self, knowledge: Knowledge) -> Augmentation:
        """What is still taken for the same image."""
        if knowledge == "nothing":
            return Augmentation()
        return bolder(self.augmentation) if knowledge == "bolder" else self.augmentation

    def given(self, count: int, draw: int) -> LabelDraw:
        """The saved draw of so many labels a class: every method reads the same."""
        identity = {"data": self.experiment.fingerprint(self.data), "count": count, "draw": draw}

        def make() -> dict[str, Any]:
            return {"rows": balanced_draw(self.data.train.labels, count, (0, draw)).tolist()}

        rows = torch.tensor(self.experiment.step(f"{self.name}/draws/{count}-{draw}", identity, make)["rows"])
        return LabelDraw(rows, self.data.train.labels[rows], draw)

    # -- representations -----------------------------------------------------------------------------------------

    def trial(
        self,
        name: str,
        objective: Objective,
        passes: int,
        build: Callable[[], VAE] | None = None,
        optimiser: AnyOptimiser = MUON,
        model: Model | None = None,
    ) -> TrainedModel:
        """A VAE trained on the training part without labels; its last epoch is kept. It is of the data set's own model
        if not of another, begun as that does if not in another way."""
        shape, own = self.data.train.shape, model or self.model
        training = Training(epochs=max(1, passes), batch=256, optimiser=optimiser)
        make = build or (lambda: own.build(shape))
        identity = {"model": own.model_dump(), "kind": name}
        return self.experiment.network(
            f"{self.name}/{name}", self.data, make, (self.unlabelled, None), objective, training, 0, identity
        )

    def vae(self, name: str) -> TrainedModel:
        """The VAE of this representation."""
        return VAES[name](self, name)

    def trunk(self, name: str) -> TrainedModel:
        """The VAE that self-training begins with, where this representation makes the graph."""
        return self.vae(TRUNKS.get(name, name))

    def features(self, name: str) -> Features:
        """Codes of the three parts."""
        if name not in self.features_made:
            self.features_made[name] = self._features(name)
        return self.features_made[name]

    def _features(self, name: str) -> Features:
        if name == "pixels":
            return pixel_features(self.data)
        if name == "pca":
            return pca_features(self.features("pixels"), self.dimensions, 0)
        if name == "random":
            torch.manual_seed(0)
            return latent_features("random", self.coded.build(self.data.train.shape).eval(), self.data)
        return self.vae(name).features

    def codes(self, name: str) -> dict[str, Codes]:
        """Standardised codes: ``train`` with every label hidden, ``held`` and ``test``."""
        standard = self.features(name).standardised()
        return {"train": standard.train, "held": standard.validation, "test": standard.test}

    def graph(self, name: str) -> Graph:
        """The graph of the training part's codes."""
        if name not in self.graphs_made:
            self.experiment.tell(f"{self.name}: graph of {name}")
            codes = self.features(name).train.mean.numpy()
            self.graphs_made[name] = Graph.from_codes(codes)
        return self.graphs_made[name]

    def joined(self, name: str) -> dict[str, sparse.csr_array]:
        """How the held and the test part join that graph: weights of their nearest training images."""
        if name not in self.joined_made:
            graph, features = self.graph(name), self.features(name)
            codes = {"held": features.validation, "test": features.test}
            self.joined_made[name] = {part: graph.connect(codes[part].mean.numpy()) for part in PARTS}
        return self.joined_made[name]

    def key(self, name: str) -> str:
        """Names everything that decided a representation."""
        if name in VAES:
            return self.vae(name).key
        return f"{name} {self.dimensions} {self.experiment.fingerprint(self.data)}"


def _plain(context: DatasetContext, name: str) -> TrainedModel:
    return context.trial(name, Elbo(beta=1.0), context.passes)


def _paired(
    objective: type[Consistent] | type[Contrastive], weight: float
) -> Callable[[DatasetContext, str], TrainedModel]:
    def make(context: DatasetContext, name: str) -> TrainedModel:
        chosen = objective(weight=weight, augmentation=context.known(PAIRED[name]))
        return context.trial(name, chosen, context.passes, model=context.wide if name in TRUNKS else context.coded)

    return make


def _local(context: DatasetContext, name: str) -> TrainedModel:
    model = LocalDecoderModel(latent=context.model.latent, network=context.model.network)
    return context.trial(name, Elbo(beta=1.0), context.passes, lambda: model.build(context.data.train.shape))


def _mixture(context: DatasetContext, name: str) -> TrainedModel:
    """VaDE, from the plain VAE and a mixture fitted to its means, as its authors start it from an autoencoder. By Adam:
    the centres of a mixture are no matrix that maps."""
    base = context.vae("elbo")

    def fit() -> dict[str, np.ndarray]:
        means = base.features.train.mean.numpy()
        fitted = GaussianMixture(COMPONENTS, covariance_type="diag", max_iter=50, random_state=0).fit(means)
        return {"shares": fitted.weights_, "centres": fitted.means_, "scales": np.sqrt(fitted.covariances_)}

    start = context.experiment.arrays(f"{context.name}/mixture-start", {"of": base.key, "components": COMPONENTS}, fit)
    parts = [torch.from_numpy(start[part]).float() for part in ("shares", "centres", "scales")]
    return context.trial(
        name,
        VaDEElbo(),
        2 * context.passes // 3,
        lambda: VaDE(copy.deepcopy(base.vae).cpu(), *parts),
        Adam(rate=7e-3, beta2=0.99),
    )


VAES: dict[str, Callable[[DatasetContext, str], TrainedModel]] = {
    "elbo": _plain,
    "consistent-3": _paired(Consistent, 3.0),
    "contrastive-30": _paired(Contrastive, 30.0),
    "contrastive-bold": _paired(Contrastive, 30.0),
    "contrastive-wide": _paired(Contrastive, 30.0),
    "local": _local,
    "mixture": _mixture,
}
"""Representations learned without labels; those of pairs read images beside their augmented selves."""
TRUNKS = {"contrastive-wide": "contrastive-bold"}
"""The VAE that self-training begins with, where that would take too long with the one, of twice the filters, that makes
the graph."""
PAIRED: dict[str, Knowledge] = {
    "consistent-3": "own",
    "contrastive-30": "own",
    "contrastive-bold": "bolder",
    "contrastive-wide": "bolder",
}
"""Those that a search on other data chooses from, and what they know of augmentation."""
