"""Clusters that get classes from a few labels."""

import numpy as np

from vaebench.evaluation.gaussian_mixture import Clusters


def groups(apart=8.0, size=200, seed=0):
    rng = np.random.default_rng(seed)
    truth = np.arange(4 * size) % 4
    corners = np.array([[0, 0], [1, 0], [0, 1], [1, 1]]) * apart
    return rng.normal(size=(4 * size, 2)) + corners[truth], truth


def test_one_label_per_cluster_classifies_all_codes():
    codes, truth = groups()
    clusters = Clusters.fit(codes, 4)
    rows = np.array([0, 1, 2, 3])
    names = clusters.component_classes(codes[rows], truth[rows], 4)
    np.testing.assert_allclose(names.sum(1), 1)
    found = clusters.probabilities(codes, names)
    np.testing.assert_allclose(found.sum(1), 1)
    assert (found.argmax(1) == truth).mean() > 0.99


def test_a_component_without_labels_gets_the_class_of_the_nearest():
    codes, _ = groups(apart=12.0)
    clusters = Clusters.fit(codes, 4)
    codes_seen, labels = np.array([[0.0, 0.0], [12.0, 12.0]]), np.array([0, 1])  # two corners have none
    names = clusters.component_classes(codes_seen, labels, 2)
    nearest = np.linalg.norm(clusters.mixture.means_[:, None] - codes_seen, axis=2)
    for component, (near, far) in enumerate(nearest):
        if abs(near - far) > 1:
            assert names[component].argmax() == int(far < near)
            assert names[component].max() > 0.9


def test_a_class_with_more_labels_has_no_more_weight():
    codes, _ = groups()
    clusters = Clusters.fit(codes, 4)
    once = clusters.component_classes(codes[[0, 1]], np.array([0, 1]), 2)
    thrice = clusters.component_classes(codes[[0, 0, 0, 1]], np.array([0, 0, 0, 1]), 2)
    np.testing.assert_allclose(once, thrice)


def test_labels_far_from_every_component_give_finite_probabilities():
    codes, _ = groups()
    clusters = Clusters.fit(codes, 4)
    names = clusters.component_classes(np.array([[1e4, 0.0], [0.0, -1e4]]), np.array([0, 1]), 2)
    assert np.isfinite(names).all()
    np.testing.assert_allclose(names.sum(1), 1)
