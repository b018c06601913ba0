"""A survey in a file, so that an interrupted reading continues without another."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, get_args

import numpy as np

from vaebench.core.files import atomic, read_arrays
from vaebench.data.image_set import ImageFormat, Kind
from vaebench.data.survey import Survey

ABOUT = "about"
"""Array with everything but the values, as JSON."""


def write_survey(path: Path, seen: Survey) -> None:
    """Write a survey to an npz file atomically.

    Raises:
        VaebenchError: the folder cannot be written, or the disk is full.
    """
    rest = seen._asdict() | {
        "formats": [[info._asdict(), count] for info, count in seen.formats.items()],
        "values": None,
    }
    arrays = {f"{kind} {row:04}": array for kind, each in seen.values.items() for row, array in enumerate(each)}
    with atomic(path) as temporary:
        np.savez(temporary, **{ABOUT: np.array(json.dumps(rest))}, **arrays)  # type: ignore[arg-type]


def read_survey(path: Path) -> Survey:
    """Read a survey that :func:`write_survey` wrote.

    Raises:
        VaebenchError: the file is missing or damaged.
    """
    arrays = read_arrays(path)
    rest: dict[str, Any] = json.loads(str(arrays.pop(ABOUT)))
    formats: Counter[ImageFormat] = Counter()
    fields: dict[str, Any]
    for fields, count in rest.pop("formats"):
        lists = {name: tuple(each) for name, each in fields.items() if isinstance(each, list)}
        formats[ImageFormat(**fields | lists)] = count
    kinds: tuple[Kind, ...] = get_args(Kind)
    values = {kind: [arrays[name] for name in arrays if name.startswith(kind)] for kind in kinds}
    return Survey(**rest | {"formats": formats, "values": {kind: each for kind, each in values.items() if each}})
