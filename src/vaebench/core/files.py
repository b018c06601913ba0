"""Atomic writes, and reads that name a missing or damaged file."""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from vaebench.core.errors import VaebenchError


@contextmanager
def atomic(path: Path, before: Path | None = None) -> Iterator[Path]:
    """Yield a temporary path beside ``path``, which replaces ``path`` when the block ends without an error.

    A process killed in between leaves the old file unchanged. With ``before``, the old file is moved there; a process
    killed between the two renames leaves it there alone.

    Raises:
        VaebenchError: the folder cannot be written, or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    except OSError as error:
        raise VaebenchError(
            f"{path.parent} cannot be written ({error.strerror}); choose another folder or free some space"
        ) from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        if before is not None and path.exists():
            path.replace(before)
        temporary.replace(path)
    except OSError as error:
        raise VaebenchError(
            f"{path} cannot be written ({error.strerror or error}); the old file is unchanged: free some space and "
            "run the same command again"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write bytes atomically."""
    with atomic(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically. NaN is refused, since it is no JSON."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write named arrays as a compressed .npz atomically."""
    with atomic(path) as temporary:
        np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read an .npz of plain arrays.

    Raises:
        VaebenchError: the file is missing or damaged.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return dict(stored)
    except FileNotFoundError as error:
        raise VaebenchError(f"{path} is missing; expected a file that vaebench wrote") from error
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise VaebenchError(f"{path} is no whole .npz ({error}); it was damaged or edited") from error


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        VaebenchError: the file is missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise VaebenchError(f"{path} is missing; expected a file that vaebench wrote") from error
    except ValueError as error:
        raise VaebenchError(f"{path} is not JSON ({error}); it was damaged or edited") from error
