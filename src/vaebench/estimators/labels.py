"""Labels y of which some are missing, as -1 of numbers, and as -1, "", None or NaN of texts and objects."""

from __future__ import annotations

from typing import Any

import numpy as np

from vaebench.data.images import HIDDEN

NO_LABEL = ("", "-1", "nan")
"""Texts that mean no label; numpy writes -1 and NaN so where it makes texts of a list of labels."""


def mark_missing(y: Any) -> Any:
    """Return labels with None for each that is missing, if they are objects; otherwise y as it is.

    scikit-learn's validation accepts None in an array of objects, but not NaN, which pandas writes for a missing label.
    """
    values = np.asarray(y, dtype=object) if type(y).__module__.startswith("pandas") and y.ndim == 1 else np.asarray(y)
    if values.dtype.kind != "O" or values.ndim != 1:
        return y
    marked = np.empty(len(values), dtype=object)
    marked[:] = [None if _is_missing(value) else value for value in values]
    return marked


def split_labels(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a mask (n,) of the rows with a label, and the labels of these rows.

    Args:
        y: validated labels (n,).

    Raises:
        ValueError: labels are of several types.
    """
    if y.dtype.kind == "O":
        labelled = np.array([not _is_missing(value) for value in y], dtype=bool)
        return labelled, _of_one_type(y[labelled])
    labelled = ~np.isin(y, NO_LABEL) if y.dtype.kind in "US" else y != HIDDEN
    return labelled, y[labelled]


def _is_missing(value: Any) -> bool:
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(value, str):
        return value.strip() in NO_LABEL
    is_number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    return bool(is_number and (value == HIDDEN or value != value))


def _of_one_type(labels: np.ndarray) -> np.ndarray:
    texts = [isinstance(label, str) for label in labels]
    if all(texts):
        return labels
    if any(texts):
        text, other = labels[texts.index(True)], labels[texts.index(False)]
        raise ValueError(
            f"y has the labels {text!r} and {other!r}; expected texts or numbers, not both, and -1, '' or None for no "
            "label"
        )
    return np.array(labels.tolist())
