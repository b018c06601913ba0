"""Teachers on images whose classes are known: what each may ask, what it follows, what it leaves out."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vaebench.data.images import HIDDEN, Images
from vaebench.models.classifying_vae import ClassifyingVAE
from vaebench.semi_supervised.graphs import Graph, confident_labels
from vaebench.semi_supervised.pseudo_labels import (
    NARROW,
    PSEUDO_LABELLERS,
    WIDE,
    GraphPseudoLabels,
    NetworkPseudoLabels,
    PseudoLabelTask,
    _narrow,
)
from vaebench.training.compute import Compute

COMPUTE = Compute(device="cpu", precision="fp32", threads=1)
COUNT = 120


class Half(ClassifyingVAE):
    """Sees which half of an image is bright; answers what the first pixel says, as surely as the second says."""

    def __init__(self):
        nn.Module.__init__(self)
        self.temperature, self.asked = torch.ones(()), 0

    def features(self, x):
        self.asked += len(x)
        self.rounded = torch.is_autocast_enabled("cpu")
        return x.flatten(1)

    def logits(self, features):
        answer, sure = (features[:, 0] > 0).long(), features[:, 1]
        return F.one_hot(answer, 2) * (100 * sure[:, None])


def scene(answers, sureness, noise=25):
    """Images of two classes, the first half of them bright on the left; and their true classes."""
    rng, truth = np.random.default_rng(0), np.arange(COUNT) // (COUNT // 2)
    pixels = rng.integers(0, noise, (COUNT, 1, 4, 6))
    for half in (0, 1):
        pixels[truth == half, :, 1:, 3 * half : 3 * half + 3] += 200
    pixels[:, 0, 0, 0], pixels[:, 0, 0, 1] = answers(truth), sureness(truth)
    images = Images(torch.from_numpy(pixels).to(torch.uint8), torch.full((COUNT,), HIDDEN), ("left", "right"))
    return images, truth


def lesson_of(images, rows, labels, seen=None):
    seen = torch.arange(COUNT) if seen is None else seen
    return PseudoLabelTask(images, seen, torch.tensor(rows), torch.tensor(labels), 2, 0)


def a_fifth_wrong(truth):
    return np.where(np.arange(COUNT) % 5 == 0, 1 - truth, truth)


def unsure_where_wrong(truth):
    return np.where(np.arange(COUNT) % 5 == 0, 1, 9)


def test_own_answers_are_the_networks():
    images, truth = scene(a_fifth_wrong, unsure_where_wrong)
    found = NetworkPseudoLabels().scores(Half(), lesson_of(images, [1], [0]), COMPUTE)
    assert found.argmax(1).tolist() == a_fifth_wrong(truth).tolist()
    unsure = np.argsort(found.max(1), kind="stable")[: COUNT // 5]
    assert sorted(unsure) == list(range(0, COUNT, 5))


def test_a_graph_of_features_mends_answers_that_neighbours_contradict():
    images, truth = scene(a_fifth_wrong, unsure_where_wrong)
    found = GraphPseudoLabels().scores(Half(), lesson_of(images, [1, COUNT - 1], [0, 1]), COMPUTE)
    assert found.argmax(1).tolist() == truth.tolist()


def test_only_the_surest_answers_are_spread():
    images, truth = scene(unsure_and_wrong_for_most, lambda truth: np.where(np.arange(COUNT) % 5 < 2, 9, 1))
    lesson = lesson_of(images, [1, COUNT - 1], [0, 1])
    assert GraphPseudoLabels(share=0.4).scores(Half(), lesson, COMPUTE).argmax(1).tolist() == truth.tolist()
    assert (GraphPseudoLabels(share=1.0).scores(Half(), lesson, COMPUTE).argmax(1) == truth).mean() < 0.5


def unsure_and_wrong_for_most(truth):
    return np.where(np.arange(COUNT) % 5 < 2, truth, 1 - truth)


def test_a_given_label_outweighs_a_network_that_names_one_class_alone():
    images, truth = scene(lambda truth: np.zeros_like(truth), lambda truth: np.where(truth == 0, 9, 1))
    found = GraphPseudoLabels().scores(Half(), lesson_of(images, [COUNT - 1], [1]), COMPUTE)
    assert found.argmax(1).tolist() == truth.tolist()


def test_given_labels_and_sure_answers_are_spread_apart_and_added_with_equal_spread():
    fading = np.geomspace(120, 2, 24).reshape(4, 6)  # so that five components are told from the rest
    images, _ = scene(a_fifth_wrong, unsure_where_wrong, noise=fading)
    pseudo_labeller = GraphPseudoLabels(share=0.3, dimensions=5)
    features = images.batch(torch.arange(COUNT)).x.flatten(1).double().numpy()
    unit = features - features.mean(0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    unit -= unit.mean(0)
    graph = Graph.of(unit @ np.linalg.svd(unit)[2][:5].T)
    lesson = lesson_of(images, [1, 2, COUNT - 2], [0, 0, 1])
    answers = confident_labels(Half()(images.batch(torch.arange(COUNT)).x).softmax(-1).numpy(), 0.3)
    answers[lesson.rows] = lesson.labels
    sure = np.flatnonzero(answers != HIDDEN)
    pairs = ((lesson.rows.numpy(), lesson.labels.numpy()), (sure, answers[sure]))
    given, own = (pseudo_labeller.spreading.spread(graph, rows, labels, 2) for rows, labels in pairs)
    found = pseudo_labeller.scores(Half(), lesson, COMPUTE)
    np.testing.assert_allclose(found, given / given.std() + own / own.std(), atol=0.02)  # fp32 codes
    assert np.abs(found).max() > 1


@pytest.mark.parametrize("pseudo_labeller", [kind() for kind in PSEUDO_LABELLERS.values()], ids=PSEUDO_LABELLERS)
def test_a_pseudo_labeller_scores_the_images_seen_as_it_scores_them_among_all(pseudo_labeller):
    images, _ = scene(a_fifth_wrong, unsure_where_wrong)
    seen = torch.arange(1, COUNT, 3)
    few, all_of_them = (
        pseudo_labeller.scores(Half(), lesson_of(images, [1, COUNT - 2], [0, 1], rows), COMPUTE)
        for rows in (seen, None)
    )
    np.testing.assert_allclose(few, all_of_them[seen], rtol=1e-6)


def test_own_answers_ask_for_the_images_seen_and_a_graph_for_all():
    images, _ = scene(a_fifth_wrong, unsure_where_wrong)
    seen = torch.arange(1, COUNT, 3)
    for pseudo_labeller, asked in ((NetworkPseudoLabels(), len(seen)), (GraphPseudoLabels(), COUNT)):
        network = Half()
        pseudo_labeller.scores(network, lesson_of(images, [1], [0], seen), COMPUTE)
        assert network.asked == asked


@pytest.mark.parametrize("pseudo_labeller", [kind() for kind in PSEUDO_LABELLERS.values()], ids=PSEUDO_LABELLERS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_pseudo_labeller_computes_as_precisely_as_training_does(pseudo_labeller, precision):
    images, _ = scene(a_fifth_wrong, unsure_where_wrong)
    network = Half()
    pseudo_labeller.scores(network, lesson_of(images, [1], [0]), COMPUTE.model_copy(update={"precision": precision}))
    assert network.rounded == (precision == "bf16")


def test_features_of_large_images_are_kept_as_a_thousand_sums_that_keep_distances():
    features = torch.randn(40, WIDE + 1, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 41)[:, None]
    found = torch.cat([_narrow(part) for part in features.split(15)])
    assert found.shape == (40, NARROW)
    apart = torch.pdist(found) / torch.pdist(features)
    assert 0.8 < apart.min() < apart.max() < 1.2
    assert torch.equal(_narrow(features[:, :WIDE]), features[:, :WIDE])
