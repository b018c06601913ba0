"""Hands: processes that do the steps of one study together. Each walks the same tasks; who claims one does it."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vaebench.errors import VaebenchError
from vaebench.memory import keep_freed_memory
from vaebench.processes import CONTEXT, die_with_parent

GRACE = 5.0
"""Seconds in which a process that Ctrl-C has reached already may end in order."""


@contextmanager
def claimed(path: Path, patient: bool = True) -> Iterator[bool]:
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


@contextmanager
def helped(count: int, work: Callable[..., None], arguments: Sequence[Any]) -> Iterator[Callable[[], None]]:
    """``count`` processes that call ``work(*arguments)`` beside this one; what is yielded waits for their end.

    Whatever ends the block before that stops them as Ctrl-C would, and gives them time to keep what they have.

    Raises:
        VaebenchError: a process ended badly.
    """
    crew = [CONTEXT.Process(target=_begin, args=(work, *arguments), name=f"hand {n + 2}") for n in range(count)]

    def join() -> None:
        for process in crew:
            process.join()
            if process.exitcode:
                raise VaebenchError(
                    f"{process.name} of the processes that share this work ended with exit code {process.exitcode} "
                    "(out of memory?); run the same again: what is done is kept"
                )

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # until each is ready to stop in order
    try:
        for process in crew:
            process.start()
    finally:
        signal.signal(signal.SIGINT, before)
    try:
        yield join
    finally:
        for process in crew:
            process.join(GRACE)
            if process.is_alive():
                os.kill(process.pid or 0, signal.SIGINT)
        for process in crew:
            process.join()


def _begin(work: Callable[..., None], *arguments: Any) -> None:
    die_with_parent()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    keep_freed_memory()
    with suppress(KeyboardInterrupt):
        work(*arguments)
