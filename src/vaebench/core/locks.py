"""File locks between processes."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vaebench.core.errors import VaebenchError


@contextmanager
def lock_folder(path: Path) -> Iterator[None]:
    """Hold the run's folder; a second process is refused.

    Raises:
        VaebenchError: the folder is in use, or cannot be written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        handle = (path / ".lock").open("w")
    except OSError as error:
        raise VaebenchError(f"{path} cannot be written ({error.strerror}); choose another folder (--out)") from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise VaebenchError(f"{path} is in use by another process; wait for it or choose another --out") from error
        yield


@contextmanager
def file_lock(path: Path, patient: bool = True) -> Iterator[bool]:
    """Hold the file ``path``: wait for another process to let it go, or yield False at once where not ``patient``.

    The system lets go of what a killed process held.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if patient else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True
