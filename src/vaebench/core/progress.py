"""Progress of a long job: the event that a callback receives, and the seconds that each stage took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple


class ProgressEvent(NamedTuple):
    """Progress of a job."""

    stage: str
    done: float
    """Fraction of the stage that is complete, 0 to 1."""
    seconds_left: float | None = None
    epoch: dict[str, Any] | None = None
    """The record of the epoch that just ended; see :class:`vaebench.training.loop.TrainingResult`."""
    note: str = ""
    """The current step."""
    message: str = ""
    """A sentence for the user that is to remain visible."""


ProgressCallback = Callable[[ProgressEvent], None]


class StageTimer:
    """Seconds of each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.overlap = 0.0
        """Seconds that are counted twice, as stages ran beside each other."""

    @property
    def total(self) -> float:
        """Seconds of all stages."""
        return sum(self.seconds.values()) - self.overlap

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the duration of the block to the stage."""
        start = time.monotonic()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - start
