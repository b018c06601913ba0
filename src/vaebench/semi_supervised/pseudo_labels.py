"""PSEUDO_LABELLERS: pseudo-labels for the next round of self-training, from the network of the previous round.

They are computed in the precision of training, since none of them is a score.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from vaebench.core.frozen import Frozen, one_of
from vaebench.data.images import HIDDEN, Images
from vaebench.models.classifying_vae import ClassifyingVAE
from vaebench.semi_supervised.graphs import Graph
from vaebench.semi_supervised.label_propagation import CentredSpreading, LabelSpreading, confident_labels, unit_scale
from vaebench.training.compute import Compute
from vaebench.training.prediction import predict_with

BATCH = 500
MAX_FEATURES, PROJECTED_FEATURES = 4096, 1024
"""Networks of large images have more features than fit memory: more than 4,096 are randomly projected to 1,024."""


class PseudoLabelTask(NamedTuple):
    """Images and labels from which pseudo-labels are computed."""

    images: Images
    """All images, without labels."""
    subset: Int[Tensor, " S"]
    """Rows of the images that need pseudo-labels."""
    rows: Int[Tensor, " M"]
    """Rows of the labelled images."""
    labels: Int[Tensor, " M"]
    """Labels of ``rows``."""
    classes: int
    seed: int


@runtime_checkable
class PseudoLabeller(Protocol):
    """A method that computes pseudo-labels with a partly trained network."""

    def scores(self, model: ClassifyingVAE, task: PseudoLabelTask, compute: Compute) -> Float[np.ndarray, "S Y"]:
        """Class scores of the images of ``task.subset``; the highest score is the class."""
        ...


class NetworkPseudoLabels(Frozen):
    """The predictions of the network. Lee 2013, "Pseudo-label: the simple and efficient semi-supervised learning method
    for deep neural networks", eq. 14."""

    kind: Literal["network"] = "network"

    def scores(self, model: ClassifyingVAE, task: PseudoLabelTask, compute: Compute) -> Float[np.ndarray, "S Y"]:
        """Class probabilities; only images of the subset pass through the network."""
        part = task.images.take(task.subset)
        with compute.autocast():
            return np.asarray(predict_with(model, task.seed, compute)(part))


class GraphPseudoLabels(Frozen):
    """Labels propagated along the graph of the network's features: the sum of the scores propagated from the labels and
    of those propagated from the labels and the most confident predictions, both scaled to unit standard deviation.

    The former is Iscen et al. 2019, "Label propagation for deep semi-supervised learning", section 4. From one label
    per class it is less accurate than the network by then; the latter alone does not distinguish labels from
    predictions.
    """

    kind: Literal["graph"] = "graph"
    confident_fraction: float = Field(0.5, gt=0, le=1)
    """Most confident fraction of the network's predictions of each class that are propagated."""
    dimensions: int = Field(48, ge=1)
    """Principal components of the features in which nearest neighbours are searched."""
    spreading: CentredSpreading = CentredSpreading(spreading=LabelSpreading(iterations=40))

    def scores(self, model: ClassifyingVAE, task: PseudoLabelTask, compute: Compute) -> Float[np.ndarray, "S Y"]:
        """Class scores; all images pass through the network, since a graph of a subset has other neighbours."""
        features, logits = _features_and_logits(model, task.images, compute)
        rows, labels = task.rows.numpy(), task.labels.numpy()
        predictions = confident_labels(logits.softmax(-1).numpy(), self.confident_fraction)
        predictions[rows] = labels
        confident = np.flatnonzero(predictions != HIDDEN)
        graph = Graph.from_codes(self._codes(features))
        from_labels = self.spreading.propagate(graph, rows, labels, task.classes)
        from_predictions = self.spreading.propagate(graph, confident, predictions[confident], task.classes)
        return np.asarray((unit_scale(from_labels) + unit_scale(from_predictions))[task.subset.numpy()])

    def _codes(self, features: Float[Tensor, "N F"]) -> Float[np.ndarray, "N D"]:
        """Principal components of centred features of unit length, so that distances are those of cosines."""
        unit = F.normalize(features - features.mean(0), dim=1).numpy()
        from sklearn.decomposition import PCA

        pca = PCA(min(self.dimensions, *unit.shape), svd_solver="randomized", iterated_power=4, random_state=0)
        return np.asarray(pca.fit_transform(unit))


@torch.no_grad()
def _features_and_logits(
    model: ClassifyingVAE, images: Images, compute: Compute
) -> tuple[Float[Tensor, "N F"], Float[Tensor, "N Y"]]:
    """Features, randomly projected if there are many, and class logits of all images."""
    model.eval()
    features, logits = [], []
    with compute.autocast():
        for rows in torch.arange(len(images)).split(BATCH):
            batch = model.features(images.batch(rows).x.to(compute.device))
            features.append(_project(batch.float().cpu()))
            logits.append(model.logits(batch).cpu())
    return torch.cat(features), torch.cat(logits)


def _project(features: Float[Tensor, "B F"]) -> Float[Tensor, "B G"]:
    """Random projection, the same at every call, that nearly preserves distances; unchanged if features are few."""
    if features.shape[1] <= MAX_FEATURES:
        return features
    from sklearn.random_projection import SparseRandomProjection

    projection = SparseRandomProjection(PROJECTED_FEATURES, random_state=0).fit(features[:1].numpy())
    return torch.from_numpy(projection.transform(features.numpy())).float()


PSEUDO_LABELLERS = {"network": NetworkPseudoLabels, "graph": GraphPseudoLabels}

if TYPE_CHECKING:
    AnyPseudoLabeller = PseudoLabeller
else:
    AnyPseudoLabeller = one_of(PSEUDO_LABELLERS)
