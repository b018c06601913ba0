"""Pseudo-labellers on images with known classes: which images they use, and which predictions they propagate."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vaebench.data.images import HIDDEN, Images
from vaebench.models.classifying_vae import ClassifyingVAE
from vaebench.semi_supervised.graphs import Graph
from vaebench.semi_supervised.label_propagation import confident_labels
from vaebench.semi_supervised.pseudo_labels import (
    MAX_FEATURES,
    PROJECTED_FEATURES,
    PSEUDO_LABELLERS,
    GraphPseudoLabels,
    NetworkPseudoLabels,
    PseudoLabelTask,
    _project,
)
from vaebench.training.compute import Compute

COMPUTE = Compute(device="cpu", precision="fp32", threads=1)
COUNT = 120


class Half(ClassifyingVAE):
    """Classifier with pixels as features: the first pixel is its prediction, the second its confidence."""

    def __init__(self):
        nn.Module.__init__(self)
        self.temperature, self.evaluated = torch.ones(()), 0

    def features(self, x):
        self.evaluated += len(x)
        self.rounded = torch.is_autocast_enabled("cpu")
        return x.flatten(1)

    def logits(self, features):
        prediction, confidence = (features[:, 0] > 0).long(), features[:, 1]
        return F.one_hot(prediction, 2) * (100 * confidence[:, None])


def scene(predictions, confidence, noise=25):
    """Images of two classes, the first half of them bright on the left; and their true classes."""
    rng, truth = np.random.default_rng(0), np.arange(COUNT) // (COUNT // 2)
    pixels = rng.integers(0, noise, (COUNT, 1, 4, 6))
    for half in (0, 1):
        pixels[truth == half, :, 1:, 3 * half : 3 * half + 3] += 200
    pixels[:, 0, 0, 0], pixels[:, 0, 0, 1] = predictions(truth), confidence(truth)
    images = Images(torch.from_numpy(pixels).to(torch.uint8), torch.full((COUNT,), HIDDEN), ("left", "right"))
    return images, truth


def task_of(images, rows, labels, subset=None):
    subset = torch.arange(COUNT) if subset is None else subset
    return PseudoLabelTask(images, subset, torch.tensor(rows), torch.tensor(labels), 2, 0)


def a_fifth_wrong(truth):
    return np.where(np.arange(COUNT) % 5 == 0, 1 - truth, truth)


def unconfident_where_wrong(truth):
    return np.where(np.arange(COUNT) % 5 == 0, 1, 9)


def test_network_pseudo_labels_are_its_predictions():
    images, truth = scene(a_fifth_wrong, unconfident_where_wrong)
    found = NetworkPseudoLabels().scores(Half(), task_of(images, [1], [0]), COMPUTE)
    assert found.argmax(1).tolist() == a_fifth_wrong(truth).tolist()
    unconfident = np.argsort(found.max(1), kind="stable")[: COUNT // 5]
    assert sorted(unconfident) == list(range(0, COUNT, 5))


def test_a_graph_of_features_corrects_predictions_that_neighbours_contradict():
    images, truth = scene(a_fifth_wrong, unconfident_where_wrong)
    found = GraphPseudoLabels().scores(Half(), task_of(images, [1, COUNT - 1], [0, 1]), COMPUTE)
    assert found.argmax(1).tolist() == truth.tolist()


def test_only_the_most_confident_predictions_are_propagated():
    images, truth = scene(unconfident_and_wrong_for_most, lambda truth: np.where(np.arange(COUNT) % 5 < 2, 9, 1))
    task = task_of(images, [1, COUNT - 1], [0, 1])
    assert GraphPseudoLabels(confident_fraction=0.4).scores(Half(), task, COMPUTE).argmax(1).tolist() == truth.tolist()
    assert (GraphPseudoLabels(confident_fraction=1.0).scores(Half(), task, COMPUTE).argmax(1) == truth).mean() < 0.5


def unconfident_and_wrong_for_most(truth):
    return np.where(np.arange(COUNT) % 5 < 2, truth, 1 - truth)


def test_a_label_outweighs_a_network_that_predicts_one_class_alone():
    images, truth = scene(lambda truth: np.zeros_like(truth), lambda truth: np.where(truth == 0, 9, 1))
    found = GraphPseudoLabels().scores(Half(), task_of(images, [COUNT - 1], [1]), COMPUTE)
    assert found.argmax(1).tolist() == truth.tolist()


def test_labels_and_confident_predictions_are_propagated_apart_and_added_with_equal_scale():
    fading = np.geomspace(120, 2, 24).reshape(4, 6)  # so that five components are told from the rest
    images, _ = scene(a_fifth_wrong, unconfident_where_wrong, noise=fading)
    pseudo_labeller = GraphPseudoLabels(confident_fraction=0.3, dimensions=5)
    features = images.batch(torch.arange(COUNT)).x.flatten(1).double().numpy()
    unit = features - features.mean(0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    unit -= unit.mean(0)
    graph = Graph.from_codes(unit @ np.linalg.svd(unit)[2][:5].T)
    task = task_of(images, [1, 2, COUNT - 2], [0, 0, 1])
    predictions = confident_labels(Half()(images.batch(torch.arange(COUNT)).x).softmax(-1).numpy(), 0.3)
    predictions[task.rows] = task.labels
    confident = np.flatnonzero(predictions != HIDDEN)
    pairs = ((task.rows.numpy(), task.labels.numpy()), (confident, predictions[confident]))
    given, own = (pseudo_labeller.spreading.propagate(graph, rows, labels, 2) for rows, labels in pairs)
    found = pseudo_labeller.scores(Half(), task, COMPUTE)
    np.testing.assert_allclose(found, given / given.std() + own / own.std(), atol=0.02)  # fp32 codes
    assert np.abs(found).max() > 1


@pytest.mark.parametrize("pseudo_labeller", [kind() for kind in PSEUDO_LABELLERS.values()], ids=PSEUDO_LABELLERS)
def test_scores_of_a_subset_equal_those_among_all_images(pseudo_labeller):
    images, _ = scene(a_fifth_wrong, unconfident_where_wrong)
    subset = torch.arange(1, COUNT, 3)
    few, all_of_them = (
        pseudo_labeller.scores(Half(), task_of(images, [1, COUNT - 2], [0, 1], rows), COMPUTE)
        for rows in (subset, None)
    )
    np.testing.assert_allclose(few, all_of_them[subset], rtol=1e-6)


def test_the_network_evaluates_the_subset_and_a_graph_all_images():
    images, _ = scene(a_fifth_wrong, unconfident_where_wrong)
    subset = torch.arange(1, COUNT, 3)
    for pseudo_labeller, evaluated in ((NetworkPseudoLabels(), len(subset)), (GraphPseudoLabels(), COUNT)):
        network = Half()
        pseudo_labeller.scores(network, task_of(images, [1], [0], subset), COMPUTE)
        assert network.evaluated == evaluated


@pytest.mark.parametrize("pseudo_labeller", [kind() for kind in PSEUDO_LABELLERS.values()], ids=PSEUDO_LABELLERS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_pseudo_labels_are_computed_in_the_precision_of_training(pseudo_labeller, precision):
    images, _ = scene(a_fifth_wrong, unconfident_where_wrong)
    network = Half()
    pseudo_labeller.scores(network, task_of(images, [1], [0]), COMPUTE.model_copy(update={"precision": precision}))
    assert network.rounded == (precision == "bf16")


def test_features_of_large_images_are_projected_with_nearly_the_same_distances():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(40, MAX_FEATURES + 1, generator=generator) * torch.arange(1, 41)[:, None]
    found = torch.cat([_project(part) for part in features.split(15)])
    assert found.shape == (40, PROJECTED_FEATURES)
    apart = torch.pdist(found) / torch.pdist(features)
    assert 0.8 < apart.min() < apart.max() < 1.2
    assert torch.equal(_project(features[:, :MAX_FEATURES]), features[:, :MAX_FEATURES])
