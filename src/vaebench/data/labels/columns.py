"""Which columns of a table hold the files and the labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from vaebench.core.errors import VaebenchError
from vaebench.data.labels.matching import Matcher
from vaebench.data.labels.names import FILE_COLUMNS, ID_COLUMNS, LABEL_COLUMNS, OWN_COLUMNS, plain, quoted
from vaebench.data.labels.tables import Table, has_image_suffix

SAMPLE = 1000
"""Rows whose files are looked up to find their column."""


class LabelColumns(NamedTuple):
    """Rows of a table below its header, and the cells of their files and labels."""

    table: Table
    """Without its header."""
    files: list[str]
    labels: list[str]
    warnings: tuple[str, ...]


def select_columns(table: Table, matcher: Matcher, column: str | None = None) -> LabelColumns:
    """Find the columns of files and labels by their names and by the files that they hold.

    The column of files is the one whose values are most of the images. The label is in the column called label, else
    in the only one with a name such as class or type, else in the only other one, or in columns of 0 and 1, one a
    class.

    Args:
        table: the rows.
        matcher: knows the images.
        column: name of the column of labels; None finds it.

    Raises:
        VaebenchError: no column, or more than one, can be the label or has the given name; or rows have too few or too
            many fields.
    """
    if not table.rows:
        return LabelColumns(table, [], [], ())
    header = table.columns or _header(table, matcher, column)
    body = table
    if header and table.columns is None:
        body = table._replace(rows=table.rows[1:], numbers=table.numbers[1:])
    width = len(header or table.rows[0])
    names = [plain(name) for name in header or [""] * width]
    _check_widths(body, width, bool(header))
    columns = list(zip(*((row + [""] * width)[:width] for row in body.rows), strict=True)) or [()] * width
    if width == 1:
        raise VaebenchError(f"{_first(table)}; expected a file and its label")
    file = _file_column(names, columns, matcher)
    title = header or tuple(f"column {number}" for number in range(1, width + 1))
    return _select_label(body, _Head(title, names, file, bool(header)), columns, column)


class _Head(NamedTuple):
    title: Sequence[str]
    """Names as they stand in the file."""
    names: list[str]
    file: int
    stated: bool
    """Whether the file has a header."""


def _select_label(table: Table, head: _Head, columns: Sequence[Sequence[str]], column: str | None) -> LabelColumns:
    others = [index for index in range(len(columns)) if index != head.file]
    label = _label_column(table, head, columns, others) if column is None else _named_column(table, head, column)
    if label is None:
        cells, used = _one_hot(table, head, columns, others)
        warnings = [f"{table.path.name}: the labels are the names of the columns {quoted(head.title[i] for i in used)}"]
    else:
        cells, used, warnings = list(columns[label]), [label], []
    if (
        head.stated
        and len(columns) == 2
        and not set(head.names) & {*FILE_COLUMNS, *ID_COLUMNS, "label", *LABEL_COLUMNS}
    ):
        warnings.append(f"{table.path.name}: the first line, {quoted(head.title)}, is read as a header")
    rest = [head.title[i] for i in others if i not in used and head.names[i] not in OWN_COLUMNS]
    if rest:
        source = f"files are read from {head.title[head.file]!r}, labels from {quoted(head.title[i] for i in used)}"
        warnings.append(f"{table.path.name}: {source}, nothing from {quoted(rest)}")
    return LabelColumns(table, list(columns[head.file]), cells, tuple(warnings))


def _header(table: Table, matcher: Matcher, column: str | None) -> tuple[str, ...] | None:
    """Return the first row if it names the columns, as it does where it has the given one."""
    first = [field.strip() for field in table.rows[0]]
    if column is not None and plain(column) in map(plain, first):
        return tuple(first)
    if any(map(has_image_suffix, first)) or any(field in matcher.names for field in first):
        return None
    names = {plain(field) for field in first}
    if names & {"label", *LABEL_COLUMNS} and len(table.rows) > 1 and names & {*FILE_COLUMNS, *ID_COLUMNS}:
        return tuple(first)
    if any(match.name or match.ambiguous for match in matcher.match(first)):
        return None
    seen_again = len(first) == 2 and any(len(row) > 1 and row[1].strip() == first[1] for row in table.rows[1:])
    return None if seen_again and not names & {"label", *LABEL_COLUMNS} else tuple(first)


def _check_widths(table: Table, width: int, header: bool) -> None:
    for index, row in enumerate(table.rows):
        if len(row) < min(width, 2) or (len(row) > width and any(map(str.strip, row[width:]))):
            count = f"{len(row)} column{'s' if len(row) > 1 else ''}"
            other = f"the header has {width}" if header else f"the first line has {width}"
            raise VaebenchError(
                f"{table.place(index)}: {quoted([','.join(row)])} has {count}; expected a file and its label"
                + (f", as {other}: put quotes around a field that contains a separator" if len(row) > width else "")
            )


def _first(table: Table) -> str:
    row = ",".join(table.rows[0])
    return f"{table.place(0)}: {quoted([row])} has 1 column" if table.rows else f"{table.path} has 1 column"


def _file_column(names: list[str], columns: Sequence[Sequence[str]], matcher: Matcher) -> int:
    """Return the column whose values are images; names of columns decide between several."""
    step = max(1, len(columns[0]) // SAMPLE)

    def hits(index: int) -> int:
        return sum(match.name is not None for match in matcher.match(columns[index][::step]))

    known = {name: rank for rank, name in enumerate((*FILE_COLUMNS, *ID_COLUMNS))}
    by_name = [index for _, index in sorted((known[name], index) for index, name in enumerate(names) if name in known)]
    by_hits = {index: hits(index) for index in by_name if names[index] not in ID_COLUMNS}
    best = max(by_hits, key=by_hits.__getitem__, default=None)
    rows = len(columns[0][::step])
    if best is not None and rows and 2 * by_hits[best] >= rows:
        return best
    others = {index: hits(index) for index in range(len(names)) if index not in by_hits}
    other = max(others, key=others.__getitem__, default=None)
    if best is not None and (other is None or 2 * by_hits[best] >= others[other]):
        return best if by_hits[best] or other is None or not others[other] else other
    return by_name[0] if other is None or (by_name and not others[other]) else other


def _label_column(table: Table, head: _Head, columns: Sequence[Sequence[str]], others: list[int]) -> int | None:
    """Return the column of labels, or None for columns of 0 and 1, one a class."""
    if "label" in head.names:
        index = head.names.index("label")
        if index in others:
            return index
    named = [index for index in others if head.names[index] in LABEL_COLUMNS]
    named = _without_numbers(named, columns)
    filled = [index for index in others if any(map(str.strip, columns[index]))] or others[:1]
    if not named and "x" not in head.names:
        named = [index for index in others if head.names[index] == "y"]
    if not named and len(filled) == 1:
        named = filled
    if len(named) == 1:
        return named[0]
    if not named and len(_binary(columns, filled)) > 1:
        return None
    choice = named or filled
    way = "call one of them 'label' in the header" if head.stated else "add a header such as file,label"
    raise VaebenchError(
        f"{table.path}: the columns {quoted(head.title[index] for index in choice)} could all be the label; expected "
        f"one: {way}"
    )


def _named_column(table: Table, head: _Head, column: str) -> int:
    """Return the column of this name, which is not that of the files."""
    exact = [index for index, title in enumerate(head.title) if title.strip() == column.strip()]
    alike = exact or [index for index, name in enumerate(head.names) if name == plain(column)]
    if len(alike) == 1 and alike[0] != head.file:
        return alike[0]
    problem = "has several columns" if len(alike) > 1 else "has its files in the column" if alike else "has no column"
    expected = quoted((title for index, title in enumerate(head.title) if index != head.file), most=30)
    named = f"one of the others, {expected}" if head.stated else "a header that names the columns"
    raise VaebenchError(f"{table.path} {problem} {quoted([column])}; expected {named}")


def _without_numbers(named: list[int], columns: Sequence[Sequence[str]]) -> list[int]:
    """Return the columns without those that number the classes which another one names."""
    kept = []
    for index in named:
        rest = [other for other in named if other != index]
        numbers = all(cell.strip().lstrip("-").replace(".0", "").isdigit() for cell in columns[index] if cell.strip())
        same = [
            len(set(zip(columns[index], columns[other], strict=True))) == len(set(columns[index])) for other in rest
        ]
        same_back = [len(set(columns[other])) == len(set(columns[index])) for other in rest]
        if not (numbers and any(a and b for a, b in zip(same, same_back, strict=True))):
            kept.append(index)
    return kept or named[:1]


def _binary(columns: Sequence[Sequence[str]], filled: list[int]) -> list[int]:
    values = {"0", "1", "0.0", "1.0", "true", "false", "True", "False"}
    return [index for index in filled if {cell.strip() for cell in columns[index]} <= values]


def _one_hot(
    table: Table, head: _Head, columns: Sequence[Sequence[str]], others: list[int]
) -> tuple[list[str], list[int]]:
    """Return the name of each row's column with a 1, "" where there is none, and the columns."""
    used = _binary(columns, others)
    cells = []
    for row in range(len(table.rows)):
        ones = [head.title[index] for index in used if columns[index][row].strip() in ("1", "1.0", "true", "True")]
        if len(ones) > 1:
            raise VaebenchError(
                f"{table.place(row)}: the columns {quoted(ones)} are all 1, so that the image has several labels; "
                "expected one label per image, in a column called label"
            )
        cells.append(ones[0] if ones else "")
    return cells, used
