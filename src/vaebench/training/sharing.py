"""Division: the workers that run through one experiment at the same time and share its steps."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from vaebench.core.errors import VaebenchError
from vaebench.core.local_pool import LocalPool
from vaebench.core.progress import ProgressCallback, ProgressEvent
from vaebench.core.workers import Executor, Task, TaskError, Worker
from vaebench.training.compute import Compute, worker_count

LOG = logging.getLogger(__name__)
MAX_WORKERS = 8
"""Each worker holds all data sets of the experiment, up to 3 GB."""


@dataclass(frozen=True)
class Division:
    """How the work of an experiment is divided."""

    executor: Executor | None
    """None if this process works alone."""
    workers: int
    compute: Compute
    """Resolved for a worker. With one thread a result does not depend on the number of workers."""

    def run(
        self, function: Callable[..., Any], arguments: tuple[Any, ...], callback: ProgressCallback = lambda event: None
    ) -> list[Any]:
        """Run ``function(worker, *arguments)`` in every worker; return the results of those that were not lost.

        The workers do the same, and each step is computed by one of them: if a worker is lost three times, the others
        do its work.

        Raises:
            VaebenchError: a worker has met this error, or all were lost.
            FloatingPointError: a training has diverged.
            KeyboardInterrupt: Ctrl-C, after every worker has saved its state.
        """
        if self.executor is None:
            with threadpool_limits(self.compute.threads):
                return [function(Worker(self.compute.threads or 1, callback), *arguments)]
        tasks = [Task(f"worker {number + 1}", function, arguments) for number in range(self.workers)]
        return _results(self.executor, tasks, callback)


def divide_work(
    compute: Compute | None = None, executor: Executor | None = None, maximum: int = MAX_WORKERS
) -> Division:
    """Divide an experiment among the workers of an executor.

    Args:
        compute: by default that of this machine, or of a machine of the cluster.
        executor: by default one single-threaded process a core, or this process if there is a GPU.
        maximum: number of workers, by default or on a cluster.

    Raises:
        VaebenchError: the executor is a cluster that does not answer.
    """
    compute = compute or Compute()
    if executor is None:
        compute = compute.resolve()
        count = worker_count(compute, maximum)
        if count == 1:
            return Division(None, 1, compute)
        executor = LocalPool(count)
    if isinstance(executor, LocalPool):
        compute = resolve_compute(Worker(executor.threads), compute)
        return Division(executor if executor.workers > 1 else None, executor.workers, compute)
    compute = _results(executor, [Task("compute", resolve_compute, (compute,))], lambda event: None)[0]
    return Division(executor, min(executor.capacity(), maximum), compute)


def resolve_compute(worker: Worker, compute: Compute) -> Compute:
    """Resolve ``compute`` for a worker and its threads."""
    return compute.model_copy(update={"threads": worker.threads}).resolve()


def check_shared(folder: Path) -> None:
    """Refuse a folder that the main process has created and this worker does not see.

    Raises:
        VaebenchError: the folder is missing.
    """
    if not folder.is_dir():
        raise VaebenchError(
            f"a worker does not find {folder}; the folder (--out) must be on a disk that all machines share"
        )


def _results(executor: Executor, tasks: list[Task], callback: ProgressCallback) -> list[Any]:
    results, lost = [], []

    def forward(number: int, key: str, event: ProgressEvent) -> None:
        callback(event)

    with closing(executor(tasks, forward)) as outcomes:
        for task, error, value in outcomes:
            if isinstance(error, TaskError):
                LOG.warning("%s: %s", task.key, error)
                lost.append(error)
            elif error is not None:
                raise error
            else:
                results.append(value)
    if not results:
        raise lost[0]
    return results
