"""The terminal: progress with the time left, and stops after a time."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType

    from vaebench.core.progress import ProgressEvent


@contextmanager
def progress() -> Iterator[Callable[[ProgressEvent], None]]:
    """A bar for each stage with the time left, and a line for each epoch or step where output is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),  # names of a user's files may look like it
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
        said: set[str] = set()

        def callback(tick: ProgressEvent) -> None:
            if tick.stage not in tasks:
                tasks[tick.stage] = bars.add_task(tick.stage, total=1.0, note="")
            before = float(bars.tasks[tasks[tick.stage]].completed)
            bars.update(tasks[tick.stage], completed=tick.done)
            if note := _epoch_note(tick.epoch) if tick.epoch else tick.note:
                bars.update(tasks[tick.stage], note=note)
            if not console.is_terminal and _worth_a_line(tick, before, said):
                console.print(_line(tick), highlight=False, markup=False)

        yield callback


def _worth_a_line(tick: ProgressEvent, before: float, said: set[str]) -> bool:
    """Epochs, new steps, and quarters of a stage."""
    if tick.note:
        new = tick.note.partition(",")[0] not in said
        said.add(tick.note.partition(",")[0])
        return new
    return bool(tick.epoch) or int(before * 4) < int(tick.done * 4)


def _line(tick: ProgressEvent) -> str:
    """One line of progress for a log file."""
    if not tick.epoch:
        return f"{tick.stage}: {tick.done:.0%}{f', {tick.note}' if tick.note else ''}"
    left = "" if tick.seconds_left is None else f", {tick.seconds_left:.0f} s left"
    return f"{tick.stage}: {_epoch_note(tick.epoch)}{left}"


def _epoch_note(epoch: dict[str, Any]) -> str:
    loss = epoch.get("validation_loss", epoch["loss"])
    return f"epoch {epoch['epoch']}: validation loss {loss:.2f} nats"


def _press(number: int, frame: FrameType | None) -> None:
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler):
        raise KeyboardInterrupt
    handler(signal.SIGINT, frame)


@contextmanager
def interrupted_after(seconds: float | None) -> Iterator[None]:
    """Press Ctrl-C after so many seconds: what is under way stops as it would for a person.

    Also where Ctrl-C itself is ignored, as shells have it for what runs in the background.
    """
    if seconds is None:
        yield
        return
    before = signal.signal(signal.SIGALRM, _press)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
