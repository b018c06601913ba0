"""Means, confidence intervals and proportions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import special


def summary(values: list[float]) -> dict[str, Any]:
    """Mean, standard deviation, number and values; "interval" is the 95 % Student's t interval of the mean."""
    sd, interval = (float(np.std(values, ddof=1)), list(mean_interval(values))) if len(values) > 1 else (None, None)
    return {"mean": float(np.mean(values)), "sd": sd, "n": len(values), "values": values, "interval": interval}


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % Student's t interval of the mean of at least two values."""
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    low, high = np.mean(values) + np.multiply(_student_t_limits(len(values) - 1), error)
    return float(low), float(high)


def _student_t_limits(freedom: float | int) -> tuple[float, float]:
    """Limits of the 95 % interval of Student's t distribution; importing ``scipy.stats`` for them takes a second."""
    low, high = special.stdtrit(freedom, [0.025, 0.975])
    return float(low), float(high)


def difference_interval(first: Sequence[float], second: Sequence[float], *, paired: bool) -> tuple[float, float] | None:
    """95 % interval of mean(first) - mean(second): paired, or Welch's; None for fewer than two values."""
    if min(len(first), len(second)) < 2:
        return None
    if paired:
        return mean_interval(np.subtract(first, second).tolist())
    # By hand: scipy.stats.ttest_ind warns of equal values and returns nan for them.
    squares = [float(np.var(values, ddof=1)) / len(values) for values in (first, second)]
    difference = float(np.mean(first) - np.mean(second))
    if sum(squares) == 0:
        return difference, difference
    freedom = sum(squares) ** 2 / sum(s**2 / (len(v) - 1) for s, v in zip(squares, (first, second), strict=True))
    low, high = difference + np.multiply(_student_t_limits(freedom), sum(squares) ** 0.5)
    return float(low), float(high)


def wilson_interval(proportion: float, count: int, level: float = 0.95) -> tuple[float, float]:
    """Interval of a proportion observed in ``count`` cases. Wilson 1927, eq. 10.

    ``scipy.stats.binomtest`` requires an integer number of successes; means over seeds and bootstrapped accuracies do
    not have one.
    """
    z = float(special.ndtri(0.5 + level / 2))
    centre, shrunk = proportion + z**2 / (2 * count), 1 + z**2 / count
    half = z * float(np.sqrt(proportion * (1 - proportion) / count + z**2 / (4 * count**2)))
    return max(0.0, (centre - half) / shrunk), min(1.0, (centre + half) / shrunk)
