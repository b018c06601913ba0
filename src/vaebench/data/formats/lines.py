"""Lines of a CSV or TSV file, which may be gzipped: read a limited number of characters at a time."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from vaebench.core.errors import VaebenchError

ROWS = 1000
"""Rows of a block."""
MAX_CHARACTERS = 1 << 26
"""Characters of a line or a block, so that no gzipped file can exhaust the memory."""


@contextmanager
def open_lines(path: Path) -> Iterator[Iterator[str]]:
    """Yield the lines of a table that are not empty.

    Raises:
        VaebenchError: the file cannot be read, is damaged or is no text.
    """
    try:
        with _open_bytes(path) as file:
            wide = file.read(2) in (b"\xff\xfe", b"\xfe\xff")
        encoding = "utf-16" if wide else "utf-8-sig"
        with _open(path, encoding) as text:
            yield _lines(text)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise VaebenchError(f"{path} is not a complete gzip file; save or download it again") from error
    except OSError as error:
        raise VaebenchError(f"{path} cannot be read ({error.strerror})") from error
    except (UnicodeError, csv.Error) as error:
        raise VaebenchError(f"{path} is not a text file of rows of pixels ({error}); save it again as CSV") from error


def _open_bytes(path: Path) -> io.BufferedIOBase:
    return gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb")


def _open(path: Path, encoding: str) -> io.TextIOWrapper:
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rt", encoding=encoding, errors="surrogateescape", newline="")
    return path.open(encoding=encoding, errors="surrogateescape", newline="")


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    while line := text.readline(MAX_CHARACTERS):
        if len(line) == MAX_CHARACTERS:
            raise csv.Error(f"a line of over {MAX_CHARACTERS:,} characters")
        if line.strip():
            yield line


def blocks(lines: Iterable[str]) -> Iterator[list[str]]:
    """Yield the lines some at a time."""
    block: list[str] = []
    characters = 0
    for line in lines:
        block.append(line)
        characters += len(line)
        if len(block) == ROWS or characters > MAX_CHARACTERS:
            yield block
            block, characters = [], 0
    if block:
        yield block


def first_rows(path: Path) -> tuple[str, list[list[str]]]:
    """Return the separator of a table, and the cells of its first two lines, if it has as many.

    Raises:
        VaebenchError: as :func:`open_lines`, or an empty file.
    """
    with open_lines(path) as file:
        lines = list(islice(file, 2))
        if not lines:
            raise VaebenchError(f"{path} is empty; expected a row of pixels for each image")
        tabs = path.name.lower().removesuffix(".gz").endswith(".tsv")
        delimiter = "\t" if tabs else max(",;\t", key=lines[0].count)
        return delimiter, [next(csv.reader([line], delimiter=delimiter), []) for line in lines]
