"""Label propagation against dense linear algebra and on clusters."""

import numpy as np
import pytest

from vaebench.semi_supervised.graphs import Graph
from vaebench.semi_supervised.label_propagation import (
    LABEL_PROPAGATIONS,
    CentredSpreading,
    LabelSpreading,
    PoissonLearning,
    PoissonThenSpreading,
    PropagationByLabelCount,
    uniform_class_fractions,
)


def cloud(seed=0, size=60, dimensions=3):
    return np.random.default_rng(seed).normal(size=(size, dimensions))


def two_clusters(size=100, apart=6.0):
    rng = np.random.default_rng(1)
    truth = np.arange(2 * size) % 2
    return rng.normal(size=(2 * size, 4)) + apart * truth[:, None], truth


def test_poisson_learning_solves_its_equation():
    graph, rows, labels = Graph.from_codes(cloud()), np.array([0, 7, 20, 33]), np.array([0, 1, 2, 0])
    degrees = graph.degrees
    laplacian = np.diag(degrees) - graph.weights.toarray()
    right = np.zeros((60, 3))
    right[rows] = np.eye(3)[labels] - np.eye(3)[labels].mean(0)
    expected = np.linalg.pinv(laplacian) @ right
    expected -= degrees @ expected / degrees.sum()
    found = PoissonLearning(iterations=1000).propagate(graph, rows, labels, 3)
    np.testing.assert_allclose(found, expected, atol=1e-8)
    quick = PoissonLearning(iterations=50).propagate(graph, rows, labels, 3)  # fewer than there are codes
    np.testing.assert_allclose(quick, expected, atol=1e-5)


def test_label_spreading_solves_its_equation():
    graph, rows, labels = Graph.from_codes(cloud()), np.array([0, 7, 20, 33]), np.array([0, 1, 2, 0])
    root = np.diag(graph.degrees**-0.5)
    right = np.zeros((60, 3))
    right[rows] = np.eye(3)[labels] / np.array([2, 1, 1])
    expected = np.linalg.solve(np.eye(60) - 0.9 * root @ graph.weights.toarray() @ root, right)
    found = LabelSpreading(alpha=0.9, iterations=1000).propagate(graph, rows, labels, 3)
    np.testing.assert_allclose(found, expected, atol=1e-8)


def test_centred_spreading_is_spreading_by_all_eigenvectors_but_the_leading_one():
    graph, rows, labels = Graph.from_codes(cloud()), np.array([0, 7, 20, 33]), np.array([0, 1, 2, 0])
    root = np.diag(graph.degrees**-0.5)
    values, vectors = np.linalg.eigh(root @ graph.weights.toarray() @ root)
    assert values[-1] == pytest.approx(1.0)
    right = np.zeros((60, 3))
    right[rows] = np.eye(3)[labels] / np.array([2, 1, 1])
    expected = vectors[:, :-1] @ np.diag(1 / (1 - 0.9 * values[:-1])) @ vectors[:, :-1].T @ right
    propagation = CentredSpreading(spreading=LabelSpreading(alpha=0.9, iterations=1000))
    np.testing.assert_allclose(propagation.propagate(graph, rows, labels, 3), expected, atol=1e-8)


def test_a_class_whose_labels_have_many_neighbours_does_not_dominate_the_other():
    truth = np.arange(1000) % 2
    codes = np.random.default_rng(0).normal(size=(1000, 20)) + truth[:, None] * np.eye(20)[0] * 2
    graph = Graph.from_codes(codes)
    popular = np.argsort(graph.degrees)
    rows = np.concatenate([popular[truth[popular] == 0][-10:], popular[truth[popular] == 1][:10]])
    fractions = {
        kind: np.bincount(kind().propagate(graph, rows, truth[rows], 2).argmax(1), minlength=2) / 1000
        for kind in (LabelSpreading, CentredSpreading)
    }
    assert fractions[LabelSpreading][0] > 0.95
    assert abs(fractions[CentredSpreading][0] - 0.5) < 0.2


def test_by_labels_uses_spreading_alone_from_four_labels_per_class():
    graph = Graph.from_codes(np.random.default_rng(0).normal(size=(60, 3)))
    for count, other in ((3, PoissonThenSpreading()), (4, CentredSpreading())):
        rows, labels = np.arange(2 * count), np.arange(2 * count) % 2
        np.testing.assert_array_equal(
            PropagationByLabelCount().propagate(graph, rows, labels, 2), other.propagate(graph, rows, labels, 2)
        )


def test_poisson_then_spreading_spreads_confident_predictions_and_labels():
    graph, rows, labels = Graph.from_codes(cloud(size=120)), np.arange(0, 120, 3), np.arange(40) % 3
    scores = PoissonLearning().propagate(graph, rows, labels, 3)
    first = scores.argmax(1)
    ordered = np.sort(scores, 1)
    lead = ordered[:, -1] - ordered[:, -2]
    confident = np.zeros(120, bool)
    for label in range(3):
        own = first == label
        confident |= own & (lead >= np.sort(lead[own])[::-1][int(np.ceil(0.25 * own.sum())) - 1])
    assert not confident[rows].all()  # so that ignoring the labels would fail
    first[rows], confident[rows] = labels, True
    expected = LabelSpreading().propagate(graph, np.flatnonzero(confident), first[confident], 3)
    found = PoissonThenSpreading(confident_fraction=0.25).propagate(graph, rows, labels, 3)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("propagation", [kind() for kind in LABEL_PROPAGATIONS.values()], ids=lambda s: s.name)
def test_one_label_per_cluster_is_enough(propagation):
    codes, truth = two_clusters()
    graph = Graph.from_codes(codes)
    scores = propagation.propagate(graph, np.array([0, 1]), truth[:2], 2)
    np.testing.assert_array_equal(scores.argmax(1), truth)
    new, new_truth = codes + 0.05, truth
    np.testing.assert_array_equal((graph.connect(new) @ scores).argmax(1), new_truth)


@pytest.mark.parametrize("propagation", [kind() for kind in LABEL_PROPAGATIONS.values()], ids=lambda s: s.name)
def test_permuted_classes_permute_the_scores(propagation):
    graph, rows, labels = Graph.from_codes(cloud(size=200)), np.arange(0, 200, 25), np.arange(8) % 4
    order = np.array([2, 0, 3, 1])
    scores = propagation.propagate(graph, rows, labels, 4)
    np.testing.assert_allclose(propagation.propagate(graph, rows, order[labels], 4)[:, order], scores, atol=1e-12)


def test_uniform_fractions_are_equal_and_keep_the_order_within_a_class():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(3000, 3)) + np.array([0.0, 1.5, -1.0])
    assert np.bincount(scores.argmax(1)).min() < 300
    found = uniform_class_fractions(scores, softness=0.02)
    np.testing.assert_allclose(np.bincount(found.argmax(1)), 1000, atol=15)
    ratio = np.diff(found, axis=0) / np.diff(scores, axis=0)
    np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-6)
