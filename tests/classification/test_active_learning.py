"""The images to label next are uncertain, diverse, unlabelled, and no near-duplicates."""

import numpy as np
import pytest

from vaebench.classification.active_learning import select_to_label_next, uncertainty


def blobs(each=50, seed=0):
    """Four clusters; the classifier is certain of the first three and uncertain of the last."""
    generator = np.random.default_rng(seed)
    centres = np.array([[0, 0], [10, 0], [0, 10], [10, 10.0]])
    codes = np.concatenate([centre + generator.normal(size=(each, 2)) for centre in centres])
    probabilities = np.full((4 * each, 2), [0.99, 0.01])
    probabilities[3 * each :] = [0.5, 0.5]
    return codes, probabilities


def test_uncertainty_by_hand():
    assert uncertainty(np.array([[0.5, 0.5, 0.0], [1.0, 0, 0], [0.6, 0.1, 0.3]])) == pytest.approx([1.0, 0.0, 0.7])


def test_uncertain_images_are_selected():
    codes, probabilities = blobs()
    assert (select_to_label_next(codes, probabilities, np.array([0]), 2) >= 150).all()


def test_selected_images_are_spread_over_the_codes():
    codes, _ = blobs()
    probabilities = np.full((200, 2), 0.5)
    selected = select_to_label_next(codes, probabilities, np.array([], dtype=int), 4)
    assert sorted(selected // 50) == [0, 1, 2, 3]


def test_labelled_and_excluded_images_are_not_selected():
    codes, probabilities = blobs()
    excluded = np.zeros(200, dtype=bool)
    excluded[160:200] = True
    selected = select_to_label_next(codes, probabilities, np.arange(150, 155), 5, excluded)
    assert len(selected)
    assert not set(selected) & (set(range(150, 155)) | set(range(160, 200)))


def test_uncertain_labelled_images_do_not_displace_unlabelled_ones():
    codes, _ = blobs()
    probabilities = np.full((200, 2), 0.5)
    probabilities[150:] = [0.6, 0.4]
    selected = select_to_label_next(codes, probabilities, np.arange(150), 2)
    assert len(selected) == 2
    assert (selected >= 150).all()


def test_near_duplicates_are_selected_once():
    codes, _ = blobs(10)
    codes = np.concatenate([codes, codes + 1e-6])
    probabilities = np.full((80, 2), 0.5)
    labelled = np.array([0, 1])
    selected = select_to_label_next(codes, probabilities, labelled, 78)
    originals = selected % 40
    assert len(set(originals)) == len(selected)
    assert not set(originals) & {0, 1}
    assert len(selected) > 20


def test_the_most_uncertain_come_first_and_the_same_call_gives_the_same():
    codes, _ = blobs()
    probabilities = np.random.default_rng(0).dirichlet([1, 1, 1], 200)
    selected = select_to_label_next(codes, probabilities, np.array([3]), 10)
    assert (np.diff(uncertainty(probabilities)[selected]) <= 0).all()
    np.testing.assert_array_equal(selected, select_to_label_next(codes, probabilities, np.array([3]), 10))


def test_where_all_images_are_labelled_none_is_selected():
    codes, probabilities = blobs(2)
    assert len(select_to_label_next(codes, probabilities, np.arange(8), 5)) == 0
