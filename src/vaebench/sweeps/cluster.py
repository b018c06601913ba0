"""Trials on the machines of a Ray cluster; one that is lost with its machine is begun again on another."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vaebench.core.errors import VaebenchError
from vaebench.core.progress import ProgressEvent
from vaebench.runs.recipe import Recipe
from vaebench.sweeps.grid import Trial
from vaebench.sweeps.workers import TRIES, Outcome

CORES = 2
"""Cores of a trial where a machine has so many."""
PASSED_ON = ("VAEBENCH_DATA",)
"""Variables of the environment that every machine gets."""


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster by its address; ``"auto"`` is the one that this machine belongs to.

    The folder of the sweep must lie on a disk that all its machines share, and vaebench must be installed on each.
    """

    address: str

    def __call__(
        self, trials: Sequence[Trial], folder: Path, callback: Callable[[int, str, ProgressEvent], None]
    ) -> Iterator[Outcome]:
        """Outcomes as they come. Ctrl-C stops every trial, each once its checkpoint is written.

        Raises:
            VaebenchError: Ray is not installed, or no cluster answers at the address.
        """
        ray = _connected(self.address)
        try:
            yield from self._outcomes(ray, trials, folder.resolve(), callback)
        finally:
            ray.shutdown()

    def _outcomes(
        self, ray: Any, trials: Sequence[Trial], folder: Path, callback: Callable[[int, str, ProgressEvent], None]
    ) -> Iterator[Outcome]:
        cores, gpus = _share(ray)
        task = ray.remote(max_retries=TRIES - 1, num_cpus=cores, num_gpus=gpus)(_perform)
        begun = {task.remote(trial.recipe, str(folder / trial.key), cores): trial for trial in trials}
        words = f"{len(trials)} trials on {len([node for node in ray.nodes() if node['Alive']])} machines"
        callback(0, words, ProgressEvent("cluster", 0.0))
        try:
            while begun:
                for done in ray.wait(list(begun), num_returns=1)[0]:
                    trial = begun.pop(done)
                    yield Outcome(trial, _trouble(ray, done, folder / trial.key))
        except BaseException:
            _stop(ray, list(begun))
            raise


def _connected(address: str) -> Any:
    try:
        import ray
    except ImportError as error:
        raise VaebenchError("a sweep on a cluster needs Ray: pip install 'vaebench[cluster]'") from error
    env = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, runtime_env={"env_vars": env})
    except (ConnectionError, RuntimeError, ValueError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise VaebenchError(
            f"no Ray cluster answers at {address!r} ({first}); start one with `ray start --head` and give its address"
        ) from error
    return ray


def _share(ray: Any) -> tuple[int, int]:
    """Cores and GPUs of a trial: a GPU where there are any."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    most = max(int(one.get("CPU", 0)) for one in machines)
    return max(1, min(CORES, most)), int(any(one.get("GPU", 0) for one in machines))


def _perform(recipe: Recipe, folder: str, cores: int) -> str | None:
    """One trial on some machine: why it failed, if it did."""
    from vaebench.core.memory import keep_freed_memory
    from vaebench.sweeps.trial import perform_trial

    keep_freed_memory()
    compute = recipe.compute.model_copy(update={"threads": recipe.compute.threads or cores})
    try:
        perform_trial(recipe.model_copy(update={"compute": compute}), Path(folder), lambda tick: None)
    except (VaebenchError, FloatingPointError) as error:
        return str(error)
    return None


def _trouble(ray: Any, done: Any, folder: Path) -> str | None:
    try:
        said: str | None = ray.get(done)
    except ray.exceptions.RayTaskError as error:  # not a sentence of ours: a defect, or a full disk there
        return f"it failed: {str(error).strip().splitlines()[-1]}"
    except ray.exceptions.RayError as error:
        return f"it was lost {TRIES} times ({type(error).__name__}): out of memory, or its machines went away?"
    if said is None and not (folder / "results.json").exists():
        return f"it ended, but {folder} is not here; the folder (--out) must lie on a disk that all machines share"
    return said


def _stop(ray: Any, tasks: Sequence[Any]) -> None:
    """Ctrl-C for every trial, and time to write its checkpoint."""
    for task in tasks:
        with suppress(ray.exceptions.RayError):
            ray.cancel(task)
    with suppress(ray.exceptions.RayError):
        ray.wait(list(tasks), num_returns=len(tasks), timeout=30)
