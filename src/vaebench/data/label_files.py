"""Labels of the user's own images, from CSV files or class folders."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from vaebench.core.errors import VaebenchError
from vaebench.data.listing import FORMATS, Files, outer_folders, printable

UNLABELLED = ("unlabelled", "unlabeled")
"""Names of the folder with unlabelled images, beside the class folders."""
FILE_COLUMNS = ("file", "filename", "file_name", "image", "image_name", "path", "name", "id")
LABEL_COLUMNS = ("label", "class", "category", "target", "y")


class FileLabels(NamedTuple):
    """Labels by image name, and warnings about labels that match no image."""

    labels: dict[str, str]
    warnings: tuple[str, ...] = ()


def folder_labels(files: Files) -> FileLabels:
    """Return the labels given by class folders; images in a folder ``unlabelled`` have none.

    Raises:
        VaebenchError: an image is in no class folder.
    """
    depth = len(outer_folders(files))
    labels = {}
    for parts in files.images:
        if len(parts) < depth + 2:
            raise VaebenchError(
                f"{files.name(parts)} lies in no class folder; expected CLASS/IMAGE and unlabelled/IMAGE, or the "
                "labels of some images in a CSV file (--labels labels.csv)"
            )
        if parts[depth].lower() not in UNLABELLED:
            labels["/".join(parts)] = printable(parts[depth])
    return FileLabels(labels)


def read_labels(paths: Sequence[Path], names: Sequence[str], root: str) -> FileLabels:
    """Read labels from CSV files with two columns, file and label, and an optional header.

    Files are identified by their path below ``root``, or by their name if it is unique. Lines without a label are
    ignored, as are further columns if a header names the two.

    Args:
        paths: CSV files, separated by comma, semicolon or tab.
        names: names of all images.
        root: name of the images' folder, for paths that start with it.

    Raises:
        VaebenchError: not such a CSV file, an image with two labels, or no line that matches an image.
    """
    find = _Finder(names, root)
    labels: dict[str, str] = {}
    unknown: list[str] = []
    for path in paths:
        for line, file, label in _read_lines(path, find):
            name = find(file)
            if not label:
                continue
            if name is None:
                unknown.append(file)
            elif labels.setdefault(name, label) != label:
                raise VaebenchError(
                    f"{path}, line {line}: {printable(name)} has the labels {labels[name]!r} and {label!r}; expected "
                    "one label per image: remove one of the lines"
                )
    if not labels:
        example = printable(names[0])
        raise VaebenchError(
            f"{', '.join(map(str, paths))} labels none of the {len(names):,} images; expected lines such as "
            f"{example},some class" + (f", not {printable(unknown[0])}" if unknown else "")
        )
    return FileLabels(labels, _unknown_warning(unknown))


def _unknown_warning(files: list[str]) -> tuple[str, ...]:
    if not files:
        return ()
    names = ", ".join(map(printable, files[:3])) + (", ..." if len(files) > 3 else "")
    return (f"{len(files):,} labelled file{'s are' if len(files) > 1 else ' is'} not among the images read: {names}",)


class _Finder:
    """Finds the image that an entry of a CSV file refers to."""

    def __init__(self, names: Iterable[str], root: str) -> None:
        self.names = set(names)
        self.root = root
        by_last = defaultdict(list)
        for name in self.names:
            by_last[PurePosixPath(name).name].append(name)
        self.unique = {last: matches[0] for last, matches in by_last.items() if len(matches) == 1}

    def __call__(self, file: str) -> str | None:
        """Return the image's name, or None if there is no such image."""
        if file in self.names:
            return file
        parts = PurePosixPath(file.replace("\\", "/")).parts
        for start in range(len(parts)):
            below = "/".join(parts[start:])
            if below in self.names and (start == 0 or parts[start - 1] in (".", self.root)):
                return below
        return self.unique.get(parts[-1]) if parts else None


def _read_lines(path: Path, find: _Finder) -> Iterator[tuple[int, str, str]]:
    """Yield line number, file and label of each line of a CSV file."""
    try:
        text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise VaebenchError(f"{path} cannot be read ({error.strerror}); expected a CSV of file and label") from error
    separator = max(",;\t", key=text.partition("\n")[0].count)
    reader = csv.reader(text.splitlines(keepends=True), delimiter=separator, strict=True)
    columns: tuple[int, int] | None = None
    try:
        for row in reader:
            fields = [field.strip() for field in row]
            if not any(fields):
                continue
            if columns is None:
                is_header = find(fields[0]) is None and PurePosixPath(fields[0]).suffix.lower() not in FORMATS
                columns = _find_columns(path, fields) if is_header else (0, 1)
                if is_header:
                    continue
            if len(fields) <= max(columns):
                raise VaebenchError(
                    f"{path}, line {reader.line_num}: {printable(separator.join(row))[:80]!r} has "
                    f"{len(fields)} column{'s' if len(fields) > 1 else ''}; expected a file and its label"
                )
            file = row[columns[0]]
            yield reader.line_num, file if file in find.names else file.strip(), printable(fields[columns[1]])
    except csv.Error as error:
        raise VaebenchError(f"{path}, line {reader.line_num}: {error}; expected a CSV of file and label") from error


def _find_columns(path: Path, fields: list[str]) -> tuple[int, int]:
    """Return the indices of the file and label columns, given the header."""
    header = [field.lower() for field in fields]
    known = (FILE_COLUMNS, LABEL_COLUMNS)
    file, label = (next((header.index(name) for name in names if name in header), None) for names in known)
    if file is not None and label is not None:
        return file, label
    if len(fields) == 2:
        return 0, 1
    raise VaebenchError(
        f"{path}: the first line is {', '.join(map(repr, fields))[:120]}; expected two columns, file and label, or a "
        "header that contains these names"
    )
