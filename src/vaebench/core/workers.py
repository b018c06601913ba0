"""Tasks, their outcomes, and the `Executor` that runs them in several workers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

from threadpoolctl import threadpool_limits

from vaebench.core.errors import VaebenchError
from vaebench.core.memory import keep_freed_memory
from vaebench.core.progress import ProgressCallback, ProgressEvent

LOG = logging.getLogger(__name__)
MAX_ATTEMPTS = 3
"""Attempts at a task whose worker is lost."""


class TaskError(VaebenchError):
    """A task whose worker was lost too often, or that failed for a reason which is no mistake of the user."""


@dataclass(frozen=True)
class Worker:
    """The worker that runs a task: its number of threads, and its callback for progress events."""

    threads: int = 1
    report: ProgressCallback = lambda event: None


@dataclass(frozen=True)
class Task:
    """A call of a function in a worker, ``function(worker, *arguments)``; its result must be picklable."""

    key: str
    """Name of the task, different from those of the other tasks."""
    function: Callable[..., Any]
    """A function of a module, whose first argument is the :class:`Worker`."""
    arguments: tuple[Any, ...] = ()


class Outcome(NamedTuple):
    """A task that ended."""

    task: Task
    error: Exception | None = None
    """A `VaebenchError`, or a `FloatingPointError` of a training that diverged."""
    value: Any = None
    """What the function returned."""


TaskCallback = Callable[[int, str, ProgressEvent], None]
"""Receives the worker's number from 0, the task's key and a progress event."""


@runtime_checkable
class Executor(Protocol):
    """Runs tasks in several workers."""

    def capacity(self) -> int:
        """Number of tasks that run at a time."""
        ...

    def __call__(self, tasks: Sequence[Task], callback: TaskCallback) -> Generator[Outcome, None, None]:
        """Yield outcomes in the order of completion.

        A task whose worker is lost is run again, at most ``MAX_ATTEMPTS`` times in all. If the iterator is interrupted
        by Ctrl-C or closed, the running tasks are interrupted, and may save their state as after Ctrl-C.
        """
        ...


def run_task(task: Task, worker: Worker) -> tuple[Exception | None, Any]:
    """Run a task in this process; return its error, if it has one, and its value.

    An error that is no mistake of the user is logged with its traceback; for lack of memory the worker is lost instead.
    """
    keep_freed_memory()
    try:
        with threadpool_limits(worker.threads):
            return None, task.function(worker, *task.arguments)
    except (VaebenchError, FloatingPointError) as error:
        return error, None
    except MemoryError:
        raise
    except Exception as error:
        LOG.exception("%s failed", task.key)
        return TaskError(f"it failed: {type(error).__name__}: {error}"), None
