"""Intervals against SciPy's and against values of a table."""

import pytest
from scipy import stats

from vaebench.core.statistics import difference_interval, mean_interval, summary, wilson_interval


@pytest.mark.parametrize(("right", "count"), [(0, 10), (3, 10), (50, 100), (99, 100), (100, 100)])
def test_the_wilson_interval_equals_scipys(right, count):
    expected = stats.binomtest(right, count).proportion_ci(method="wilson")
    assert wilson_interval(right / count, count) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_summary_has_the_students_t_interval():
    found = summary([0.5, 0.7, 0.9])
    assert (found["mean"], found["sd"], found["n"]) == (pytest.approx(0.7), pytest.approx(0.2), 3)
    # Student's t with 2 degrees of freedom: 4.302653 x 0.2 / sqrt(3)
    assert found["interval"] == pytest.approx([0.7 - 0.4968275, 0.7 + 0.4968275], abs=1e-6)


def test_one_value_has_no_interval():
    assert summary([0.25]) == {"mean": 0.25, "sd": None, "n": 1, "values": [0.25], "interval": None}


def test_equal_values_have_an_interval_of_no_width_and_no_warning():
    assert mean_interval([0.5, 0.5, 0.5]) == (0.5, 0.5)
    assert difference_interval([0.5, 0.5, 0.5], [0.25, 0.25], paired=False) == (0.25, 0.25)
    low, high = difference_interval([0.1, 0.1, 0.1], [0.3, 0.3, 0.3], paired=False)
    assert (low, high) == pytest.approx((-0.2, -0.2))
