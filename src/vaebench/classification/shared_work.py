"""Work of a classification that is shared by single-threaded processes or by the workers of a cluster."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

from vaebench.classification.time_estimate import ClassificationInfo
from vaebench.core.progress import ProgressCallback, ProgressEvent
from vaebench.core.steps import StepReport
from vaebench.core.workers import Executor, Worker
from vaebench.experiments.experiment import Experiment
from vaebench.training.compute import Compute
from vaebench.training.sharing import Division, check_shared, divide_work

LONG = 15.0
"""Seconds of all fits in one process from which further processes are worth the seconds that they take to start."""
MAX_WORKERS = 10
"""There are as many fits of networks, and each worker holds at most ``POOL`` images."""
CLAIMS = "claims"


@runtime_checkable
class SharedWork(Protocol):
    """Independent tasks whose results are steps of one folder."""

    @property
    def folder(self) -> Path:
        """Folder of the steps."""
        ...

    @property
    def compute(self) -> Compute:
        """That of a worker."""
        ...

    def tasks(self, experiment: Experiment) -> Mapping[str, Callable[[], object]]:
        """The tasks by name, each of which computes a step of the experiment."""
        ...


def divide_fits(compute: Compute, executor: Executor | None, seconds: float) -> Division:
    """Divide fits that take so many seconds in one process.

    Args:
        compute: the settings of the classification; if they give the threads, the default is this process alone.
        executor: the workers; by default one single-threaded process a core, or this process where the fits take less
            than ``LONG`` seconds or there is a GPU.

    Raises:
        VaebenchError: the executor is a cluster that does not answer.
    """
    if executor is None and (seconds < LONG or compute.threads is not None):
        return Division(None, 1, compute.resolve())
    return divide_work(compute, executor, MAX_WORKERS)


def run_shared(experiment: Experiment, work: SharedWork, division: Division) -> None:
    """Run the tasks in the workers of a division, and add the seconds that they took to the experiment.

    Raises:
        VaebenchError: a worker does not see the folder, or all were lost.
        KeyboardInterrupt: Ctrl-C; completed tasks are kept.
    """
    report = with_time_passed(experiment)
    try:
        for steps in division.run(run_in_worker, (work, division.workers), report):
            experiment.cache.add(steps)
    finally:
        shutil.rmtree(work.folder / CLAIMS, ignore_errors=True)


def run_in_worker(worker: Worker, work: SharedWork, count: int) -> StepReport:
    """Run the tasks that no other of ``count`` workers runs.

    Raises:
        VaebenchError: the worker does not see the folder.
    """
    check_shared(work.folder)
    info = ClassificationInfo({"cpu": 0.0})
    experiment = Experiment(info, "cpu", work.folder, work.compute, worker.report, workers=count)
    experiment.run_tasks(work.tasks(experiment))
    return experiment.cache.report


def with_time_passed(experiment: Experiment) -> ProgressCallback:
    """Return a callback for the events of workers, with the fraction done and the time left of the experiment."""
    start, before, total = time.monotonic(), experiment.seconds, max(experiment.expected_seconds, 1e-9)

    def report(event: ProgressEvent) -> None:
        passed = before + time.monotonic() - start
        left = max(0.0, total - passed)
        experiment.callback(event._replace(done=min(passed / total, 0.99), seconds_left=left))

    return report
