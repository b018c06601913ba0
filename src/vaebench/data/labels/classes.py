"""Class names from the cells of a label column: which mean no label, and which are spellings of one."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable

from vaebench.core.errors import VaebenchError
from vaebench.data.labels.matching import normal
from vaebench.data.labels.names import quoted

NO_LABEL = ("", "-1", "-1.0", "?", "nan", "NaN", "NAN", "<NA>", "None", "null", "NULL", "NA", "N/A", "n/a", "#N/A")
UNLABELLED = ("unlabelled", "unlabeled")
SEVERAL = ("[", "{")
"""First characters of a cell that holds several values, in JSON."""
WHOLE = re.compile(r"[+-]?\d+(\.0+)?")


def class_name(cell: str, place: str) -> str:
    """Return a cell's class name, with spaces for white space of other kinds and without invisible characters.

    Raises:
        VaebenchError: the cell holds control characters or several labels.
    """
    name = normal(cell).strip()
    if name.startswith(SEVERAL) and name.endswith(("]", "}")) and '"' in name:
        raise VaebenchError(f"{place}: {quoted([name])} are several labels; expected one label per image")
    if name.isprintable():
        return name
    visible = (" " if character.isspace() else character for character in name)
    name = "".join(character for character in visible if unicodedata.category(character) != "Cf").strip()
    if not name.isprintable():
        raise VaebenchError(f"{place}: the label {name!a} has an unprintable character; remove it")
    return name


def is_missing(name: str) -> bool:
    """Whether a class name means that there is no label; "unknown" is a class like others."""
    return name in NO_LABEL or name.lower() in UNLABELLED


def resolve_names(names: list[str]) -> tuple[dict[str, str], list[str]]:
    """Return the class by cell, "" where there is none, and sentences about what was decided.

    -1 is a class where the only other label is 1. Whole floats, as spreadsheets write whole numbers beside empty
    cells, lose their decimals if all labels are whole.
    """
    counts = Counter(names)
    missing = {name: count for name, count in counts.items() if is_missing(name)}
    present = [name for name in counts if name not in missing]
    sentences = []
    if missing.keys() & {"-1", "-1.0"} and present and set(present) <= {"1", "+1", "1.0"}:
        missing = {name: count for name, count in missing.items() if name not in ("-1", "-1.0")}
        present = [name for name in counts if name not in missing]
        sentences.append("-1 is a class, as 1 is the only other label")
    if missing:
        total, each = sum(missing.values()), ", ".join(f"{name or 'empty'} {n:,}" for name, n in missing.items())
        sentences.append(f"{total:,} row{'s have' if total > 1 else ' has'} no label ({each})")
    classes = {name: name for name in present}
    floats = [name for name in present if "." in name]
    if floats and all(map(WHOLE.fullmatch, present)):
        classes = {name: name.partition(".")[0] for name in present}
        sentences.append(f"labels such as {floats[0]} are read as {classes[floats[0]]}, as all are whole numbers")
    return classes | dict.fromkeys(missing, ""), sentences


def warn_of_spellings(labels: Iterable[str]) -> tuple[str, ...]:
    """Return a warning for classes that differ in case, spaces, hyphens or compatible characters only."""
    counts = Counter(labels)
    alike: dict[str, list[str]] = defaultdict(list)
    for name in counts:
        alike[re.sub(r"[\s_-]+", " ", unicodedata.normalize("NFKC", name).casefold())].append(name)
    return tuple(
        f"{' and '.join(f'{name!r} ({counts[name]:,})' for name in sorted(names))} look like one class written in "
        f"{len(names)} ways; they are kept apart"
        for names in alike.values()
        if len(names) > 1
    )
