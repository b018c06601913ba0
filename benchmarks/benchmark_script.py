"""BenchmarkScript: a benchmark as a command whose tasks are computed once, kept, and shared by processes."""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from threadpoolctl import threadpool_limits

from vaebench.cli.terminal import interrupted_after, progress
from vaebench.core.errors import VaebenchError
from vaebench.core.files import read_json, write_json, write_text
from vaebench.core.locks import lock_folder
from vaebench.core.memory import keep_freed_memory
from vaebench.core.progress import ProgressCallback
from vaebench.core.provenance import commit
from vaebench.core.time_left import seconds_done, with_time_left
from vaebench.core.workers import Worker
from vaebench.experiments.experiment import Experiment
from vaebench.experiments.info import Budget
from vaebench.training.compute import Compute, machine
from vaebench.training.sharing import divide_work

Tasks = Mapping[str, Callable[[], object]]
Row = dict[str, Any]
Report = dict[str, Any]
"""NAME.json: ``made``, the provenance, and ``rows``."""


@dataclass(frozen=True)
class BenchmarkScript:
    """A benchmark that writes NAME.json, NAME.md and NAME/*.png; implements ``ExperimentInfo``."""

    title_in_short: str
    """NAME."""
    cpu_minutes: int
    """Time to expect on two cores."""
    tasks: Callable[[Experiment], Tasks]
    """Long tasks by name; each keeps its steps in the experiment."""
    rows: Callable[[Experiment], list[Row]]
    """Collects the rows from the kept steps and draws the figures."""
    render: Callable[[Report], str]
    """Renders NAME.json as Markdown."""
    captions: Mapping[str, str] = field(default_factory=dict)
    """Captions of the figures by name."""
    max_workers: int = 4
    """Processes that share the tasks; 1 where times are measured."""

    @property
    def minutes(self) -> Mapping[Budget, float | int]:
        """Time to expect; there is one budget only."""
        return {"cpu": self.cpu_minutes}

    def run(self, description: str | None) -> None:
        """Run as a command; ``description`` is its help text."""
        self.execute(arguments(description).parse_args())

    def execute(self, options: argparse.Namespace) -> None:
        """Measure and publish by the options of :func:`arguments`."""
        keep_freed_memory()
        out = options.out or Path("runs") / self.title_in_short
        folder, total = out / "kept", self.cpu_minutes
        done = min(seconds_done(folder) / 60, total)
        print(f"about {total} minutes on two cores, of which {done:.0f} are done", flush=True)
        seconds = None if options.minutes is None else 60 * options.minutes
        with without_traceback(), interrupted_after(seconds), lock_folder(folder), progress() as callback:
            experiment, rows = self._measure(folder, with_time_left(callback, folder, total))
        self._publish(out, experiment, rows)

    def _measure(self, folder: Path, callback: ProgressCallback) -> tuple[Experiment, list[Row]]:
        division = divide_work(maximum=self.max_workers)
        experiment = Experiment(self, "cpu", folder, division.compute, callback, workers=division.workers)
        division.run(run_worker, (self, folder, division.compute, division.workers), callback)
        with threadpool_limits(division.compute.threads):
            rows = self.rows(experiment)
        experiment.finish()
        return experiment, rows

    def _publish(self, out: Path, experiment: Experiment, rows: list[Row]) -> None:
        experiment.figures.publish(out / self.title_in_short)
        made = {"seconds": seconds_done(experiment.folder), "date": time.strftime("%Y-%m-%d"), "commit": commit()}
        report = {"made": made | {"machine": machine(), "workers": experiment.workers}, "rows": rows}
        write_report(report, self.render, out / f"{self.title_in_short}.json")


def arguments(description: str | None) -> argparse.ArgumentParser:
    """Parser of the options that all benchmarks take; ``description`` is the help text."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, help="stop after this many minutes, as by Ctrl-C")
    parser.add_argument("--out", type=Path, help="folder of the results, by default runs/NAME")
    return parser


def import_script(name: str) -> ModuleType:
    """Import the script that runs: workers import functions by their module, and know no ``__main__`` of others."""
    return importlib.import_module(name)


class KeptResults:
    """Results by key in a JSON file, each computed once."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.results: dict[str, Row] = read_json(file) if file.exists() else {}

    def get(self, key: str, compute: Callable[[], Row]) -> Row:
        """Kept result of a key, or a new one."""
        if key not in self.results:
            self.results[key] = compute()
            write_json(self.file, self.results)
        return self.results[key]


def write_report(report: Report, render: Callable[[Report], str], file: Path, page: Path | None = None) -> None:
    """Write a report as JSON and as Markdown, to the same name unless ``page`` is given."""
    page = page or file.with_suffix(".md")
    write_json(file, report)
    write_text(page, render(report))
    print(f"open {page}")


@contextmanager
def without_traceback() -> Iterator[None]:
    """End the process with one sentence, without a traceback, on Ctrl-C or a ``VaebenchError``."""
    try:
        yield
    except KeyboardInterrupt:
        print("stopped; the same command resumes", file=sys.stderr)
        sys.exit(130)
    except VaebenchError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


def run_worker(worker: Worker, script: BenchmarkScript, folder: Path, compute: Compute, count: int) -> None:
    """Run the tasks as one of ``count`` workers."""
    experiment = Experiment(script, "cpu", folder, compute, worker.report, workers=count)
    experiment.run_tasks(script.tasks(experiment))


def provenance(report: Report, target: str) -> str:
    """Sentence with command, time, machine and commit, at the top of every page."""
    made = report["made"]
    return (
        f"Made by `make {target}` in {made['seconds'] / 60:.0f} minutes, {made['machine']['processor']}, "
        f"{made['machine']['cores']} cores, {made['date']}, commit {(made['commit'] or 'unknown')[:12]}."
    )


def figures(script: BenchmarkScript) -> list[str]:
    """Lines of Markdown that show the figures with their captions."""
    lines = []
    for name, caption in script.captions.items():
        lines += ["", f"![{caption}]({script.title_in_short}/{name}.png)", "", f"*{caption}*"]
    return lines
