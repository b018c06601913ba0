"""Images, labels, class names and factors among named arrays, by what their names say."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vaebench.core.errors import VaebenchError
from vaebench.data.formats import layouts
from vaebench.data.formats.checks import listed
from vaebench.data.formats.labels import Labels, as_factors, read_class_names, read_labels
from vaebench.data.formats.layouts import Rows, layout_of
from vaebench.data.image_set import PART_ORDER, PARTS, ImageSet, array_format, array_set, join_parts
from vaebench.data.listing import title_of
from vaebench.data.masks import masked

PART_WORDS = PARTS | {"t10k": "test", "tr": "train", "te": "test", "trn": "train", "tst": "test"}
IMAGES = ("x", "images", "image", "imgs", "img", "data", "pixels", "features", "arr", "inputs", "input")
LABELS = ("y", "labels", "label", "ans", "target", "targets", "class", "classes", "output", "outputs", "lbl", "lbls")
CLASS_NAMES = frozenset({"class names", "classes", "label names", "list classes", "categories", "classnames"})
FACTORS = ("latents classes", "latent classes", "factors", "factor classes", "latents values", "factor values")
KNOWN = "known"
"""Name of an array that is 0 where a pixel is not known; a mask of that name could as well mean the contrary."""
WORD = re.compile(r"t10k|[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")


@dataclass(frozen=True)
class NamedArray:
    """An array of a file that is not read yet."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    open: Callable[[], Any]
    """The array, or a data set with shape, dtype and slices."""
    block: int = 1
    """Rows to read at a time; see :class:`Rows`."""
    matlab: bool = False
    """Whether its images stand along the last axis."""
    transposed: bool = False
    """Whether ``open`` gives the axes in the opposite order of ``shape``."""

    @property
    def meaning(self) -> tuple[str, str]:
        """The part that the name states, or "", and the rest of the name in lower case."""
        name = re.sub(r"\b([xy])(train|valid|val|test)\b", r"\1 \2", self.name.replace("_", " "), flags=re.IGNORECASE)
        pieces = [piece.lower() for piece in WORD.findall(name)]
        parts = [PART_WORDS[piece] for piece in pieces if piece in PART_WORDS]
        rest = [piece for piece in pieces if piece not in PART_WORDS and piece != "set"]
        return parts[0] if parts else "", " ".join(rest)

    def says(self, kinds: Sequence[str]) -> bool:
        """Whether the name, without its part, has one of these words."""
        return bool(set(self.meaning[1].split()) & set(kinds))


def open_named(path: Path, arrays: Sequence[NamedArray], fingerprint: Callable[[], str]) -> ImageSet:
    """Return the images among the arrays of a file, with their parts, labels and factors, as their names say.

    ``x_train``, ``train_images`` and ``train/X`` are images of the part "train"; ``y_train`` has their labels;
    ``class_names`` the names of all classes. Each array that is not used is named in ``warnings``.

    Raises:
        VaebenchError: no array of images, several that may be it, or images, labels or class names of a shape, type or
            number that does not fit.
    """
    used: set[str] = set()
    class_names = _class_names(path, arrays, used)
    parts = sorted({array.meaning[0] for array in arrays}, key=("", *PART_ORDER).index)
    chosen = {part: _images(path, [array for array in arrays if array.meaning[0] == part]) for part in parts}
    images = {part: array for part, array in chosen.items() if array is not None}
    if not images:
        raise VaebenchError(
            f"{path} has no array of images, only {listed([array.name for array in arrays]) or 'nothing'}; expected "
            "x_train, y_train and, for a test set, x_test, y_test"
        )
    sets = {}
    for part, array in images.items():
        used.add(array.name)
        own = [other for other in arrays if other.meaning[0] == part or (len(images) == 1 and not other.meaning[0])]
        sets[part] = _part(path, array, [other for other in own if other.name not in used], class_names, used)
        sets[part] = replace(sets[part], fingerprint=fingerprint)
    return _finish(path, sets, [array.name for array in arrays if array.name not in used], class_names)


def _finish(path: Path, sets: dict[str, ImageSet], unused: list[str], class_names: tuple[str, ...] | None) -> ImageSet:
    images = next(iter(sets.values())) if len(sets) == 1 else _check_classes(path, sets)
    warnings = list(images.warnings)
    if class_names is not None and images.labels:
        images = replace(images, classes=tuple(name for name in class_names if name in images.classes))
        if empty := [name for name in class_names if name not in images.classes]:
            warnings.append(f"{path.name}: {listed(empty)} of class_names has no image, and is left out")
    if images.factors is not None:  # dSprites has the factors twice, as numbers and as values
        unused = [name for name in unused if not name.startswith("latents_")]
    if masks := [name for name in unused if re.search(r"mask", name, re.IGNORECASE)]:
        warnings.append(
            f"{path.name}: {listed(masks)} is not used; an array that is 0 where a pixel is not known is called known"
        )
        unused = [name for name in unused if name not in masks]
    if unused:
        count = f"{len(unused):,} arrays are" if len(unused) > 1 else "1 array is"
        warnings.append(f"{path.name}: {count} not used: {listed(unused)}")
    return replace(images, warnings=tuple(warnings))


def _check_classes(path: Path, sets: dict[str, ImageSet]) -> ImageSet:
    trained = sets.get("train")
    for part, images in sets.items():
        if trained and trained.labels and (unknown := [name for name in images.classes if name not in trained.classes]):
            raise VaebenchError(
                f"{path}: the {part} images have label {unknown[0]}, which no training image has; add training images"
            )
    joined = join_parts(path, title_of(path), dict(sets))
    silent = [part for part, images in sets.items() if joined.labels and not images.labels]
    sentences = tuple(f"{path.name}: the {part} images have no labels" for part in silent)
    return replace(joined, warnings=(*joined.warnings, *sentences))


def _class_names(path: Path, arrays: Sequence[NamedArray], used: set[str]) -> tuple[str, ...] | None:
    for array in arrays:
        text = array.dtype.kind in "USO" and len(array.shape) <= 1
        if array.meaning[1] in CLASS_NAMES and (text or array.meaning[1] == "class names"):
            used.add(array.name)
            return read_class_names(array.open(), f"{path}: {array.name}")
    return None


def _images(path: Path, arrays: Sequence[NamedArray]) -> NamedArray | None:
    """Return the array of images of one part, None if there is none."""
    named = [array for array in arrays if array.says(IMAGES) and not array.says(LABELS)]
    arrays = [array for array in arrays if array.meaning[1] != KNOWN]
    shaped = [array for array in arrays if len(array.shape) in (3, 4) and array.dtype.kind in "biuf"]
    candidates = [array for array in named if array in shaped] or shaped or [a for a in named if len(a.shape) > 1]
    candidates = candidates or named
    if len(candidates) > 1:
        raise VaebenchError(
            f"{path} has several arrays that may be the images, {listed([array.name for array in candidates])}; "
            "expected one a part: call it x_train, or save it in a file of its own"
        )
    return candidates[0] if candidates else None


def _part(
    path: Path,
    array: NamedArray,
    others: Sequence[NamedArray],
    class_names: tuple[str, ...] | None,
    used: set[str],
) -> ImageSet:
    """Return the images of an array, with labels and factors from the other arrays of its part."""
    name = f"{path}: {array.name}"
    layouts.check_pixels(array.shape, array.dtype, name)
    column = _label_array(path, array, others)
    values = None if column is None else _as_rows(column)
    rows, sentence = _open_rows(array, name, None if values is None else len(values))
    labels = Labels()
    if column is not None:
        used.add(column.name)
        labels = read_labels(values, f"{path}: {column.name}", class_names)
        if values is not None and len(values) != len(rows):
            raise VaebenchError(
                f"{name} has {len(rows):,} images but {column.name} has {len(values):,} labels; expected one label per "
                "image, -1 if unlabelled"
            )
    images = array_set(path, title_of(path), rows, lambda: "")
    factors = _factors(others, len(rows), used) if labels.factors is None else labels.factors
    if factors is not None and _is_black_and_white(rows):
        info = array_format(rows.shape[1:], rows.dtype)._replace(white=1.0)
        images = array_set(path, title_of(path), rows, lambda: "", info)
    images = _with_known(path, images, array, others, used)
    return replace(
        images, labels=labels.names, classes=labels.classes, factors=factors, warnings=(*sentence, *labels.warnings)
    )


def _with_known(
    path: Path, images: ImageSet, array: NamedArray, others: Sequence[NamedArray], used: set[str]
) -> ImageSet:
    """Return the images with those pixels unknown where the array called known of their part is 0."""
    known = next((other for other in others if other.meaning[1] == KNOWN), None)
    if known is None:
        return images
    used.add(known.name)
    name = f"{path}: {known.name}"
    layouts.check_pixels(known.shape, known.dtype, name)
    rows, _ = _open_rows(known, name, len(images))
    info = images.describe(0)
    sides = len(images), info.height, info.width
    if rows.shape[:3] != sides or rows.shape[3] not in (1, info.channels):
        raise VaebenchError(
            f"{name} has shape {known.shape}, but {array.name} {array.shape}; expected 0 or 1 for each pixel"
        )
    return masked(images, array_set(path, images.title, rows, lambda: ""), range(len(images)))


def _open_rows(array: NamedArray, name: str, count: int | None) -> tuple[Rows, tuple[str, ...]]:
    stored, shape = array.open(), array.shape
    if len(shape) == 2 and not array.transposed and (side := math.isqrt(shape[1])) ** 2 == shape[1] != shape[0]:
        sentence = f"{name}: each row of {shape[1]:,} values is taken for {side} x {side} pixels"
        return Rows(np.asarray(stored[:]).reshape(-1, side, side), "NHW"), (sentence,)
    layout = layout_of(shape, name, count, array.matlab)
    return Rows(stored, layout[::-1] if array.transposed else layout, array.block), ()


def _label_array(path: Path, images: NamedArray, others: Sequence[NamedArray]) -> NamedArray | None:
    named = [
        array
        for array in others
        if array.says(LABELS)
        and 1 <= len(array.shape) <= 2
        and array.meaning[1] not in FACTORS
        and not (array.dtype.kind == "O" and array.matlab)  # cells
    ]
    exact = [array for array in named if array.meaning[1] in LABELS]
    candidates = exact if len(exact) == 1 else named
    if len(candidates) > 1:
        raise VaebenchError(
            f"{path} has several arrays that may be the labels of {images.name}, "
            f"{listed([array.name for array in candidates])}; expected one: call it y, or leave the others out"
        )
    return candidates[0] if candidates else None


def _as_rows(column: NamedArray) -> np.ndarray:
    """Return labels with the images along the first axis."""
    values = np.asarray(column.open()[:])
    if column.transposed:
        values = values.transpose()
    return values[0] if values.ndim == 2 and len(values) == 1 < values.shape[1] else values


def _factors(others: Sequence[NamedArray], count: int, used: set[str]) -> np.ndarray | None:
    by_name = {array.meaning[1]: array for array in others if len(array.shape) == 2 and array.shape[0] == count}
    for name in FACTORS:
        if name in by_name and not by_name[name].transposed:
            factors = as_factors(np.asarray(by_name[name].open()[:]))
            if factors is not None:
                used.add(by_name[name].name)
                return factors
    return None


def _is_black_and_white(rows: Rows) -> bool:
    """Whether the first images have no value but 0 and 1."""
    sample = [rows[row] for row in range(min(len(rows), 256))]
    return rows.dtype.kind == "u" and max(int(image.max()) for image in sample) == 1


def by_name(arrays: Mapping[str, np.ndarray]) -> list[NamedArray]:
    """Return arrays in memory as named arrays."""
    return [
        NamedArray(name, array.shape, array.dtype, lambda array=array: array)  # type: ignore[misc]
        for name, array in arrays.items()
    ]
