"""Labels of a few of a user's own images: CSV files, class folders."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from vaebench.core.errors import VaebenchError
from vaebench.data.listing import FORMATS, Files, outer_folders, printable

UNLABELLED = ("unlabelled", "unlabeled")
"""Names of the folder beside class folders whose images have no label."""
FILE_WORDS = ("file", "filename", "file_name", "image", "image_name", "path", "name", "id")
LABEL_WORDS = ("label", "class", "category", "target", "y")
SHOWN = 3
"""Names given in a sentence about many."""


class FileLabels(NamedTuple):
    """Labels by the name of the image, and sentences on what could not be used."""

    labels: dict[str, str]
    warnings: tuple[str, ...]


def folder_labels(files: Files) -> FileLabels:
    """Labels from class folders, beside an ``unlabelled`` one or not.

    Raises:
        VaebenchError: images beside class folders, or no class folders.
    """
    outer = outer_folders(files)
    labels = {}
    for parts in files.images:
        if len(parts) < len(outer) + 2:
            raise VaebenchError(
                f"{files.name(parts)} lies in no class folder; expected CLASS/IMAGE and unlabelled/IMAGE, or the "
                "labels of some images in a CSV file (--labels labels.csv)"
            )
        name = parts[len(outer)]
        if name.lower() not in UNLABELLED:
            labels["/".join(parts)] = printable(name)
    return FileLabels(labels, ())


def read_labels(paths: Sequence[Path], names: Sequence[str], root: str) -> FileLabels:
    """Labels from CSV files of two columns, file and label, with a header or not, later lines for other files.

    Files are named by their path below ``root``, or by their last part where that is one image's alone. Lines
    without a label are left out; more columns are ignored where a header names the two.

    Args:
        paths: the CSV files; comma, semicolon or tab between columns.
        names: of all images.
        root: how the folder of the images is called, for names that begin with it.

    Raises:
        VaebenchError: a file that is no such CSV, a file with two labels, or no line that names an image.
    """
    find = _Finder(names, root)
    labels: dict[str, str] = {}
    unknown: list[str] = []
    for path in paths:
        for line, file, label in _lines(path, find):
            found = find(file)
            if not label:
                continue
            if found is None:
                unknown.append(file)
            elif labels.setdefault(found, label) != label:
                raise VaebenchError(
                    f"{path}, line {line}: {printable(found)} has the labels {labels[found]!r} and {label!r}; expected "
                    "one label an image: remove one of the lines"
                )
    if not labels:
        example = printable(names[0])
        raise VaebenchError(
            f"{', '.join(map(str, paths))} labels none of the {len(names):,} images; expected lines such as "
            f"{example},some class" + (f", not {printable(unknown[0])}" if unknown else "")
        )
    return FileLabels(labels, _unknown(unknown))


def _unknown(files: list[str]) -> tuple[str, ...]:
    if not files:
        return ()
    shown = ", ".join(printable(name) for name in files[:SHOWN]) + (", ..." if len(files) > SHOWN else "")
    return (f"{len(files):,} labelled file{'s are' if len(files) > 1 else ' is'} not among the images read: {shown}",)


class _Finder:
    """Finds an image by what a CSV file calls it."""

    def __init__(self, names: Iterable[str], root: str) -> None:
        self.names = set(names)
        self.root = root
        by_last = defaultdict(list)
        for name in self.names:
            by_last[PurePosixPath(name).name].append(name)
        self.alone = {last: found[0] for last, found in by_last.items() if len(found) == 1}

    def __call__(self, file: str) -> str | None:
        """The image's name, if there is one."""
        if file in self.names:
            return file
        parts = PurePosixPath(file.replace("\\", "/")).parts
        for start in range(len(parts)):
            below = "/".join(parts[start:])
            if below in self.names and (start == 0 or parts[start - 1] in (".", self.root)):
                return below
        return self.alone.get(parts[-1]) if parts else None


def _lines(path: Path, find: _Finder) -> Iterator[tuple[int, str, str]]:
    """Line numbers, files and labels of a CSV file."""
    try:
        text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise VaebenchError(f"{path} cannot be read ({error.strerror}); expected a CSV of file and label") from error
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    reader = csv.reader(text.splitlines(keepends=True), delimiter=separator, strict=True)
    columns: tuple[int, int] | None = None
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if columns is None:
                columns = _header(path, cells, find)
                if not _is_data(cells, find):
                    continue
            if len(cells) <= max(columns):
                raise VaebenchError(
                    f"{path}, line {reader.line_num}: {printable(separator.join(row))[:80]!r} has "
                    f"{len(cells)} column{'s' if len(cells) > 1 else ''}; expected a file and its label"
                )
            file = row[columns[0]]
            yield reader.line_num, file if file in find.names else file.strip(), printable(cells[columns[1]])
    except csv.Error as error:
        raise VaebenchError(f"{path}, line {reader.line_num}: {error}; expected a CSV of file and label") from error


def _is_data(cells: list[str], find: _Finder) -> bool:
    """Whether the first line is an image's, not a header."""
    return find(cells[0]) is not None or PurePosixPath(cells[0]).suffix.lower() in FORMATS


def _header(path: Path, cells: list[str], find: _Finder) -> tuple[int, int]:
    """The columns of file and label."""
    if _is_data(cells, find):
        return 0, 1
    words = [cell.lower() for cell in cells]
    found = [next((words.index(word) for word in known if word in words), None) for known in (FILE_WORDS, LABEL_WORDS)]
    if found[0] is not None and found[1] is not None:
        return found[0], found[1]
    if len(cells) == 2:
        return 0, 1
    raise VaebenchError(
        f"{path}: the first line is {', '.join(map(repr, cells))[:120]}; expected two columns, file and label, or a "
        "header that names them so"
    )
