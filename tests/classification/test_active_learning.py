"""The images to label next are typical, spread, unlabelled, and no near-duplicates; uncertain ones where labels are."""

import itertools

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from vaebench.classification import active_learning
from vaebench.classification.active_learning import (
    greedy_coverage,
    propagation_uncertainty,
    select_to_label_next,
    similarities,
)
from vaebench.semi_supervised.graphs import Graph
from vaebench.semi_supervised.label_propagation import PropagationByLabelCount

NONE = np.array([], dtype=np.int64)


def blobs(each=50, seed=0):
    """Four clusters of codes."""
    generator = np.random.default_rng(seed)
    centres = np.array([[0, 0], [20, 0], [0, 20], [20, 20.0]])
    return np.concatenate([centre + generator.normal(size=(each, 2)) for centre in centres])


def coverage_of(similarity, weights, selected):
    """Weighted sum over all images of the similarity to the nearest selected one."""
    return weights @ similarity[:, list(selected)].max(1)


@pytest.mark.parametrize(("images", "neighbours"), [(4, 4), (30, 5), (100, 12)])
def test_similarities_by_brute_force(images, neighbours):
    codes = np.random.default_rng(1).normal(size=(images, 3))
    distances = np.linalg.norm(codes[:, None] - codes, axis=2)
    farthest = np.sort(distances, axis=1)[:, neighbours - 1]
    one_way = np.where(distances <= farthest[:, None], np.exp(-4 * distances**2 / farthest[:, None] ** 2), 0)
    expected = np.maximum(one_way, one_way.T)
    np.testing.assert_allclose(similarities(codes, neighbours).toarray(), expected, atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_each_selected_image_adds_most_to_the_coverage_by_brute_force(seed):
    generator = np.random.default_rng(seed)
    similarity = similarities(generator.normal(size=(25, 2)), 8)
    weights, known = generator.uniform(size=25), np.array([3, 11])
    candidates = generator.uniform(size=25) > 0.3
    candidates[known] = False
    selected = greedy_coverage(similarity, weights, known, candidates, 6)
    dense, before = similarity.toarray(), [*known]
    for row in selected:
        totals = {i: coverage_of(dense, weights, [*before, i]) for i in np.flatnonzero(candidates) if i not in before}
        assert totals[row] == pytest.approx(max(totals.values()))
        before.append(row)


def test_the_greedy_coverage_is_near_the_best_of_all_subsets():
    """At least 1 - 1/e of it: Nemhauser et al. 1978, as coverage is monotone and submodular."""
    similarity = similarities(np.random.default_rng(3).normal(size=(14, 2)), 5)
    weights, everything = np.ones(14), np.ones(14, dtype=bool)
    dense = similarity.toarray()
    best = max(coverage_of(dense, weights, subset) for subset in itertools.combinations(range(14), 3))
    selected = greedy_coverage(similarity, weights, NONE, everything, 3)
    assert coverage_of(dense, weights, selected) >= (1 - 1 / np.e) * best


def test_without_labels_the_first_images_are_the_middles_of_clusters(monkeypatch):
    monkeypatch.setattr(active_learning, "OVERLAP", 1)  # an image is similar to as many as its cluster has
    codes = blobs()
    selected = select_to_label_next(codes, NONE, NONE, 4)
    assert sorted(selected // 50) == [0, 1, 2, 3]
    for row in selected:
        members = codes[row // 50 * 50 : row // 50 * 50 + 50]
        assert np.linalg.norm(codes[row] - members.mean(0)) < np.median(
            np.linalg.norm(members - members.mean(0), axis=1)
        )


def test_the_largest_cluster_without_a_label_comes_first():
    codes = np.concatenate([blobs(), blobs(70)[:70] + 60])
    assert select_to_label_next(codes, np.array([10, 60]), np.array([0, 0]), 1) >= 200
    selected = select_to_label_next(codes, np.array([10, 60, 220]), np.array([0, 0, 0]), 2)
    assert sorted(selected // 50) == [2, 3]


def test_the_uncertainty_is_the_fraction_of_images_with_a_larger_margin():
    codes, rows, labels = blobs(), np.array([0, 60, 110, 111, 160]), np.array([7, 4, 4, 7, 9])
    doubt = propagation_uncertainty(codes, rows, labels)
    scores = PropagationByLabelCount().propagate(Graph.from_codes(codes), rows, np.array([1, 0, 0, 1, 2]), 3)
    first, second = np.sort(scores, axis=1)[:, [2, 1]].T
    expected = [np.mean(first - second > margin) for margin in first - second]
    np.testing.assert_allclose(doubt, expected)
    assert doubt[100:150].mean() > doubt[:100].mean()  # the only cluster with labels of two classes


def test_labels_of_one_class_leave_all_images_uncertain():
    assert (propagation_uncertainty(blobs(), np.array([1, 2]), np.array([0, 0])) == 1).all()


def test_only_images_that_labels_leave_uncertain_count(monkeypatch):
    monkeypatch.setattr(active_learning, "CERTAIN", 0.0)
    doubt = np.repeat([0.0, 0.0, 0.0, 0.5], 50)
    monkeypatch.setattr(active_learning, "propagation_uncertainty", lambda codes, rows, labels: doubt)
    selected = select_to_label_next(blobs(), np.array([10, 160]), np.array([0, 1]), 5)
    assert (selected >= 150).all()


def test_labelled_and_excluded_images_are_not_selected():
    codes = blobs()
    excluded = np.zeros(200, dtype=bool)
    excluded[160:200] = True
    selected = select_to_label_next(codes, np.arange(150, 155), np.zeros(5, dtype=np.int64), 60, excluded)
    assert len(selected) == 60
    assert not set(selected) & (set(range(150, 155)) | set(range(160, 200)))


def test_near_duplicates_are_selected_once():
    codes = blobs(10)
    codes = np.concatenate([codes, codes + 1e-6])
    labelled = np.array([0, 1])
    selected = select_to_label_next(codes, labelled, np.array([0, 1]), 78)
    originals = selected % 40
    assert len(set(originals)) == len(selected)
    assert not set(originals) & {0, 1}
    assert len(selected) > 20


def test_equal_images_are_one():
    assert len(select_to_label_next(np.zeros((12, 2)), NONE, NONE, 5)) == 1


def test_the_same_call_gives_the_same():
    codes, rows, labels = blobs(), np.array([3, 60]), np.array([0, 1])
    selected = select_to_label_next(codes, rows, labels, 10)
    np.testing.assert_array_equal(selected, select_to_label_next(codes, rows, labels, 10))


def test_where_all_images_are_labelled_none_is_selected():
    assert len(select_to_label_next(blobs(2), np.arange(8), np.arange(8) % 2, 5)) == 0


def test_of_many_images_a_sample_is_compared(monkeypatch):
    monkeypatch.setattr(active_learning, "SAMPLE", 100)
    codes, rows = blobs(), np.arange(0, 120)
    selected = select_to_label_next(codes, rows, rows % 3, 10)
    assert len(set(selected)) == 10
    assert (selected >= 120).all()


def test_twenty_labels_of_digits_cover_more_classes_than_random_ones():
    """The classes of the digits, which the selection does not see."""
    digits = load_digits()
    codes = PCA(16, random_state=0).fit_transform(digits.data)
    selected = select_to_label_next(codes, NONE, NONE, 20)
    random = [len(set(digits.target[np.random.default_rng(seed).permutation(1797)[:20]])) for seed in range(200)]
    assert len(set(digits.target[selected])) == 10
    assert np.mean(random) < 9
