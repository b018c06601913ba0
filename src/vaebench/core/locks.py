"""File locks between processes. The system releases the lock of a process that was killed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from vaebench.core.errors import VaebenchError


@contextmanager
def lock_folder(path: Path) -> Iterator[None]:
    """Create the folder and lock it for this process.

    Raises:
        VaebenchError: another process holds the folder, or it cannot be written.
    """
    with ExitStack() as stack:
        try:
            acquired = stack.enter_context(file_lock(path / ".lock", wait=False))
        except OSError as error:
            raise VaebenchError(
                f"{path} cannot be written ({error.strerror}); choose another folder (--out)"
            ) from error
        if not acquired:
            raise VaebenchError(f"{path} is in use by another process; wait for it or choose another --out")
        yield


@contextmanager
def file_lock(path: Path, wait: bool = True) -> Iterator[bool]:
    """Lock the file ``path``; with ``wait=False`` yield False at once where another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(path, timeout=-1 if wait else 0).acquire()
    except Timeout:
        yield False
        return
    with lock:
        yield True
