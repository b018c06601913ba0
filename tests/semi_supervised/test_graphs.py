"""Weights of nearest-neighbour graphs."""

import numpy as np

from vaebench.semi_supervised.graphs import Graph


def cloud(seed=0, size=60, dimensions=3):
    return np.random.default_rng(seed).normal(size=(size, dimensions))


def test_weights_by_hand():
    graph = Graph.from_codes(np.array([[0.0], [1.0], [3.0]]), neighbours=2)
    near, far = np.exp(-4 * 1 / 9), np.exp(-4.0)  # of code 0: d = 1 and d = 3, the farthest
    other = np.exp(-4 * 1 / 4)  # of code 1: d = 1 and d = 2
    last = np.exp(-4 * 4 / 9)  # of code 2: d = 2 and d = 3
    expected = np.array([[0, (near + other) / 2, far], [0, 0, (far + last) / 2], [0, 0, 0]])
    np.testing.assert_allclose(graph.weights.toarray(), expected + expected.T, rtol=1e-12)


def test_no_code_is_its_own_neighbour_even_among_equal_codes():
    graph = Graph.from_codes(np.concatenate([np.zeros((30, 2)), cloud(dimensions=2)]), neighbours=5)
    assert np.all(graph.weights.diagonal() == 0)
    assert np.all(np.isfinite(graph.weights.data))
    assert abs(graph.weights - graph.weights.T).max() == 0
    assert np.all(np.diff(graph.weights.indptr) >= 5)


def test_a_new_code_equal_to_a_code_of_the_graph_has_its_largest_weight_there():
    codes = cloud()
    weights = Graph.from_codes(codes).connect(codes)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_array_equal(weights.toarray().argmax(1), np.arange(60))


def test_fewer_codes_than_neighbours_are_all_connected():
    graph = Graph.from_codes(cloud(size=4), neighbours=10)
    assert (graph.weights.toarray() > 0).sum() == 4 * 3
