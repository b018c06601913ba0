"""Clustering accuracy compared with all assignments."""

from itertools import permutations

import numpy as np
import pytest

from vaebench.evaluation.clustering import clustering_accuracy


@pytest.mark.parametrize(("clusters", "classes"), [(4, 4), (5, 3), (2, 4)])
def test_it_is_the_best_of_all_one_to_one_assignments(clusters, classes):
    random = np.random.default_rng(clusters)
    found, labels = random.integers(0, clusters, 60), random.integers(0, classes, 60)
    named = [*range(classes), *[-1] * clusters]  # surplus clusters are assigned to no class
    best = max(np.mean(np.array(names)[found] == labels) for names in set(permutations(named, clusters)))
    assert clustering_accuracy(found, labels) == pytest.approx(best)


def test_renamed_classes_are_perfect():
    labels = np.array([0, 1, 2, 2, 1, 0])
    assert clustering_accuracy((labels + 1) % 3, labels) == 1.0
