"""StepCache: the results of a long job's steps, each computed once and kept under its identity."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vaebench.core.files import read_json, write_arrays, write_json
from vaebench.core.locks import file_lock
from vaebench.deprecated import workers_of

Arrays = dict[str, np.ndarray]


class StepReport(NamedTuple):
    """The steps that one worker has read or computed."""

    seconds: dict[str, float]
    wall_seconds: dict[str, float]
    computed: list[str]


@dataclass
class StepCache:
    """Steps of one job in one folder; several processes may share it.

    A step is identified by its name and its identity, a JSON object of everything that decides the result. A kept
    result with the same identity is read; otherwise the step is computed and written atomically.
    """

    folder: Path
    workers: int = 1
    """Processes that share the folder. With more than one, a step is locked while it is read or computed."""
    machine: dict[str, Any] = field(default_factory=dict)
    """Stored beside each result: where it was computed."""
    on_start: Callable[[str], None] = lambda name: None
    """Called with the name of a step before it is computed."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Seconds that each step took when it was computed, in this call or an earlier one."""
    wall_seconds: dict[str, float] = field(default_factory=dict)
    """The same, each divided by the workers that shared the job at that time."""
    computed: list[str] = field(default_factory=list)
    """Names of the steps that this call computed."""
    spent: float = 0.0
    """Seconds of the steps that this call computed."""

    def json(self, name: str, identity: dict[str, Any], compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return the step's result, a JSON object, kept as ``steps/NAME.json``."""
        path = self.folder / "steps" / f"{name}.json"
        with self.exclusive(name):
            if self.read(path, identity) is None:
                with self.timed(name):
                    result = compute()
                self.write(path, name, identity, {"result": result})
            kept = read_json(path)
        self.note(name, kept)
        return dict(kept["result"])

    def arrays(self, name: str, identity: dict[str, Any], compute: Callable[[], Arrays]) -> Arrays:
        """Return the step's named arrays, kept as ``steps/NAME.npz`` beside ``steps/NAME.json``."""
        path, values = self.folder / "steps" / f"{name}.json", self.folder / "steps" / f"{name}.npz"
        with self.exclusive(name):
            if not self.has_arrays(name, identity):
                with self.timed(name):
                    result = compute()
                write_arrays(values, result)
                del result  # which may be large, and is read again below
                self.write(path, name, identity, {"result": {}})
        self.note(name, read_json(path))
        with np.load(values, allow_pickle=False) as stored:
            return dict(stored)

    def has_arrays(self, name: str, identity: dict[str, Any]) -> bool:
        """Whether the arrays of this step are kept."""
        path = self.folder / "steps" / f"{name}.json"
        return self.read(path, identity) is not None and (self.folder / "steps" / f"{name}.npz").exists()

    def note(self, name: str, record: dict[str, Any]) -> None:
        """Note the seconds of a kept step."""
        self.seconds[name] = record["seconds"]
        self.wall_seconds[name] = record["seconds"] / workers_of(record.get("machine", {}))

    @property
    def report(self) -> StepReport:
        """The steps that were read or computed so far."""
        return StepReport(self.seconds, self.wall_seconds, self.computed)

    def add(self, report: StepReport) -> None:
        """Add the steps of another worker."""
        self.seconds |= report.seconds
        self.wall_seconds |= report.wall_seconds
        self.computed += report.computed

    def run_tasks(self, tasks: Mapping[str, Callable[[], object]]) -> None:
        """Run every task once among all workers; a task that another worker is running is left to it."""
        for name, task in tasks.items():
            if self.workers == 1:
                task()
                continue
            with file_lock(self.folder / "claims" / "tasks" / f"{name}.lock", wait=False) as acquired:
                if acquired:
                    task()

    def exclusive(self, name: str, wait: bool = True) -> AbstractContextManager[bool]:
        """Lock a step, so that no other worker computes it at the same time.

        With ``wait=False`` the block is entered with False if another worker holds the step.
        """
        if self.workers == 1:
            return nullcontext(True)
        return file_lock(self.folder / "claims" / "steps" / f"{name}.lock", wait)

    def read(self, path: Path, identity: dict[str, Any]) -> dict[str, Any] | None:
        """Return the record in ``path``, or None where there is none with this identity."""
        if not path.exists():
            return None
        record: dict[str, Any] = read_json(path)
        return record if record["identity"] == as_json(identity) else None

    def write(self, path: Path, name: str, identity: dict[str, Any], record: dict[str, Any]) -> dict[str, Any]:
        """Write a computed step's record with its identity, seconds and machine, and return it."""
        head = {"identity": as_json(identity), "seconds": self.seconds[name]}
        record = head | record | {"machine": {**self.machine, "workers": self.workers}}
        write_json(path, record)
        return record

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Measure a step's own seconds, without those of the steps that it computes on the way."""
        self.on_start(name)
        self.computed.append(name)
        start, before = time.monotonic(), self.spent
        yield
        own = time.monotonic() - start - (self.spent - before)
        self.seconds[name] = max(own, 0.0)  # a resumed training also counts the seconds before it was stopped
        self.spent += self.seconds[name]


def as_json(value: Any) -> Any:
    """Return the value as it comes back from JSON."""
    return json.loads(json.dumps(value))


def content_key(value: Any) -> str:
    """Return a hash of a JSON value that does not depend on the order of keys."""
    return hashlib.blake2b(json.dumps(as_json(value), sort_keys=True).encode(), digest_size=12).hexdigest()
