"""Progress bars with the remaining time, and interruption after a time limit."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType

    from vaebench.core.progress import ProgressCallback, ProgressEvent


@contextmanager
def progress() -> Iterator[ProgressCallback]:
    """Yield a progress callback that shows a bar for each stage, or prints a line for each epoch or step where stderr
    is not a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),  # file names may look like markup
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, refresh_per_second=2) as bars:
        tasks: dict[str, TaskID] = {}
        printed_notes: set[str] = set()

        def callback(event: ProgressEvent) -> None:
            if event.message:
                bars.console.print(event.message, highlight=False, markup=False)
                return
            if event.stage not in tasks:
                tasks[event.stage] = bars.add_task(event.stage, total=1.0, note="")
            task = tasks[event.stage]
            done_before = float(bars.tasks[task].completed)
            bars.update(task, completed=event.done)
            if note := _describe_epoch(event.epoch) if event.epoch else event.note:
                bars.update(task, note=note)
            if not console.is_terminal and _deserves_line(event, done_before, printed_notes):
                console.print(_format_line(event), highlight=False, markup=False)

        yield callback


def _deserves_line(event: ProgressEvent, done_before: float, printed_notes: set[str]) -> bool:
    """Return whether a log gets a line for this event: an epoch, a new step, or another quarter of a stage."""
    if event.note:
        step = event.note.partition(",")[0]
        is_new = step not in printed_notes
        printed_notes.add(step)
        return is_new
    return bool(event.epoch) or int(done_before * 4) < int(event.done * 4)


def _format_line(event: ProgressEvent) -> str:
    if not event.epoch:
        return f"{event.stage}: {event.done:.0%}{f', {event.note}' if event.note else ''}"
    left = "" if event.seconds_left is None else f", {event.seconds_left:.0f} s left"
    return f"{event.stage}: {_describe_epoch(event.epoch)}{left}"


def _describe_epoch(epoch: dict[str, Any]) -> str:
    loss = epoch.get("validation_loss", epoch["loss"])
    return f"epoch {epoch['epoch']}: validation loss {loss:.2f} nats"


@contextmanager
def interrupted_after(seconds: float | None) -> Iterator[None]:
    """Act as if Ctrl-C was pressed after so many seconds; None sets no limit.

    This also works where SIGINT is ignored, as it is in background jobs of a shell.
    """
    if seconds is None:
        yield
        return
    previous = signal.signal(signal.SIGALRM, _interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def _interrupt(number: int, frame: FrameType | None) -> None:
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler):
        raise KeyboardInterrupt
    handler(signal.SIGINT, frame)
