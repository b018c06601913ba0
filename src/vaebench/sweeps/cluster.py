"""`Cluster`: trials on the machines of a Ray cluster; a trial lost with its machine is restarted on another."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vaebench.core.errors import VaebenchError
from vaebench.core.progress import ProgressEvent
from vaebench.runs.recipe import Recipe
from vaebench.sweeps.grid import Trial
from vaebench.sweeps.workers import MAX_ATTEMPTS, Outcome, TrialCallback

CORES = 2
"""Cores per trial, if a machine has as many."""
FORWARDED = ("VAEBENCH_DATA",)
"""Environment variables that are set on every machine."""


@dataclass(frozen=True)
class Cluster:
    """An executor on a Ray cluster, given by its address; ``"auto"`` is the cluster of this machine.

    The folder of the sweep must be on a disk that all machines share, and vaebench must be installed on each.
    """

    address: str

    def __call__(self, trials: Sequence[Trial], folder: Path, callback: TrialCallback) -> Iterator[Outcome]:
        """Yield outcomes in the order of completion. Ctrl-C stops every trial after it has written a checkpoint.

        Raises:
            VaebenchError: Ray is not installed, or no cluster answers at the address.
        """
        ray = _connect(self.address)
        try:
            yield from self._outcomes(ray, trials, folder.resolve(), callback)
        finally:
            ray.shutdown()

    def _outcomes(self, ray: Any, trials: Sequence[Trial], folder: Path, callback: TrialCallback) -> Iterator[Outcome]:
        cores, gpus = _resources_per_trial(ray)
        task = ray.remote(max_retries=MAX_ATTEMPTS - 1, num_cpus=cores, num_gpus=gpus)(_run_task)
        running = {task.remote(trial.recipe_with(cores), str(folder / trial.key)): trial for trial in trials}
        machines = len([node for node in ray.nodes() if node["Alive"]])
        callback(0, f"{len(trials)} trials on {machines} machines", ProgressEvent("cluster", 0.0))
        try:
            while running:
                for done in ray.wait(list(running), num_returns=1)[0]:
                    trial = running.pop(done)
                    yield Outcome(trial, _error_of(ray, done, folder / trial.key))
        except BaseException:
            _cancel(ray, list(running))
            raise


def _connect(address: str) -> Any:
    try:
        import ray
    except ImportError as error:
        raise VaebenchError("a sweep on a cluster needs Ray: pip install 'vaebench[cluster]'") from error
    env = {name: os.environ[name] for name in FORWARDED if name in os.environ}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, runtime_env={"env_vars": env})
    except (ConnectionError, RuntimeError, ValueError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise VaebenchError(
            f"no Ray cluster answers at {address!r} ({first}); start one with `ray start --head` and give its address"
        ) from error
    return ray


def _resources_per_trial(ray: Any) -> tuple[int, int]:
    """Cores and GPUs per trial: one GPU if any machine has one."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    most = max(int(machine.get("CPU", 0)) for machine in machines)
    return max(1, min(CORES, most)), int(any(machine.get("GPU", 0) for machine in machines))


def _run_task(recipe: Recipe, folder: str) -> str | None:
    """Run one trial on a machine of the cluster; return the error message if it failed."""
    from vaebench.core.memory import keep_freed_memory
    from vaebench.sweeps.trial import run_trial

    keep_freed_memory()
    try:
        run_trial(recipe, Path(folder), lambda event: None)
    except (VaebenchError, FloatingPointError) as error:
        return str(error)
    return None


def _error_of(ray: Any, done: Any, folder: Path) -> str | None:
    """Error message of a finished task, or None if its results are in the folder."""
    try:
        error: str | None = ray.get(done)
    except ray.exceptions.RayTaskError as exception:  # an unexpected exception, such as a full disk on the machine
        return f"it failed: {str(exception).strip().splitlines()[-1]}"
    except ray.exceptions.RayError as exception:
        kind = type(exception).__name__
        return f"it was lost {MAX_ATTEMPTS} times ({kind}), possibly out of memory or with its machines"
    if error is None and not (folder / "results.json").exists():
        return f"{folder} has no results here; the folder (--out) must be on a disk that all machines share"
    return error


def _cancel(ray: Any, tasks: Sequence[Any]) -> None:
    """Interrupt every trial and wait until it has written its checkpoint."""
    for task in tasks:
        with suppress(ray.exceptions.RayError):
            ray.cancel(task)
    with suppress(ray.exceptions.RayError):
        ray.wait(list(tasks), num_returns=len(tasks), timeout=30)
