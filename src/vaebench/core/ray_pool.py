"""`RayPool`: tasks on the machines of a Ray cluster; a task lost with its machine is run again on another."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from vaebench.core.errors import VaebenchError
from vaebench.core.progress import ProgressEvent
from vaebench.core.workers import MAX_ATTEMPTS, Outcome, Task, TaskCallback, TaskError, Worker, run_task

FORWARDED = ("VAEBENCH_DATA",)
"""Environment variables that are set on every machine."""
BEAT = 30.0
"""Seconds after which the callback is called if no task has ended."""


@dataclass(frozen=True)
class RayPool:
    """An executor on a Ray cluster, given by its address; ``"auto"`` is the cluster of this machine.

    Folders that tasks write must be on a disk that all machines share, and vaebench must be installed on each. Progress
    within a task is not forwarded.
    """

    address: str
    threads: int = 1
    """Cores of each task, if a machine has as many."""
    gpus: bool = True
    """Whether a task has one GPU if any machine has one."""

    def capacity(self) -> int:
        """Number of tasks that the cluster runs at a time.

        Raises:
            VaebenchError: Ray is not installed, or no cluster answers at the address.
        """
        with _connected(self.address) as ray:
            machines, (cores, gpus) = _machines(ray), self._resources_per_task(ray)
            counts = [
                min(int(machine.get("CPU", 0)) // cores, int(machine.get("GPU", 0)) if gpus else 2**31)
                for machine in machines
            ]
            return max(1, sum(counts))

    def __call__(self, tasks: Sequence[Task], callback: TaskCallback) -> Generator[Outcome, None, None]:
        """Yield outcomes in the order of completion; see :class:`vaebench.core.workers.Executor`.

        Raises:
            VaebenchError: Ray is not installed, or no cluster answers at the address.
        """
        with _connected(self.address) as ray:
            cores, gpus = self._resources_per_task(ray)
            run = ray.remote(max_retries=MAX_ATTEMPTS - 1, num_cpus=cores, num_gpus=gpus)(_run)
            running = {run.remote(task, cores): task for task in tasks}
            about = f"{len(tasks)} tasks on {len(_machines(ray))} machines"
            callback(0, about, ProgressEvent("cluster", 0.0))
            try:
                while running:
                    ended = ray.wait(list(running), num_returns=1, timeout=BEAT)[0]
                    for done in ended:
                        yield _outcome(ray, done, running.pop(done))
                    if not ended:
                        callback(0, about, ProgressEvent("cluster", 0.0))
            except BaseException:
                _cancel(ray, list(running))
                raise

    def _resources_per_task(self, ray: Any) -> tuple[int, int]:
        """Cores and GPUs per task."""
        machines = _machines(ray)
        most = max((int(machine.get("CPU", 0)) for machine in machines), default=0)
        return max(1, min(self.threads, most)), int(self.gpus and any(machine.get("GPU", 0) for machine in machines))


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    try:
        import ray
    except ImportError as error:
        raise VaebenchError("work on a cluster needs Ray: pip install 'vaebench[cluster]'") from error
    env = {name: os.environ[name] for name in FORWARDED if name in os.environ}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, runtime_env={"env_vars": env})
    except (ConnectionError, RuntimeError, ValueError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise VaebenchError(
            f"no Ray cluster answers at {address!r} ({first}); start one with `ray start --head` and give its address"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _machines(ray: Any) -> list[dict[str, float]]:
    """Resources of each machine of the cluster."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _run(task: Task, threads: int) -> tuple[Exception | None, Any]:
    """Run a task on a machine of the cluster."""
    return run_task(task, Worker(threads))


def _outcome(ray: Any, done: Any, task: Task) -> Outcome:
    try:
        return Outcome(task, *ray.get(done))
    except ray.exceptions.RayTaskError as exception:  # an unexpected exception, such as a full disk on the machine
        return Outcome(task, TaskError(f"it failed: {str(exception).strip().splitlines()[-1]}"))
    except ray.exceptions.RayError as exception:
        kind = type(exception).__name__
        error = f"it was lost {MAX_ATTEMPTS} times ({kind}), possibly out of memory or with its machines"
        return Outcome(task, TaskError(error))


def _cancel(ray: Any, tasks: Sequence[Any]) -> None:
    """Interrupt every task and wait until it has saved its state."""
    for task in tasks:
        with suppress(ray.exceptions.RayError):
            ray.cancel(task)
    with suppress(ray.exceptions.RayError):
        ray.wait(list(tasks), num_returns=len(tasks), timeout=30)
