"""Hands: processes that do the steps of one study together. Each walks the same tasks; who claims one does it."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from vaebench.core.errors import VaebenchError
from vaebench.core.files import read_json
from vaebench.core.memory import keep_freed_memory
from vaebench.core.processes import CONTEXT, die_with_parent
from vaebench.core.progress import ProgressCallback, ProgressEvent

SAID = logging.getLogger(__name__)
GRACE = 5.0
"""Seconds in which a process that Ctrl-C has reached already may end in order."""


def seconds_done(folder: Path) -> float:
    """Seconds of the steps of a study's folder that are done, as if done one by one by the workers that did them."""
    kept = (read_json(path) for path in folder.rglob("*.json"))
    return sum((float(one["seconds"]) / int(one["machine"]["workers"]) for one in kept), 0.0)


def with_time_left(callback: ProgressCallback, folder: Path, minutes: float | int) -> ProgressCallback:
    """Ticks with the share and the time left of the whole study in this folder, whoever does it."""
    before, whole, start = seconds_done(folder), 60 * minutes, time.monotonic()

    def tell(tick: ProgressEvent) -> None:
        left = max(0.0, whole - before - (time.monotonic() - start))
        callback(tick if tick.done == 1 else tick._replace(done=min(0.99, 1 - left / whole), seconds_left=left))

    return tell


@contextmanager
def worker_processes(count: int, work: Callable[..., None], arguments: Sequence[Any]) -> Iterator[None]:
    """``count`` processes that call ``work(*arguments)`` beside this one, which does whatever they leave undone.

    When this one is done, or is stopped, they are stopped as Ctrl-C would, with time to keep what they have. One that
    was lost is told of at the end: this process has done its part.
    """
    ended = CONTEXT.Event()
    crew = [
        CONTEXT.Process(target=_begin, args=(ended, work, *arguments), name=f"process {n + 2}") for n in range(count)
    ]
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # until each is ready to stop in order
    try:
        for process in crew:
            process.start()
    finally:
        signal.signal(signal.SIGINT, before)
    try:
        yield
    finally:
        for process in crew:
            process.join(GRACE)
        ended.set()
        for process in crew:
            if process.is_alive():
                os.kill(process.pid or 0, signal.SIGINT)
        for process in crew:
            process.join()
            if process.exitcode:
                SAID.warning("%s of those that share this work was lost (exit code %s)", process.name, process.exitcode)


def _begin(ended: Event, work: Callable[..., None], *arguments: Any) -> None:
    die_with_parent()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with suppress(KeyboardInterrupt, VaebenchError):  # the first process comes to the same error, and says it
        try:
            if not ended.is_set():  # what was sent to stop this one before it listened went unheard
                keep_freed_memory()
                work(*arguments)
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # what has finished its work cannot be lost any more
