"""Worker processes that share the steps of one job: each runs through the same tasks and takes those that are free."""

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
from vaebench.deprecated import workers_of

LOG = logging.getLogger(__name__)
GRACE = 5.0
"""Seconds that a process which Ctrl-C has already reached gets to end by itself."""


def seconds_done(folder: Path) -> float:
    """Return the wall seconds of the finished steps below a folder, each divided by the workers that shared the job."""
    records = (read_json(path) for path in folder.rglob("*.json"))
    return sum((float(record["seconds"]) / workers_of(record["machine"]) for record in records), 0.0)


def with_time_left(callback: ProgressCallback, folder: Path, minutes: float | int) -> ProgressCallback:
    """Return a callback that adds the fraction done and the time left of the whole job in this folder."""
    before, total, start = seconds_done(folder), 60 * minutes, time.monotonic()

    def report(event: ProgressEvent) -> None:
        left = max(0.0, total - before - (time.monotonic() - start))
        callback(event if event.done == 1 else event._replace(done=min(0.99, 1 - left / total), seconds_left=left))

    return report


@contextmanager
def worker_processes(count: int, work: Callable[..., None], arguments: Sequence[Any]) -> Iterator[None]:
    """Run ``work(*arguments)`` in ``count`` further processes while the block runs.

    The block does whatever the workers leave undone. When it ends or is stopped, the workers are stopped as by Ctrl-C,
    with time to save their state. A worker that was lost is reported by a warning at the end.
    """
    ended = CONTEXT.Event()
    processes = [
        CONTEXT.Process(target=_run, args=(ended, work, *arguments), name=f"process {n + 2}") for n in range(count)
    ]
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # until each handles the signal itself
    try:
        for process in processes:
            process.start()
    finally:
        signal.signal(signal.SIGINT, before)
    try:
        yield
    finally:
        for process in processes:
            process.join(GRACE)
        ended.set()
        for process in processes:
            if process.is_alive():
                os.kill(process.pid or 0, signal.SIGINT)
        for process in processes:
            process.join()
            if process.exitcode:
                LOG.warning("%s of the workers was lost (exit code %s)", process.name, process.exitcode)


def _run(ended: Event, work: Callable[..., None], *arguments: Any) -> None:
    die_with_parent()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with suppress(KeyboardInterrupt, VaebenchError):  # the first process meets the same error and reports it
        try:
            if not ended.is_set():  # a signal that came before the handler was set had no effect
                keep_freed_memory()
                work(*arguments)
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # finished work must not be lost by a late signal
