"""Parquet files as hubs of data sets export them: images as bytes, as paths of files or as lists of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vaebench.core.errors import VaebenchError
from vaebench.data.decoding import Options, decode, describe
from vaebench.data.formats.checks import fingerprint_of, library, listed
from vaebench.data.formats.labels import Labels, as_text, name_classes, read_labels
from vaebench.data.formats.layouts import Rows, check_pixels, layout_of
from vaebench.data.formats.parquet_cells import Cells, features_of, read_numbers
from vaebench.data.formats.tables import LABEL_COLUMNS, as_images, find_pixels
from vaebench.data.image_set import ImageFormat, ImageSet, RawImage, array_set
from vaebench.data.listing import title_of
from vaebench.data.printing import printable

IMAGE_COLUMNS = ("image", "img", "images", "pixel_values", "pixels", "picture", "photo", "png", "jpg")
FURTHER_LABELS = ("fine_label", "label_id", "class_id", "category")
"""Names of columns of labels beside those of a table of pixels."""


def open_parquet(path: Path) -> ImageSet:
    """List the images of a parquet file, with its labels and their names in the metadata of ``datasets``.

    Images are cells of bytes or of paths below the file's folder, read a row group at a time, or numbers: a list a
    row, or a column a pixel, which are read into memory. An image whose file is missing is named in ``left_out``.

    Raises:
        VaebenchError: pyarrow is not installed, a damaged file, no column of images or several that may be it.
    """
    parquet = library("pyarrow.parquet", path)
    try:
        with parquet.ParquetFile(path) as file:
            schema = file.schema_arrow
            image, label = _image_column(path, schema), _label_column(path, schema)
            labels = _labels(path, file, label)
            images = _cells(path, image) if image and _has_cells(schema, image) else _numbers(path, file, image, label)
    except VaebenchError:
        raise
    except Exception as error:  # pyarrow raises half a dozen kinds on damaged files
        reason = printable(str(error).splitlines()[0])[:80] if str(error) else type(error).__name__
        raise VaebenchError(f"{path} is not a complete parquet file ({reason}); download it again") from error
    unused = [name for name in schema.names if name not in (image, label)] if image else []
    warnings = [f"{path.name}: columns not used: {listed(unused)}"] if unused else []
    rows = [int(name) for name in images.names]
    if labels.names and rows and rows[-1] >= len(labels.names):
        raise VaebenchError(f"{path} is not a complete parquet file (a label is missing); download it again")
    names = tuple(labels.names[row] for row in rows) if labels.names else ()
    kept = set(names)
    classes = tuple(name for name in labels.classes if name in kept)
    sentences = (*warnings, *images.warnings, *labels.warnings)
    return replace(images, labels=names, classes=classes, warnings=sentences)


def _has_cells(schema: Any, image: str) -> bool:
    types = library("pyarrow", Path(image)).types
    kind = schema.field(image).type
    return bool(types.is_struct(kind) or _is_bytes(types, kind) or types.is_string(kind) or types.is_large_string(kind))


def _is_bytes(types: Any, kind: Any) -> bool:
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _image_column(path: Path, schema: Any) -> str | None:
    """Return the column of images, None if each pixel has a column."""
    types = library("pyarrow", path).types
    features = features_of(schema)
    candidates = []
    for column in schema:
        kind = column.type
        fields = {kind.field(index).name for index in range(kind.num_fields)} if types.is_struct(kind) else set()
        if "bytes" in fields or _is_bytes(types, kind) or features.get(column.name, {}).get("_type") == "Image":
            candidates.append(column.name)
    named = [column.name for column in schema if column.name.lower() in IMAGE_COLUMNS]
    preferred = [name for name in candidates if name in named] or candidates or named
    if len(preferred) > 1 and preferred.count("image") == 1:
        return "image"
    if len(preferred) > 1:
        raise VaebenchError(
            f"{path} has several columns that may be the images, {listed(preferred)}; expected one: call it image, or "
            "leave the others out"
        )
    return preferred[0] if preferred else None


def _label_column(path: Path, schema: Any) -> str | None:
    features = features_of(schema)
    classes = [name for name in schema.names if features.get(name, {}).get("_type") == "ClassLabel"]
    named = [name for name in schema.names if name.lower() in LABEL_COLUMNS]
    matching = classes or named or [name for name in schema.names if name.lower() in FURTHER_LABELS]
    exact = [name for name in matching if name in named]
    candidates = exact if len(exact) == 1 else matching
    if len(candidates) > 1:
        raise VaebenchError(
            f"{path} has several columns that may be the labels, {listed(candidates)}; expected one: call it label, or "
            "leave the others out"
        )
    return candidates[0] if candidates else None


def _labels(path: Path, file: Any, column: str | None) -> Labels:
    if column is None:
        return Labels()
    types = library("pyarrow", path).types
    name = f"{path}: {column}"
    kind = file.schema_arrow.field(column).type
    if types.is_nested(kind):
        return Labels(warnings=(f"{name} has several labels an image, {kind}: labels are left out",))
    values = file.read(columns=[column]).column(0)
    class_names = features_of(file.schema_arrow).get(column, {}).get("names")
    if types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind):
        known = tuple(map(str, class_names)) if isinstance(class_names, list) else None
        numbers = np.array([-1 if value is None else value for value in values.to_pylist()])
        labels = read_labels(numbers, name, known)
        empty = [each for each in known or () if each not in labels.classes]
        sentences = (f"{path.name}: {listed(empty)} of {len(known or ())} classes has no image",) if empty else ()
        return labels._replace(warnings=(*labels.warnings, *sentences))
    return name_classes([as_text(value) for value in values.to_pylist()], name)


def _cells(path: Path, column: str) -> ImageSet:
    cells = Cells(path, column)
    left_out = {str(row): reason for row, reason in cells.missing.items()}
    rows = [row for row in range(len(cells)) if row not in cells.missing]
    if not rows:
        reason = next(iter(left_out.values()), "it has no row")
        raise VaebenchError(f"{path}: none of its {len(cells):,} images can be read; the first: {reason}")

    def read(row: int, at_least: int | None = None) -> RawImage:
        data, name = cells.read(rows[row])
        return decode(data, name, Options(at_least))

    def describe_row(row: int) -> ImageFormat:
        return describe(*cells.read(rows[row]))

    return ImageSet(
        path=path,
        title=title_of(path),
        names=tuple(map(str, rows)),
        describe=describe_row,
        read=read,
        fingerprint=fingerprint_of([path]),
        left_out=left_out,
        threads=True,
    )


def _numbers(path: Path, file: Any, image: str | None, label: str | None) -> ImageSet:
    """Return images that are columns of numbers, read into memory."""
    schema = file.schema_arrow
    sentence: tuple[str, ...] = ()
    if image is None:
        columns: Sequence[str] = find_pixels(path, schema.names, label)
        values, sentence = as_images(path, read_numbers(path, file, columns))
    else:
        values = read_numbers(path, file, [image])
        if values.ndim == 2:
            find_pixels(path, [str(index) for index in range(values.shape[1])], None)
            values, sentence = as_images(path, values)
    check_pixels(values.shape, values.dtype, str(path))
    rows = Rows(values, layout_of(values.shape, str(path), len(values)))
    return replace(array_set(path, title_of(path), rows, fingerprint_of([path])), warnings=sentence)
