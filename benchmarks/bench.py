"""Bench: a measurement of many steps, each done once and kept, shared by one process of one thread a core."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from vaebench.cli.terminal import interrupted_after, progress
from vaebench.core.errors import VaebenchError
from vaebench.core.files import atomic, write_json, write_text
from vaebench.core.locks import lock_folder
from vaebench.core.memory import keep_freed_memory
from vaebench.core.progress import ProgressCallback
from vaebench.core.provenance import commit
from vaebench.core.workers import seconds_done, with_time_left, worker_processes
from vaebench.experiments.experiment import Experiment
from vaebench.experiments.info import Budget
from vaebench.training.compute import Compute, machine, worker_count

Tasks = Mapping[str, Callable[[], object]]
Row = dict[str, Any]
About = dict[str, Any]


@dataclass(frozen=True)
class Bench:
    """Writes NAME.json (``made`` and ``rows``), NAME.md and NAME/*.png. A subject, as a study asks for one."""

    title_in_short: str
    """NAME."""
    cpu_minutes: int
    """On two cores."""
    tasks: Callable[[Experiment], Tasks]
    """Everything that takes long, by name; each task keeps its steps in the study."""
    rows: Callable[[Experiment], list[Row]]
    """All rows, from what the tasks have kept; draws the figures."""
    render: Callable[[About], str]
    """NAME.json as a page."""
    captions: Mapping[str, str] = field(default_factory=dict)
    max_workers: int = 4
    """Processes that share the tasks; one where times are measured."""

    @property
    def minutes(self) -> Mapping[Budget, float | int]:
        """There is one budget."""
        return {"cpu": self.cpu_minutes}

    def run(self, words: str | None) -> None:
        """The command; ``words`` describe it."""
        parser = argparse.ArgumentParser(description=words, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("--minutes", type=float, help="stop, as by Ctrl-C, after so many")
        parser.add_argument("--out", type=Path, default=Path("runs") / self.title_in_short)
        given = parser.parse_args()
        keep_freed_memory()
        folder, whole = given.out / "kept", self.cpu_minutes
        done = min(seconds_done(folder) / 60, whole)
        print(f"about {whole} minutes on two cores, of which {done:.0f} are done", flush=True)
        seconds = None if given.minutes is None else 60 * given.minutes
        with without_traceback(), interrupted_after(seconds), lock_folder(folder), progress() as callback:
            experiment, rows = self._perform(folder, with_time_left(callback, folder, whole))
        self._publish(given.out, experiment, rows)
        print(f"open {given.out / self.title_in_short}.md")

    def _perform(self, folder: Path, callback: ProgressCallback) -> tuple[Experiment, list[Row]]:
        compute = Compute().resolve()
        count = worker_count(compute, self.max_workers)
        compute = compute.model_copy(update={"threads": 1}) if count > 1 else compute
        experiment = Experiment(self, "cpu", folder, compute, callback, workers=count)
        with threadpool_limits(compute.threads), worker_processes(count - 1, help_out, (self, folder, compute, count)):
            experiment.share(self.tasks(experiment))
            rows = self.rows(experiment)
        experiment.finish()
        return experiment, rows

    def _publish(self, out: Path, experiment: Experiment, rows: list[Row]) -> None:
        for name, image in experiment.drawn.items():
            with atomic(out / self.title_in_short / f"{name}.png") as temporary:
                temporary.write_bytes(image)
        made = {"seconds": seconds_done(experiment.folder), "date": time.strftime("%Y-%m-%d"), "commit": commit()}
        about = {"made": made | {"machine": machine(), "workers": experiment.workers}, "rows": rows}
        write_json(out / f"{self.title_in_short}.json", about)
        write_text(out / f"{self.title_in_short}.md", self.render(about))


@contextmanager
def without_traceback() -> Iterator[None]:
    """A command that is stopped, or cannot be done, ends in a sentence."""
    try:
        yield
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
    except VaebenchError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


def help_out(bench: Bench, folder: Path, compute: Compute, count: int) -> None:
    """What another process does: the same tasks."""
    with threadpool_limits(compute.threads):
        experiment = Experiment(bench, "cpu", folder, compute, workers=count)
        experiment.share(bench.tasks(experiment))


def made_by(about: About, command: str) -> str:
    """The sentence that every page begins with."""
    made = about["made"]
    return (
        f"Made by `make {command}` in {made['seconds'] / 60:.0f} minutes, {made['machine']['processor']}, "
        f"{made['machine']['cores']} cores, {made['date']}, commit {(made['commit'] or 'unknown')[:12]}."
    )
