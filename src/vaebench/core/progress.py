"""Progress of a long job: the event a callback receives, and the seconds that each stage took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple


class ProgressEvent(NamedTuple):
    """Progress of a run: which stage, how much of it is done, the record of an epoch if one just ended, and words."""

    stage: str
    done: float
    seconds_left: float | None = None
    epoch: dict[str, Any] | None = None
    note: str = ""


ProgressCallback = Callable[[ProgressEvent], None]


class StageTimer:
    """Seconds of each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what happens inside."""
        start = time.monotonic()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - start
