"""Labels of any type as class names; columns that are no labels are left out with a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, Shaped

from vaebench.core.errors import VaebenchError
from vaebench.data.image_set import natural_order
from vaebench.data.printing import printable

MAX_LEVELS = 4096
"""Most distinct values of a factor of variation."""


class Labels(NamedTuple):
    """What a column of labels says."""

    names: tuple[str, ...] = ()
    """Class name of each image, "" where it has none; empty where no image has one."""
    classes: tuple[str, ...] = ()
    """Those of the classes that occur, in the order of their numbers."""
    warnings: tuple[str, ...] = ()
    factors: Int[np.ndarray, "N K"] | None = None


def read_labels(values: Any, name: str, class_names: tuple[str, ...] | None = None) -> Labels:
    """Read labels of shape (N,), (N, 1) or (N, K); messages call them ``name``.

    Integers, whole floats and strings are class names, or numbers of ``class_names``; -1, NaN and "" mean no label. If
    there are K columns of 0 and 1 with a single 1 in each row, the number of the column is the class. Other columns of
    0 and 1 are several labels an image, which are left out; columns of few distinct numbers are factors of variation.

    Raises:
        VaebenchError: numbers below -1 or without a class name, or another type or shape.
    """
    values = np.asarray(values)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim == 2 and values.dtype.kind in "biuf":
        return _columns(values, name, class_names)
    if values.ndim != 1:
        raise VaebenchError(f"{name} has shape {values.shape}; expected one label per image, (N,)")
    if values.dtype.kind in "USO":
        return name_classes([as_text(value) for value in values.tolist()], name)
    if values.dtype.kind not in "biuf":
        raise VaebenchError(f"{name} is {values.dtype}; expected integers, or strings")
    numbers = np.where(np.isnan(values), -1, values) if values.dtype.kind == "f" else values
    if numbers.dtype.kind == "f" and not (np.rint(numbers) == numbers).all():
        value = numbers[np.rint(numbers) != numbers][0]
        return Labels(warnings=(f"{name} has values such as {value:.6g}, which are no classes: labels are left out",))
    return _numbered(numbers, name, class_names)


def name_classes(texts: Sequence[str], name: str) -> Labels:
    """Return labels that are class names; "" is no label."""
    names = tuple(printable(text.strip()) for text in texts)
    if len(set(names)) < len({text.strip() for text in texts}):
        raise VaebenchError(f"{name} has class names that differ only in characters that cannot be shown; rename them")
    classes = tuple(sorted(set(names) - {""}, key=natural_order))
    if not classes:
        return Labels(warnings=(f"{name} has no label: images are unlabelled",) if names else ())
    return Labels(names, classes)


def as_text(value: Any) -> str:
    """Return a label as text; bytes are UTF-8, or Windows-1252 where they are not."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value.decode("cp1252", "replace")
    return "" if value is None else str(value)


def read_class_names(values: Any, name: str) -> tuple[str, ...]:
    """Return the names of classes 0, 1, ...; messages call the array ``name``.

    Raises:
        VaebenchError: not distinct strings.
    """
    array = np.asarray(values).ravel()
    names = tuple(as_text(value).strip() for value in array.tolist())
    if array.dtype.kind not in "USO" or len(set(names)) < len(names) or "" in names:
        raise VaebenchError(f"{name} is {array.tolist()!r}; expected distinct strings, one per class")
    return tuple(map(printable, names))


def _numbered(numbers: np.ndarray, name: str, class_names: tuple[str, ...] | None) -> Labels:
    known, inverse = np.unique(numbers, return_inverse=True)
    values = [int(value) for value in known]
    if values and values[0] < -1:
        raise VaebenchError(f"{name} has label {values[0]}; expected integers from 0, or -1 for images without a label")
    if class_names is not None and values and values[-1] >= len(class_names):
        raise VaebenchError(
            f"{name} has label {values[-1]}, but class_names has {len(class_names)} names, for 0 to "
            f"{len(class_names) - 1}; add the missing names"
        )
    texts = ["" if value < 0 else class_names[value] if class_names else str(value) for value in values]
    classes = tuple(text for text in texts if text)
    if not classes:
        return Labels(warnings=(f"every label in {name} is -1: images are unlabelled",) if values else ())
    return Labels(tuple(np.array(texts, object)[inverse].tolist()), classes)


def _columns(values: Shaped[np.ndarray, "N K"], name: str, class_names: tuple[str, ...] | None) -> Labels:
    if np.isin(values, (0, 1)).all():
        if values.shape[1] > 1 and (values.sum(1) == 1).all():
            labels = _numbered(values.argmax(1), name, class_names)
            return labels._replace(warnings=(f"{name} has one column a class: the columns' numbers are the classes",))
        sentence = f"{name} has several labels an image, {values.shape[1]:,} columns of 0 and 1: labels are left out"
        return Labels(warnings=(sentence,))
    factors = as_factors(values)
    if factors is None:
        raise VaebenchError(f"{name} has shape {values.shape}; expected one label per image, (N,)")
    sentence = f"{name} has {values.shape[1]:,} columns of numbers: they are known factors of variation, not labels"
    return Labels(warnings=(sentence,), factors=factors)


def as_factors(values: Shaped[np.ndarray, "N K"]) -> Int[np.ndarray, "N K"] | None:
    """Return the rank of each value in its column; None where a column has too many distinct values for a factor."""
    if values.ndim != 2 or values.dtype.kind not in "biuf" or not len(values):
        return None
    levels = [np.unique(column, return_inverse=True) for column in values.T]
    if max(len(known) for known, _ in levels) > min(MAX_LEVELS, max(2, len(values) // 2)):
        return None
    return np.stack([ranks for _, ranks in levels], 1).astype(np.int64)
