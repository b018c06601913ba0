"""An inspection as lines of text: warnings first, then what there is and how it would be read."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

from vaebench.data.checks.inspection import ChannelValues, Inspection
from vaebench.plotting.palette import clean, shortened

MAX_CLASSES = 20
MAX_LINES = 6
NAME_LENGTH = 40
WIDTH = 110
"""Columns of a line of facts."""


def lines(inspection: Inspection) -> list[str]:
    """Return the inspection as lines for a terminal."""
    text_lines = [f"{clean(inspection.title)}: {summary(inspection)}", ""]
    number = len(inspection.warnings)
    text_lines.append(f"{number} warning{'' if number == 1 else 's'}" + (", worst first:" if number > 1 else ""))
    for warning in inspection.warnings:
        text_lines += [f"- {clean(capitalised(warning.sentence))}", f"  {warning.advice}"]
    text_lines += ["", *_table(count_rows(inspection)), ""]
    width = max(len(name) for name, _ in facts(inspection))
    for name, values in facts(inspection):
        wrapped = [line for value in values for line in wrap(value, WIDTH - width, subsequent_indent="  ")]
        text_lines += [f"{'' if index else name:<{width}}  {line}" for index, line in enumerate(wrapped)]
    return text_lines


def summary(inspection: Inspection) -> str:
    """Return the numbers of images, classes and labels in one line."""
    text = f"{inspection.images:,} image{'' if inspection.images == 1 else 's'}"
    if inspection.unreadable:
        text += f", {len(inspection.unreadable):,} of them unreadable"
    if not inspection.classes:
        return text + ", no labels"
    classes = len(inspection.classes)
    return text + f", {inspection.labelled:,} labelled in {classes} class{'' if classes == 1 else 'es'}"


def capitalised(sentence: str) -> str:
    """Return a sentence with its first letter in upper case, unless it begins with the name of a file."""
    first = sentence.partition(" ")[0]
    return sentence if "." in first.strip(".") else sentence[:1].upper() + sentence[1:]


def count_rows(inspection: Inspection) -> list[tuple[str, ...]]:
    """Return the table of counts: a header, then the readable images of each class and part, and their sums."""
    parts = list(inspection.parts)
    rows = [("class", *(parts or ["images"]))]
    rows += [
        (clean(name) or ("no label" if inspection.classes else "all"), *(f"{count:,}" for count in counts.values()))
        for name, counts in inspection.counts.items()
    ]
    if len(inspection.counts) > 1:
        sums = [sum(each) for each in zip(*(counts.values() for counts in inspection.counts.values()), strict=True)]
        rows.append(("sum", *(f"{each:,}" for each in sums)))
    return rows


def facts(inspection: Inspection) -> list[tuple[str, list[str]]]:
    """Return sizes, types, values, known factors, duplicates and the reading, each a title and lines."""
    sizes = [f"{width} x {height} pixels: {count:,}" for width, height, count in inspection.sizes]
    types = [f"{name}: {count:,}" for name, count in inspection.types.items()]
    values = [_values(channel) for channel in inspection.channels]
    equal, near = inspection.equal_images, inspection.near_pairs
    duplicates = [
        f"{equal:,} image{'' if equal == 1 else 's'} equal to an earlier one",
        f"{near:,} pair{'' if near == 1 else 's'} of images nearly equal",
    ]
    if inspection.near_not_compared:
        duplicates.append(
            f"{inspection.near_not_compared:,} more pairs that look alike, too many to compare all pixels"
        )
    known = [("factors", [_factors(inspection.factors)])] if inspection.factors else []
    return [
        ("sizes", _at_most(sizes)),
        ("types", _at_most(types)),
        ("values", _at_most(values)),
        *known,
        ("duplicates", duplicates),
        ("read as", [inspection.rule.description, *map(clean, inspection.reading)]),
    ]


def _factors(levels: Sequence[int]) -> str:
    listed = ", ".join(f"{count:,}" for count in levels)
    factors = f"{len(levels)} known factors" if len(levels) > 1 else "1 known factor"
    return f"{factors} of variation, with {listed} values: vaebench run measures disentanglement by them"


def _values(channel: ChannelValues) -> str:
    text = f"{clean(channel.name)}: {channel.lowest:,.6g} to {channel.highest:,.6g}"
    text += f"; {channel.low:,.6g} becomes black and {channel.high:,.6g} white"
    return text + (f", {channel.clipped:.2%} of the values lie beyond" if channel.clipped else "")


def _at_most(rows: list[str]) -> list[str]:
    return rows if len(rows) <= MAX_LINES else [*rows[: MAX_LINES - 1], f"and {len(rows) - MAX_LINES + 1:,} more"]


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Align the columns; of many classes the first and the last rows are shown."""
    shown = list(rows)
    if len(rows) > MAX_CLASSES + 2:
        shown = [
            *rows[: MAX_CLASSES + 1],
            (f"({len(rows) - MAX_CLASSES - 2:,} more)", *[""] * (len(rows[0]) - 1)),
            rows[-1],
        ]
    shown = [(shortened(name, NAME_LENGTH), *numbers) for name, *numbers in shown]
    widths = [max(len(row[column]) for row in shown) for column in range(len(shown[0]))]
    return [
        "  ".join([f"{row[0]:<{widths[0]}}", *(f"{cell:>{w}}" for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in shown
    ]
