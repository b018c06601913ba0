"""Tables of labels: rows of text from CSV and JSON files."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from vaebench.core.errors import VaebenchError
from vaebench.data.decoding import DECODERS
from vaebench.data.labels.decoding import read_text
from vaebench.data.labels.json_tables import JSON_LINES, read_json_rows

SEPARATORS = ",;\t|"
SAMPLE = 50
"""Records that the separator is inferred from."""


class Table(NamedTuple):
    """Rows of equal meaning, the names of their columns where the file states them, and where each row stands."""

    path: Path
    columns: tuple[str, ...] | None
    """Names of the columns; None for a CSV file, whose first row may or may not be a header."""
    rows: list[list[str]]
    numbers: Sequence[int]
    """Number of the line or record of each row."""
    warnings: tuple[str, ...] = ()

    def place(self, index: int) -> str:
        """Path and line or record of a row, to begin a sentence with."""
        return f"{self.path}, {'line' if self.columns is None else 'record'} {self.numbers[index]}"


def read_table(path: Path, names: Sequence[str]) -> Table:
    """Read a table from a CSV, TSV or JSON file.

    Args:
        path: file of the table.
        names: names of the images, which may contain bytes that are no Unicode.

    Raises:
        VaebenchError: the file cannot be read, or is not of these formats.
    """
    text, warnings = read_text(path, names)
    start = text.lstrip()[:1]
    if path.suffix.lower() in (".json", *JSON_LINES) or start == "{" or (start == "[" and path.suffix != ".csv"):
        columns, rows = read_json_rows(path, text)
        return Table(path, columns, rows, range(1, len(rows) + 1), warnings)
    numbered = list(_read_csv(path, text))
    return Table(path, None, [row for _, row in numbered], [number for number, _ in numbered], warnings)


def _read_csv(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the line number and the fields of each row that is not empty."""
    first, end, rest = text.partition("\n" if "\n" in text else "\r")
    stated = first.strip().strip('"')
    separator = ""
    if stated.startswith("sep=") or first.rstrip("\r\n") == "sep=\t":  # Excel's own first line
        separator, text = first.strip('"\r\n')[4:5] or "\t", end + rest
    separator = separator or _infer_separator(text)
    reader = _reader(text, separator)
    try:
        for row in reader:
            if any(map(str.strip, row)):
                yield reader.line_num, row
    except csv.Error as error:
        raise VaebenchError(f"{path}, line {reader.line_num}: {error}; expected a CSV of file and label") from error


def _reader(text: str, separator: str) -> Any:
    spaced = f'{separator} "' in text
    return csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=spaced)


def _infer_separator(text: str) -> str:
    """Return the separator that splits the first rows most evenly, with file names in fields of their own."""

    def score(separator: str) -> tuple[bool, int, int]:
        try:
            rows = [row for row in islice(_reader(text, separator), SAMPLE) if row]
        except csv.Error:
            return False, -1, text.partition("\n")[0].count(separator)
        widths = {len(row) for row in rows} or {0}
        files = sum(any(has_image_suffix(field) for field in row) for row in rows)
        return len(widths) == 1 and widths != {1}, files, max(widths)

    return max(SEPARATORS, key=score)


def has_image_suffix(field: str) -> bool:
    """Whether a field ends as the name of an image file does."""
    return PurePosixPath(field.strip()).suffix.lower() in DECODERS
