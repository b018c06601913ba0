"""Comparisons of errors on small examples."""

import numpy as np
import pytest

from vaebench.evaluation.error_analysis import (
    agreement,
    confusion_distance,
    expected_shared,
    shared_errors,
    unique_errors,
    wrong,
)

LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1])
A = np.array([0, 0, 1, 1, 1, 1, 1, 1])  # wrong on 2, 3
B = np.array([0, 0, 0, 1, 0, 1, 1, 1])  # wrong on 3, 4
C = LABELS.copy()


def test_agreement_and_shared_errors_are_counted():
    assert wrong(A, LABELS).tolist() == [False, False, True, True, False, False, False, False]
    assert agreement(A, B) == 6 / 8
    assert shared_errors(A, B, LABELS) == pytest.approx(1 / 3)
    assert shared_errors(A, A, LABELS) == 1.0
    assert shared_errors(C, C, LABELS) == 1.0
    assert shared_errors(A, C, LABELS) == 0.0


def test_expected_shared_is_that_of_independent_errors():
    rng = np.random.default_rng(0)
    labels = np.zeros(200_000, dtype=int)
    first, second = (rng.random((2, len(labels))) < np.array([[0.1], [0.3]])).astype(int)
    assert shared_errors(first, second, labels) == pytest.approx(expected_shared(first, second, labels), abs=0.005)
    assert expected_shared(A, B, LABELS) == pytest.approx((1 / 16) / (1 / 4 + 1 / 4 - 1 / 16))
    assert expected_shared(C, C, LABELS) == 1.0


def test_unique_errors_are_made_by_one_classifier_alone():
    assert unique_errors({"a": A, "b": B, "c": C}, LABELS) == {"a": 1, "b": 1, "c": 0}


def test_confusion_distance_is_0_for_the_same_mixture_and_1_for_disjoint_ones():
    first = np.array([[50, 6, 0], [0, 50, 2], [0, 0, 50]])
    assert confusion_distance(first, first) == 0.0
    assert confusion_distance(first, 10 * first) == pytest.approx(0.0)
    other = np.array([[50, 0, 3], [0, 50, 0], [0, 0, 50]])
    assert confusion_distance(first, other) == 1.0
    assert confusion_distance(first, np.array([[50, 3, 0], [0, 50, 3], [0, 0, 50]])) == pytest.approx(0.25)
    assert confusion_distance(first, np.diag([50, 50, 50])) == 0.0
