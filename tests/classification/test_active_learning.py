"""What to label next: doubtful, spread out, not twice the same, never what is labelled."""

import numpy as np
import pytest

from vaebench.classification.active_learning import to_label_next, uncertainty


def blobs(each=50, seed=0):
    """Four clouds; the classifier is sure of the first three and doubts the last."""
    generator = np.random.default_rng(seed)
    centres = np.array([[0, 0], [10, 0], [0, 10], [10, 10.0]])
    codes = np.concatenate([centre + generator.normal(size=(each, 2)) for centre in centres])
    shares = np.full((4 * each, 2), [0.99, 0.01])
    shares[3 * each :] = [0.5, 0.5]
    return codes, shares


def test_doubt_by_hand():
    assert uncertainty(np.array([[0.5, 0.5, 0.0], [1.0, 0, 0], [0.6, 0.1, 0.3]])) == pytest.approx([1.0, 0.0, 0.7])


def test_doubtful_images_are_asked_for():
    codes, shares = blobs()
    assert (to_label_next(codes, shares, np.array([0]), 2) >= 150).all()


def test_they_are_spread_over_the_codes():
    codes, _ = blobs()
    shares = np.full((200, 2), 0.5)
    asked = to_label_next(codes, shares, np.array([], dtype=int), 4)
    assert sorted(asked // 50) == [0, 1, 2, 3]


def test_labelled_and_passed_over_ones_are_not_asked_for():
    codes, shares = blobs()
    passed = np.zeros(200, dtype=bool)
    passed[160:200] = True
    asked = to_label_next(codes, shares, np.arange(150, 155), 5, passed)
    assert len(asked)
    assert not set(asked) & (set(range(150, 155)) | set(range(160, 200)))


def test_doubtful_labelled_ones_do_not_crowd_out_the_others():
    codes, _ = blobs()
    shares = np.full((200, 2), 0.5)
    shares[150:] = [0.6, 0.4]
    asked = to_label_next(codes, shares, np.arange(150), 2)
    assert len(asked) == 2
    assert (asked >= 150).all()


def test_near_duplicates_are_asked_for_once():
    codes, _ = blobs(10)
    codes = np.concatenate([codes, codes + 1e-6])
    shares = np.full((80, 2), 0.5)
    labelled = np.array([0, 1])
    asked = to_label_next(codes, shares, labelled, 78)
    originals = asked % 40
    assert len(set(originals)) == len(asked)
    assert not set(originals) & {0, 1}
    assert len(asked) > 20


def test_the_most_doubtful_come_first_and_the_same_call_gives_the_same():
    codes, _ = blobs()
    shares = np.random.default_rng(0).dirichlet([1, 1, 1], 200)
    asked = to_label_next(codes, shares, np.array([3]), 10)
    assert (np.diff(uncertainty(shares)[asked]) <= 0).all()
    np.testing.assert_array_equal(asked, to_label_next(codes, shares, np.array([3]), 10))


def test_where_all_is_labelled_nothing_is_asked():
    codes, shares = blobs(2)
    assert len(to_label_next(codes, shares, np.arange(8), 5)) == 0
