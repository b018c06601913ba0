"""What all readers of containers share: fingerprints, limits of memory, optional libraries."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vaebench.core.errors import VaebenchError
from vaebench.core.steps import content_key
from vaebench.data.printing import printable


def fingerprint_of(paths: Sequence[Path]) -> Callable[[], str]:
    """Return a function of no arguments that hashes name, size and time of change of these files."""

    def fingerprint() -> str:
        states = [(path.name, path.stat()) for path in paths]
        return content_key([[printable(name), state.st_size, state.st_mtime_ns] for name, state in states])

    return fingerprint


def library(name: str, path: Path) -> Any:
    """Import a library that only some formats need.

    Raises:
        VaebenchError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise VaebenchError(
            f"{path} is read with the package {package}, which is not installed; pip install 'vaebench[formats]'"
        ) from error


def memory_bytes() -> int:
    """Return the bytes of this machine's memory."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def check_memory(needed: int, name: str, advice: str) -> None:
    """Refuse what would not fit in memory before any of it is allocated; messages call it ``name``.

    Raises:
        VaebenchError: ``needed`` bytes are more than the machine has.
    """
    if needed > (limit := memory_bytes()):
        raise VaebenchError(
            f"{name} is too large for this machine's memory, {needed / 1e9:,.1f} GB of {limit / 1e9:,.1f}; {advice}"
        )


def listed(names: Sequence[str], most: int = 8) -> str:
    """Return printable names for a sentence, "and 3 more" after the first ``most``."""
    text = ", ".join(printable(repr(name)) for name in names[:most])
    return text + (f" and {len(names) - most:,} more" if len(names) > most else "")
