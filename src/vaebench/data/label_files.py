"""Labels of the user's own images from tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from vaebench.core.errors import VaebenchError
from vaebench.data.labels.classes import class_name, resolve_names, warn_of_spellings
from vaebench.data.labels.columns import select_columns
from vaebench.data.labels.matching import ASSUMPTIONS, Match, Matcher
from vaebench.data.labels.tables import read_table
from vaebench.data.printing import printable


class FileLabels(NamedTuple):
    """Labels by image name, and sentences about what was assumed, left out, or matches no image."""

    labels: dict[str, str]
    warnings: tuple[str, ...] = ()


class _Row(NamedTuple):
    place: str
    """Path and line, to begin a sentence with."""
    file: str
    label: str
    match: Match


def read_labels(paths: Sequence[Path], names: Sequence[str], root: str) -> FileLabels:
    """Read labels from tables of file and label, in CSV or JSON, as labelling tools and spreadsheets write them.

    Files are identified by their path below ``root``, or by their name if it is unique. What else they may differ in
    is listed in :data:`vaebench.data.labels.matching.ASSUMPTIONS`, and each such difference is warned about. Rows
    without a label are counted in a warning. Two forms of a class name that differ in their Unicode form only are
    the same class.

    Args:
        paths: tables, separated by comma, semicolon, tab or bar, or in JSON; ``FILE:COLUMN`` names the labels' column.
        names: names of all images.
        root: name of the images' folder, for paths that start with it.

    Raises:
        VaebenchError: not such a table, no single column of labels, an image with two labels, or no row that matches
            an image.
    """
    matcher = Matcher(names, root)
    rows: list[_Row] = []
    warnings: list[str] = []
    for path in paths:
        of_table, of_columns = _read_rows(path, names, matcher)
        rows += of_table
        warnings += of_columns
    classes, sentences = resolve_names([row.label for row in rows])
    rows = [row._replace(label=classes[row.label]) for row in rows if classes[row.label]]
    # an image with a row of its own takes no row that is another file but for an assumption
    own = {row.match.name for row in rows if not row.match.assumed}
    unknown = [row for row in rows if row.match.name is None or (row.match.assumed and row.match.name in own)]
    known = [row for row in rows if row.match.name and not (row.match.assumed and row.match.name in own)]
    labels = _join(known)
    if not labels:
        raise _no_labels(paths, names, unknown)
    warnings += [*sentences, *_assumption_warning(known), *_unknown_warnings(unknown)]
    return FileLabels(labels, tuple(map(printable, (*warnings, *warn_of_spellings(labels.values())))))


def _read_rows(path: Path, names: Sequence[str], matcher: Matcher) -> tuple[list[_Row], tuple[str, ...]]:
    path, column = split_column(path)
    selected = select_columns(read_table(path, names), matcher, column)
    table = selected.table
    cells = zip(selected.files, selected.labels, matcher.match(selected.files), strict=True)
    rows = []
    for index, (file, label, match) in enumerate(cells):
        place = table.place(index)
        rows.append(_Row(place, file, class_name(label, place), match))
    return rows, (*table.warnings, *selected.warnings)


def split_column(path: Path) -> tuple[Path, str | None]:
    """Return the file and the column of ``FILE:COLUMN``; the column is None where a file has the whole name."""
    text = str(path)
    at = -1 if path.exists() else text.rfind(":")
    while at > 0 and not Path(text[:at]).is_file():
        at = text.rfind(":", 0, at)
    return (Path(text[:at]), text[at + 1 :]) if at > 0 else (path, None)


def _join(rows: Sequence[_Row]) -> dict[str, str]:
    """Return the label of each image."""
    labels: dict[str, str] = {}
    for row in rows:
        name, label = row.match.name or "", row.label
        if labels.setdefault(name, label) != label:
            raise VaebenchError(
                f"{row.place}: {printable(name)} has the labels {labels[name]!r} and {label!r}; expected "
                "one label per image: remove one of the lines"
            )
    return labels


def _no_labels(paths: Sequence[Path], names: Sequence[str], unknown: Sequence[_Row]) -> VaebenchError:
    example = printable(names[0])
    return VaebenchError(
        f"{', '.join(map(str, paths))} labels none of the {len(names):,} images; expected lines such as "
        f"{example},some class" + (f", not {printable(unknown[0].file)}" if unknown else "")
    )


def _assumption_warning(rows: Iterable[_Row]) -> tuple[str, ...]:
    """Return one sentence with the number and an example of each assumption."""
    counts: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for row in rows:
        for assumed in row.match.assumed:
            if not counts[assumed]:
                examples[assumed] = f"{printable(row.file)} is {printable(row.match.name or '')}"
            counts[assumed] += 1
    parts = [f"{count:,} {ASSUMPTIONS[assumed]} ({examples[assumed]})" for assumed, count in counts.items()]
    return (
        (f"labelled files are matched though written otherwise than the images: {', '.join(parts)}",) if parts else ()
    )


def _unknown_warnings(rows: Sequence[_Row]) -> list[str]:
    warnings = []
    for files, reason in (
        ([row.file for row in rows if not row.match.ambiguous], "not among the images read"),
        ([row.file for row in rows if row.match.ambiguous], "the name of several images, so that a folder is needed"),
    ):
        if files:
            names = ", ".join(map(printable, files[:3])) + (", ..." if len(files) > 3 else "")
            warnings.append(f"{len(files):,} labelled file{'s are' if len(files) > 1 else ' is'} {reason}: {names}")
    return warnings
