"""Time that a job of kept steps has taken, and has left."""

from __future__ import annotations

import time
from pathlib import Path

from vaebench.core.files import read_json
from vaebench.core.progress import ProgressCallback, ProgressEvent
from vaebench.deprecated import workers_of


def seconds_done(folder: Path) -> float:
    """Return the wall seconds of the finished steps below a folder, each divided by the workers that shared the job."""
    records = (read_json(path) for path in folder.rglob("*.json"))
    return sum((float(record["seconds"]) / workers_of(record.get("machine", {})) for record in records), 0.0)


def with_time_left(
    callback: ProgressCallback, folder: Path, minutes: float | int, further_minutes: float | int = 0
) -> ProgressCallback:
    """Return a callback that adds the fraction done of the job in this folder, and the time left.

    Args:
        minutes: expected minutes of the job in all.
        further_minutes: expected minutes of the jobs after this one, which are part of the time left.
    """
    before, total, start = seconds_done(folder), 60 * minutes, time.monotonic()

    def report(event: ProgressEvent) -> None:
        left = max(0.0, total - before - (time.monotonic() - start))
        done = min(0.99, 1 - left / total)
        callback(event if event.done == 1 else event._replace(done=done, seconds_left=left + 60 * further_minutes))

    return report
