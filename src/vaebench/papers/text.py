"""Text that the explanations of several papers share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def format_epochs(count: int) -> str:
    """Number of epochs as text: "1 epoch", "3 epochs"."""
    return f"{count} epoch{'' if count == 1 else 's'}"


def format_values(values: Mapping[Any, float | int], spec: str, between: str = ": ") -> str:
    """Names and values as text: "2: 38.22, 3: 34.04" with the format ``spec`` ".2f"."""
    return ", ".join(f"{name}{between}{value:{spec}}" for name, value in values.items())


def most_confused_pair(counts: np.ndarray) -> str:
    """The two classes that a confusion matrix (Y, Y) confuses most, in both directions together: "4 and 9"."""
    both = counts + counts.T
    np.fill_diagonal(both, 0)
    first, second = np.unravel_index(both.argmax(), both.shape)
    return f"{first} and {second}"
