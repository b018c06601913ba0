"""File locks between processes. The system releases the lock of a process that was killed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from vaebench.core.errors import VaebenchError


@contextmanager
def lock_folder(path: Path) -> Iterator[None]:
    """Create the folder and lock it for this process.

    Raises:
        VaebenchError: another process holds the folder, or it cannot be written.
    """
    lock = FileLock(path / ".lock", timeout=0)
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise VaebenchError(f"{path} is in use by another process; wait for it or choose another --out") from error
    except OSError as error:
        raise VaebenchError(f"{path} cannot be written ({error.strerror}); choose another folder (--out)") from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def file_lock(path: Path, wait: bool = True) -> Iterator[bool]:
    """Lock the file ``path``; with ``wait=False`` yield False at once where another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, timeout=-1 if wait else 0)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
