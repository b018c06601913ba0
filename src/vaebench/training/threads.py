"""`ThreadTuner`: the number of threads of a training, measured on its own steps."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

PROBE = 5
"""Steps of a probe with each number of threads; the first is not timed."""
INTERVAL = 250
"""Steps from the first probe to the second; the distance doubles each time that one thread wins."""
GAIN = 1.15
"""Factor by which several threads must be faster than one to be worth the cores that they keep from other programs."""


@dataclass
class ThreadTuner:
    """Chooses between one thread and ``maximum`` threads by the time that steps of the training take.

    A probe times a few steps with one thread and then with all, at the start and again as the training goes on. It
    ends early if the steps with all threads take twice as long as those with one: beside other busy programs, threads
    that wait for one another can take 60 times as long. If between two probes the last steps with all threads were
    slower than those with one, the training goes on with one.

    Attributes:
        threads: the number in use.
        choices: step and number of threads at each change, on which the bits of the training depend.
    """

    maximum: int
    threads: int = 1
    choices: list[tuple[int, int]] = field(default_factory=list)
    next_probe: int = 0
    interval: int = INTERVAL
    single: float = 0.0
    """Seconds of a step with one thread in the last probe."""
    probing: bool = False
    """Whether a probe is under way."""
    seconds: list[float] = field(default_factory=list)
    """Seconds of the steps since the number last changed."""

    @contextmanager
    def timed(self, step: int) -> Iterator[None]:
        """Take and time one step of the training inside the block."""
        if self.maximum == 1:
            yield
            return
        if step >= self.next_probe and not self.probing:
            self.probing = True
            self._use(step, 1)
        start = time.monotonic()
        yield
        self.seconds.append(time.monotonic() - start)
        self._choose(step + 1)

    def _choose(self, step: int) -> None:
        complete, mean = len(self.seconds) >= PROBE, sum(self.seconds[1:]) / max(1, len(self.seconds) - 1)
        if self.probing and self.threads == 1:
            if complete:
                self.single = mean
                self._use(step, self.maximum)
        elif self.probing:
            if complete or sum(self.seconds) > 2 * PROBE * self.single:
                self._end_probe(step, several=complete and mean * GAIN < self.single)
        elif self.threads > 1 and complete:
            recent = self.seconds[-PROBE:]
            self.seconds = recent
            if sum(recent) > PROBE * self.single:
                self._use(step, 1)

    def _end_probe(self, step: int, several: bool) -> None:
        self.probing = False
        self.interval = INTERVAL if several else 2 * self.interval
        self.next_probe = step + self.interval
        self._use(step, self.maximum if several else 1)

    def _use(self, step: int, threads: int) -> None:
        self.seconds.clear()
        if not self.choices or self.choices[-1][1] != threads:
            self.choices.append((step, threads))
        self.threads = threads
        torch.set_num_threads(threads)

    def state(self) -> dict[str, Any]:
        """The state as a JSON object."""
        return asdict(self)

    def restore(self, state: dict[str, Any]) -> None:
        """Restore the result of :meth:`state`, and set torch's number of threads."""
        for name, value in state.items():
            setattr(self, name, value)
        if self.choices:
            torch.set_num_threads(self.threads)
