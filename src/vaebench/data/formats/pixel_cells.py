"""Tables with all pixels of an image in one cell, separated by spaces, as FER2013 is published."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped

from vaebench.core.errors import VaebenchError
from vaebench.data.formats.checks import check_memory, fingerprint_of, listed
from vaebench.data.formats.labels import Labels
from vaebench.data.formats.layouts import Rows
from vaebench.data.formats.lines import blocks, first_rows, open_lines
from vaebench.data.formats.named import PART_WORDS
from vaebench.data.formats.tables import LABEL_COLUMNS, as_images, compact, labels_of, open_table, side_of, table_title
from vaebench.data.image_set import ImageSet, array_set
from vaebench.data.printing import printable

PIXEL_COLUMNS = ("pixels", "pixel_values", "image", "images")
LABELS = (*LABEL_COLUMNS, "emotion")
PART_COLUMNS = ("usage", "split", "set", "part", "subset")
PARTS = PART_WORDS | {"publictest": "validation", "privatetest": "test"}
"""Parts by the entries of a column of parts."""
NUMBERS = re.compile(r"\s*\d+(\.\d*)?(\s+\d+(\.\d*)?){3,}\s*")


class CellColumns(NamedTuple):
    """Where the columns of such a table are."""

    delimiter: str
    header: tuple[str, ...]
    pixels: int
    label: int | None
    part: int | None

    @property
    def unused(self) -> list[str]:
        """Names of the other columns."""
        used = (self.pixels, self.label, self.part)
        return [name for index, name in enumerate(self.header) if index not in used]


def open_csv(path: Path) -> ImageSet:
    """List the images of a CSV or TSV file, with a column a pixel or with all pixels of an image in one cell.

    In the latter form a column called pixels has the images, one called emotion, label, class or the like the labels,
    and one called Usage, split or the like the parts.

    Raises:
        VaebenchError: as :func:`open_table`, or cells of different lengths.
    """
    columns = _find_columns(path)
    return open_table(path) if columns is None else _open_cells(path, columns)


def _find_columns(path: Path) -> CellColumns | None:
    """Return the columns of a table with a cell an image; None of another."""
    delimiter, rows = first_rows(path)
    header = tuple(name.strip() for name in rows[0])
    names = [name.lower() for name in header]
    pixels = [index for index, name in enumerate(names) if name in PIXEL_COLUMNS]
    if len(rows) < 2 or len(pixels) != 1 or len(rows[1]) != len(header) or not NUMBERS.fullmatch(rows[1][pixels[0]]):
        return None
    labels, parts = ([i for i, name in enumerate(names) if name in known] for known in (LABELS, PART_COLUMNS))
    if len(labels) > 1 or len(parts) > 1:
        several = listed([header[index] for index in (labels if len(labels) > 1 else parts)])
        raise VaebenchError(f"{path} has several columns of labels or of parts, {several}; keep one")
    return CellColumns(delimiter, header, pixels[0], next(iter(labels), None), next(iter(parts), None))


def _open_cells(path: Path, columns: CellColumns) -> ImageSet:
    values, labels, entries = _read(path, columns)
    if not side_of(values.shape[1]):
        raise VaebenchError(
            f"{path} has cells of {values.shape[1]:,} pixels; expected a square number (784 for 28 x 28), or three "
            "times one for colour"
        )
    pixels, sentence = as_images(path, values)
    named = labels_of(path, labels) if columns.label is not None else Labels()
    parts, said = _parts(path, columns, entries)
    unused = (f"{path.name}: columns not used: {listed(columns.unused)}",) if columns.unused else ()
    whole = array_set(path, table_title(path), Rows(pixels, "NHWC"), fingerprint_of([path]))
    warnings = (*unused, *sentence, *said, *named.warnings)
    return replace(whole, labels=named.names, classes=named.classes, parts=parts, warnings=warnings)


def _read(path: Path, columns: CellColumns) -> tuple[Shaped[np.ndarray, "N D"], list[str], list[str]]:
    """Return the values of all rows, in a type that holds them, and the entries of their labels and parts."""
    arrays: list[np.ndarray] = []
    labels: list[str] = []
    entries: list[str] = []
    with open_lines(path) as lines:
        for block in blocks(islice(lines, 1, None)):
            rows = list(csv.reader(block, delimiter=columns.delimiter))
            if short := [row for row in rows if len(row) != len(columns.header)]:
                raise VaebenchError(
                    f"{path}: a row after {len(labels):,} others has {len(short[0])} cells where the header has "
                    f"{len(columns.header)}; it was cut off or damaged"
                )
            arrays.append(compact(_parse(path, [row[columns.pixels] for row in rows], len(labels))))
            check_memory(2 * sum(each.nbytes for each in arrays), str(path), "save it as an npy file")
            labels += ["" if columns.label is None else row[columns.label] for row in rows]
            entries += ["" if columns.part is None else row[columns.part].strip() for row in rows]
    if len({each.shape[1] for each in arrays}) > 1:
        raise VaebenchError(f"{path} has images of different numbers of pixels; expected one size")
    return np.concatenate(arrays, dtype=np.result_type(*arrays)), labels, entries


def _parse(path: Path, cells: Sequence[str], done: int) -> np.ndarray:
    try:
        values = np.loadtxt(cells, np.float64, ndmin=2, comments=None)
        if len(values) != len(cells):
            raise ValueError("an empty cell")
    except ValueError as error:
        reason = printable(str(error).split("; ")[0])[:120]
        raise VaebenchError(
            f"{path}: the pixels of a row after {done:,} others cannot be read ({reason}); expected as many numbers, "
            "separated by spaces, in each row"
        ) from error
    return values


def _parts(path: Path, columns: CellColumns, entries: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the part of each row, and a sentence about what the entries are taken for."""
    if columns.part is None:
        return (), ()
    name = columns.header[columns.part]
    known = {word: PARTS.get(word.lower(), "") for word in dict.fromkeys(entries)}
    if not all(known.values()):
        other = next(word for word, part in known.items() if not part)
        return (), (
            f"{path.name}: the column {printable(name)!r} has {printable(other)!r}, which is no part: it is not used",
        )
    stated = ", ".join(f"{printable(word)} is {part}" for word, part in known.items() if word.lower() != part)
    said = (f"{path.name}: the column {printable(name)!r} states the parts" + (f": {stated}" if stated else ""),)
    return tuple(known[word] for word in entries), said
