"""Nearest neighbours against scikit-learn's tree, in float64."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from vaebench.semi_supervised import graphs
from vaebench.semi_supervised.graphs import BLOCK, nearest


def codes(size, dimensions=5, seed=0):
    return np.random.default_rng(seed).normal(size=(size, dimensions))


def truth(known, queries, count):
    return NearestNeighbors(n_neighbors=count, algorithm="kd_tree").fit(known).kneighbors(queries)


@pytest.mark.parametrize("size", [11, BLOCK, BLOCK + 1, 7 * BLOCK - 3, 40 * BLOCK])
@pytest.mark.parametrize("max_distances", [1, 2**21])
def test_neighbours_equal_those_of_scikit_learn(size, max_distances, monkeypatch):
    monkeypatch.setattr(graphs, "MAX_DISTANCES", max_distances)
    known, queries = codes(size), codes(150, seed=1)
    distances, rows = nearest(known, queries, 11)
    expected, found = truth(known, queries, 11)
    np.testing.assert_array_equal(rows, found)
    np.testing.assert_allclose(distances, expected, rtol=1e-12)


def test_all_neighbours_in_one_block():
    """Sorted codes of one dimension: the blocks with the least distances have all nearest neighbours."""
    known = np.sort(codes(10 * BLOCK, 1), axis=0)
    distances, rows = nearest(known, known, BLOCK)
    expected, _ = truth(known, known, BLOCK)
    np.testing.assert_allclose(distances, expected, rtol=1e-12, atol=1e-15)
    assert all(len(set(row)) == BLOCK for row in rows.tolist())


def test_neighbours_far_from_the_origin_are_right_in_single_precision():
    known = (codes(500) + 1000).astype(np.float32)
    distances, rows = nearest(known, known[:50], 3)
    expected, found = truth(known.astype(np.float64), known[:50].astype(np.float64), 3)
    np.testing.assert_array_equal(rows, found)
    np.testing.assert_allclose(distances, expected, rtol=1e-3, atol=1e-6)
    assert distances.dtype == np.float32


def test_all_codes_are_neighbours_if_count_is_their_number():
    distances, rows = nearest(codes(9), codes(4, seed=1), 9)
    assert (np.sort(rows) == np.arange(9)).all()
    assert (np.diff(distances) >= 0).all()
