"""CSV and TSV files with one image a row: a label and the values of its pixels."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
from jaxtyping import Float, Shaped

from vaebench.core.errors import VaebenchError
from vaebench.data.decoding import DECODERS, suffix_of
from vaebench.data.formats.checks import check_memory, fingerprint_of, listed
from vaebench.data.formats.labels import Labels, name_classes, read_labels
from vaebench.data.formats.layouts import Rows
from vaebench.data.formats.lines import blocks, first_rows, open_lines
from vaebench.data.image_set import ImageSet, array_set
from vaebench.data.listing import title_of
from vaebench.data.printing import printable

LABEL_COLUMNS = ("label", "labels", "y", "class", "target", "targets", "digit")
ROW_COLUMNS = ("", "id", "index", "unnamed: 0", "image_id", "imageid", "row")
"""Names of columns that number the rows."""
MAX_COLUMNS = 1 << 20
WHOLE = re.compile(r"[+-]?[0-9]+(\.0*)?")


@dataclass(frozen=True)
class Columns:
    """Which columns of a table are pixels."""

    delimiter: str
    header: tuple[str, ...]
    """Names of the columns; empty without a header line."""
    label: int | None
    pixels: tuple[int, ...]
    dropped: tuple[str, ...] = ()
    guessed: bool = False
    """Whether the label was taken to be the first column because of the number of columns."""


def open_table(path: Path) -> ImageSet:
    """List the images of a CSV or TSV file: square grey images, or square colour ones, a row each.

    The column called label, class, target or y has the labels; without a header, the first column has where the others
    make a square. Values are read into memory as uint8, uint16 or float32.

    Raises:
        VaebenchError: a number of columns that makes no square image, a value that is no number, a table of file
            names.
    """
    columns, first_line = _find_columns(path)
    pixels, texts = _read(path, columns, first_line)
    warnings = [f"{path.name}: {listed([name])} is not used: it numbers the rows" for name in columns.dropped]
    if columns.guessed and len(set(texts)) == 1 and len(texts) > 1:
        pixels, texts, moved = _last_column(pixels, texts)
        warnings += [f"{path.name}: the last column is taken for the label, as the first never changes"] * moved
    images, sentence = as_images(path, pixels)
    labels = labels_of(path, texts) if columns.label is not None else Labels()
    whole = array_set(path, table_title(path), Rows(images, "NHWC"), fingerprint_of([path]))
    return replace(
        whole, labels=labels.names, classes=labels.classes, warnings=(*warnings, *sentence, *labels.warnings)
    )


def table_title(path: Path) -> str:
    """Return the printable name of a table without its suffixes."""
    return title_of(path).removesuffix(".csv").removesuffix(".tsv")


def _find_columns(path: Path) -> tuple[Columns, int]:
    """Return the columns of a table, and the number of its first line of values."""
    delimiter, (first, *others) = first_rows(path)
    second = others[0] if others else []
    numbers = [_is_number(cell) for cell in first]
    labelled = first[0].strip().lower() in LABEL_COLUMNS
    header = labelled or _is_counted(first[1:]) or sum(numbers) < len(first) - (len(first) > 1)
    _refuse_file_names(path, (second if header else first) or first)
    names = tuple(name.strip() for name in first) if header else ()
    return _columns(path, delimiter, names, len(first)), int(header)


def _is_counted(cells: Sequence[str]) -> bool:
    """Whether cells are consecutive numbers, as names of columns that have no names."""
    first = int(cells[0]) if len(cells) > 2 and cells[0].isascii() and cells[0].isdecimal() else None
    return first is not None and list(cells) == [str(first + step) for step in range(len(cells))]


def _columns(path: Path, delimiter: str, header: tuple[str, ...], width: int) -> Columns:
    lowered = [name.lower() for name in header]
    named = [index for index, name in enumerate(lowered) if name in LABEL_COLUMNS]
    if len(named) > 1:
        raise VaebenchError(f"{path} has several columns of labels, {listed([header[i] for i in named])}; keep one")
    numbering = {index for index, name in enumerate(lowered) if name in ROW_COLUMNS}
    numbering = numbering if not side_of(width - len(named)) else set()
    pixels = [index for index in range(width) if index not in named and index not in numbering]
    guessed = not named and not side_of(len(pixels)) and bool(side_of(len(pixels) - 1))
    label = named[0] if named else pixels[0] if guessed else None
    pixels = pixels[1:] if guessed else pixels
    if not side_of(len(pixels)) or width > MAX_COLUMNS:
        raise VaebenchError(
            f"{path} has {width:,} columns, {len(pixels):,} of them pixels; expected a square number (784 for 28 x 28) "
            "or three times one for colour, and at most one label: a table of file names and labels is given with "
            "--labels, beside the folder of images"
        )
    return Columns(delimiter, header, label, tuple(pixels), tuple(header[i] for i in sorted(numbering)), guessed)


def side_of(count: int) -> int:
    """Return the side of square images of so many values, 0 if there is none."""
    for channels in (1, 3):
        side = math.isqrt(max(count, 0) // channels)
        if side > 1 and channels * side * side == count:
            return side
    return 0


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _refuse_file_names(path: Path, cells: Sequence[str]) -> None:
    file = next((cell for cell in cells if suffix_of(cell.strip()) in DECODERS), None)
    if file is not None:
        raise VaebenchError(
            f"{path} is a table of file names, such as {printable(file.strip())!r}, not of pixels; give the folder of "
            f"images, and this file as --labels {path}"
        )


def _read(path: Path, columns: Columns, skipped: int) -> tuple[Shaped[np.ndarray, "N D"], list[str]]:
    """Return the values of all rows, in a type that holds them, and the text of their labels."""
    parts: list[np.ndarray] = []
    texts: list[str] = []
    done = 0
    with open_lines(path) as lines:
        for block in blocks(islice(lines, skipped, None)):
            parts.append(compact(_parse(path, block, columns, done)))
            done += len(block)
            size = sum(part.nbytes for part in parts)
            check_memory(2 * size, str(path), "save it as an npy file, which is read in pieces")
            if columns.label is not None:
                texts += _label_texts(block, columns)
    if not parts:
        raise VaebenchError(f"{path} has a header but no row; expected a row of pixels for each image")
    return np.concatenate(parts, dtype=np.result_type(*parts)), texts


def _parse(path: Path, block: list[str], columns: Columns, done: int) -> Float[np.ndarray, "M D"]:
    width = len(columns.pixels) + (columns.label is not None) + len(columns.dropped)
    for number, line in enumerate(block, done + 1):
        cells = len(next(csv.reader([line], delimiter=columns.delimiter))) if '"' in line else 0
        if width != (cells := cells or line.count(columns.delimiter) + 1):
            raise VaebenchError(
                f"{path}: row {number:,} has {cells:,} values where others have {width:,}; it was cut off or damaged"
            )
    use = columns.pixels if len(columns.pixels) < width else None
    try:
        return np.loadtxt(
            block, np.float64, delimiter=columns.delimiter, quotechar='"', usecols=use, ndmin=2, comments=None
        )
    except ValueError as error:
        reason = printable(str(error).split("; ")[0])[:120]
        raise VaebenchError(
            f"{path}: a value in rows {done + 1:,} to {done + len(block):,} is no pixel ({reason}); expected numbers"
        ) from error


def _label_texts(block: list[str], columns: Columns) -> list[str]:
    if columns.label == 0 and not any(line.startswith('"') for line in block):
        return [line.partition(columns.delimiter)[0] for line in block]
    return [row[columns.label or 0] for row in csv.reader(block, delimiter=columns.delimiter)]


def compact(values: Float[np.ndarray, "M D"]) -> Shaped[np.ndarray, "M D"]:
    """Return the values as uint8, uint16, int32 or float32, the first that holds them."""
    if not (np.isfinite(values).all() and (np.rint(values) == values).all()):
        return values.astype(np.float32)
    low, high = values.min(initial=0), values.max(initial=0)
    for dtype in (np.uint8, np.uint16, np.int32):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return values.astype(dtype)
    return values.astype(np.float32)


def _last_column(values: np.ndarray, texts: list[str]) -> tuple[np.ndarray, list[str], bool]:
    """Return pixels and labels of a table whose labels stand last, where its last column has few whole numbers."""
    last = values[:, -1].astype(np.float64)
    if len(np.unique(last)) < 2 or not (np.rint(last) == last).all():
        return values, texts, False
    first = np.full((len(values), 1), float(texts[0]) if _is_number(texts[0]) else 0.0)
    moved = np.concatenate([first.astype(values.dtype), values[:, :-1]], 1)
    return moved, [str(int(value)) for value in last], True


def find_pixels(path: Path, names: Sequence[str], label: str | None) -> list[str]:
    """Return the columns of a table that are pixels, all but the label and those that number the rows.

    Raises:
        VaebenchError: their number makes no square image.
    """
    kept = [name for name in names if name != label]
    columns = _columns(path, "", tuple(kept), len(kept))
    if columns.label is not None:
        raise VaebenchError(f"{path} has a column a pixel, but which is the label is not known; call it label")
    return [kept[index] for index in columns.pixels]


def as_images(path: Path, values: Shaped[np.ndarray, "N D"]) -> tuple[Shaped[np.ndarray, "N H W C"], tuple[str, ...]]:
    """Return rows of values as square images, with a sentence where their order is guessed.

    Three times a square is colour, pixel by pixel or plane by plane, whichever gives the smoother images.
    """
    side = side_of(values.shape[1])
    if side * side == values.shape[1]:
        return values.reshape(-1, side, side, 1), ()
    interleaved, planes = values.reshape(-1, side, side, 3), values.reshape(-1, 3, side, side).transpose(0, 2, 3, 1)
    rough = [np.abs(np.diff(each[:64].astype(np.float64), axis=2)).mean() for each in (interleaved, planes)]
    chosen, order = (planes, "plane by plane") if rough[1] < rough[0] else (interleaved, "pixel by pixel")
    sentence = f"{path.name}: {values.shape[1]:,} values a row are taken for {side} x {side} pixels in colour, {order}"
    return chosen, (sentence,)


def labels_of(path: Path, texts: Sequence[str]) -> Labels:
    """Return the cells of a column of labels as classes."""
    cleaned = [_decoded(text).strip().strip('"') for text in texts]
    if all(WHOLE.fullmatch(text) or not text for text in cleaned):
        numbers = np.array([float(text) if text else -1 for text in cleaned])
        return read_labels(numbers, f"{path}: the column of labels")
    return name_classes(cleaned, f"{path}: the column of labels")


def _decoded(text: str) -> str:
    """Return a text whose bytes that are not UTF-8 make it one in Windows-1252."""
    raw = any("\udc80" <= character <= "\udcff" for character in text)
    return text.encode("utf-8", "surrogateescape").decode("cp1252", "replace") if raw else text
