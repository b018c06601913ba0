"""NeighbourClassifier: the same scores as the graph's weights, also of stored codes, and through ONNX."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from vaebench.classification.neighbours import NeighbourClassifier
from vaebench.semi_supervised.graphs import Graph


@pytest.fixture
def codes():
    generator = np.random.default_rng(0)
    return (5 + generator.normal(size=(200, 6))).astype(np.float32), generator.normal(size=(200, 3))


def test_new_codes_have_the_scores_that_the_graph_gives_them(codes):
    known, scores = codes
    queries = (5 + np.random.default_rng(1).normal(size=(40, 6))).astype(np.float32)
    expected = Graph.from_codes(known).connect(queries) @ scores
    network = NeighbourClassifier(None, torch.from_numpy(known), torch.from_numpy(scores))
    assert_close(network(torch.from_numpy(queries)), torch.from_numpy(expected).float(), atol=1e-4, rtol=1e-4)


def test_weights_are_those_of_a_loop_in_float64(codes):
    known, scores = codes
    query = known[3] + 0.25
    distances = np.sqrt(np.square(known.astype(np.float64) - query).sum(1))
    nearest = np.argsort(distances)[:4]
    weights = np.exp(-4 * (distances[nearest] / distances[nearest[-1]]) ** 2)
    expected = (weights[:, None] * scores[nearest]).sum(0) / weights.sum()
    network = NeighbourClassifier(None, torch.from_numpy(known), torch.from_numpy(scores), neighbours=4)
    assert_close(network(torch.from_numpy(query)[None])[0], torch.from_numpy(expected).float(), atol=1e-4, rtol=1e-4)


def test_fewer_codes_than_neighbours_and_equal_codes_are_averaged():
    network = NeighbourClassifier(None, torch.ones(3, 2), torch.tensor([[3.0], [6.0], [0.0]]), neighbours=5)
    assert_close(network(torch.ones(1, 2)), torch.tensor([[3.0]]))


def test_saved_weights_build_the_same_network(codes):
    known, scores = map(torch.from_numpy, codes)
    network = NeighbourClassifier(None, known, scores)
    state = network.state_dict()
    again = NeighbourClassifier(None, state["codes"], state["scores"])
    again.load_state_dict(state)
    assert torch.equal(again(known), network(known))
