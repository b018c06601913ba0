"""TEACHERS: what a half-taught network's next round of self-training takes for the classes of its images.

They compute in the precision of training, which this is: none of it is a score.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field
from sklearn.decomposition import PCA
from sklearn.random_projection import SparseRandomProjection
from torch import Tensor
from torch.nn import functional as F

from vaebench.core.frozen import Frozen, one_of
from vaebench.data.images import HIDDEN, Images
from vaebench.models.classifying_vae import ClassifyingVAE
from vaebench.semi_supervised.graphs import CentredSpreading, Graph, LabelSpreading, confident_labels
from vaebench.training.compute import Compute
from vaebench.training.prediction import predict_with

BATCH = 500
WIDE, NARROW = 4096, 1024
"""Features of large images are more than this many, too many for memory: so many random sums of them are kept."""


class PseudoLabelTask(NamedTuple):
    """What a pseudo_labeller may read."""

    images: Images
    """All of them, every label hidden."""
    seen: Int[Tensor, " S"]
    """Rows of those that the round is about."""
    rows: Int[Tensor, " M"]
    """Rows of those whose labels are given."""
    labels: Int[Tensor, " M"]
    """Theirs."""
    classes: int
    seed: int


@runtime_checkable
class PseudoLabeller(Protocol):
    """A way to name the classes of images by a network that half knows them."""

    def scores(self, model: ClassifyingVAE, lesson: PseudoLabelTask, compute: Compute) -> Float[np.ndarray, "S Y"]:
        """Scores of the images seen, the highest its class."""
        ...


class NetworkPseudoLabels(Frozen):
    """The network's own answers. Lee 2013, "Pseudo-label: the simple and efficient semi-supervised learning method for
    deep neural networks", eq. 14."""

    kind: Literal["network"] = "network"

    def scores(self, model: ClassifyingVAE, lesson: PseudoLabelTask, compute: Compute) -> Float[np.ndarray, "S Y"]:
        """Class probabilities; asks for the images seen alone."""
        part = lesson.images.take(lesson.seen)
        with compute.autocast():
            return np.asarray(predict_with(model, lesson.seed, compute)(part))


class GraphPseudoLabels(Frozen):
    """Labels spread along the graph of the features that the network has learned, each image called what its neighbours
    are: once the given ones, once its surest answers with them, the two added with equal spread.

    The first is Iscen et al. 2019, "Label propagation for deep semi-supervised learning", section 4. From one label a
    class it falls behind what the network knows by then; the second alone forgets which labels are true.
    """

    kind: Literal["graph"] = "graph"
    share: float = Field(0.5, gt=0, le=1)
    """Of each class, the share of the network's answers that is spread, the surest."""
    dimensions: int = Field(48, ge=1)
    """Principal components of the features in which neighbours are sought."""
    spreading: CentredSpreading = CentredSpreading(spreading=LabelSpreading(iterations=40))

    def scores(self, model: ClassifyingVAE, lesson: PseudoLabelTask, compute: Compute) -> Float[np.ndarray, "S Y"]:
        """Asks for all images: a graph of some would lose the neighbours of others."""
        features, logits = _seen_by(model, lesson.images, compute)
        rows, labels = lesson.rows.numpy(), lesson.labels.numpy()
        known = confident_labels(logits.softmax(-1).numpy(), self.share)
        known[rows] = labels
        sure = np.flatnonzero(known != HIDDEN)
        graph = Graph.of(self._codes(features))
        given = self.spreading.spread(graph, rows, labels, lesson.classes)
        own = self.spreading.spread(graph, sure, known[sure], lesson.classes)
        added: np.ndarray = (_even(given) + _even(own))[lesson.seen.numpy()]
        return added

    def _codes(self, features: Float[Tensor, "N F"]) -> Float[np.ndarray, "N D"]:
        """Features about their mean and of unit length, so that distances are those of cosines."""
        unit = F.normalize(features - features.mean(0), dim=1).numpy()
        components = PCA(min(self.dimensions, *unit.shape), svd_solver="randomized", iterated_power=4, random_state=0)
        found: np.ndarray = components.fit_transform(unit)
        return found


def _even(scores: np.ndarray) -> np.ndarray:
    return scores / max(float(scores.std()), 1e-300)


@torch.no_grad()
def _seen_by(
    model: ClassifyingVAE, images: Images, compute: Compute
) -> tuple[Float[Tensor, "N F"], Float[Tensor, "N Y"]]:
    """The features of all images, few enough for memory, and logits of their classes."""
    model.eval()
    features, logits = [], []
    with compute.autocast():
        for rows in torch.arange(len(images)).split(BATCH):
            found = model.features(images.batch(rows).x.to(compute.device))
            features.append(_narrow(found.float().cpu()))
            logits.append(model.logits(found).cpu())
    return torch.cat(features), torch.cat(logits)


def _narrow(features: Float[Tensor, "B F"]) -> Float[Tensor, "B G"]:
    """The same, or random sums of them that keep distances nearly as they are; the same sums at every call."""
    if features.shape[1] <= WIDE:
        return features
    sums = SparseRandomProjection(NARROW, random_state=0).fit(features[:1].numpy())
    return torch.from_numpy(sums.transform(features.numpy())).float()


PSEUDO_LABELLERS = {"network": NetworkPseudoLabels, "graph": GraphPseudoLabels}

if TYPE_CHECKING:
    AnyPseudoLabeller = PseudoLabeller
else:
    AnyPseudoLabeller = one_of(PSEUDO_LABELLERS)
