"""Means, confidence intervals and proportions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats


def summary(values: list[float]) -> dict[str, Any]:
    """Mean, standard deviation, number and values; "interval" is the 95 % interval of the mean by Student's t."""
    mean, n = float(np.mean(values)), len(values)
    if n < 2:
        return {"mean": mean, "sd": None, "n": n, "values": values, "interval": None}
    sd = float(np.std(values, ddof=1))
    return {"mean": mean, "sd": sd, "n": n, "values": values, "interval": list(mean_interval(values))}


def difference_interval(first: Sequence[float], second: Sequence[float], *, paired: bool) -> tuple[float, float] | None:
    """95 % interval of mean(first) - mean(second): value by value, or Welch's; nothing with one value on a side."""
    if min(len(first), len(second)) < 2:
        return None
    if paired:
        return mean_interval(np.subtract(first, second).tolist())
    apart = float(np.mean(first) - np.mean(second))
    squares = [float(np.var(values, ddof=1)) / len(values) for values in (first, second)]
    if sum(squares) == 0:
        return apart, apart
    freedom = sum(squares) ** 2 / sum(s**2 / (len(v) - 1) for s, v in zip(squares, (first, second), strict=True))
    half = float(stats.t.ppf(0.975, freedom)) * sum(squares) ** 0.5
    return apart - half, apart + half


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the mean of two values or more by Student's t."""
    mean, n = float(np.mean(values)), len(values)
    half = float(stats.t.ppf(0.975, n - 1)) * float(np.std(values, ddof=1)) / n**0.5
    return mean - half, mean + half


def wilson_interval(share: float, count: int, level: float = 0.95) -> tuple[float, float]:
    """Interval of a share seen in ``count`` cases. Wilson 1927, eq. 10."""
    z = float(stats.norm.ppf(0.5 + level / 2))
    centre, shrunk = share + z**2 / (2 * count), 1 + z**2 / count
    half = z * float(np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2)))
    return max(0.0, (centre - half) / shrunk), min(1.0, (centre + half) / shrunk)
