"""`LocalWorkers`: processes on this machine that run trials one after another; a lost process is replaced."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

from vaebench.core.errors import VaebenchError
from vaebench.core.memory import keep_freed_memory
from vaebench.core.processes import CONTEXT, die_with_parent
from vaebench.core.progress import ProgressEvent
from vaebench.sweeps.grid import Trial

MAX_ATTEMPTS = 3
"""Attempts at a trial whose worker is lost."""


class Outcome(NamedTuple):
    """A trial that ended; ``error`` is None if it succeeded."""

    trial: Trial
    error: str | None


TrialCallback = Callable[[int, str, ProgressEvent], None]
"""Receives the worker's number, the trial's description and a progress event."""
Executor = Callable[[Sequence[Trial], Path, TrialCallback], Iterator[Outcome]]
"""Runs trials in subfolders of a folder and yields their outcomes in the order of completion."""


@dataclass
class Worker:
    """A worker process, the connection to it, and its current trial."""

    number: int
    process: Any
    connection: Connection
    trial: Trial | None = None


@dataclass(frozen=True)
class LocalWorkers:
    """An executor that runs trials in ``workers`` processes on this machine; the GPUs are assigned in turn."""

    workers: int
    threads: int

    def __call__(self, trials: Sequence[Trial], folder: Path, callback: TrialCallback) -> Iterator[Outcome]:
        """Yield outcomes in the order of completion. Ctrl-C stops every worker after it has written a checkpoint."""
        waiting, attempts = list(reversed(trials)), dict.fromkeys((trial.key for trial in trials), 0)
        workers = [self._start(number, folder) for number in range(min(self.workers, len(trials)))]
        try:
            while waiting or any(worker.trial for worker in workers):
                for index, worker in enumerate(workers):
                    if worker.trial is None and waiting:
                        workers[index] = self._send(worker, waiting.pop(), folder)
                yield from self._receive(workers, waiting, attempts, folder, callback)
        except BaseException:
            _interrupt(workers)
            raise
        _stop(workers)

    def _send(self, worker: Worker, trial: Trial, folder: Path) -> Worker:
        """Send a trial to an idle worker, which is replaced if its process has ended."""
        while True:
            try:
                worker.connection.send(trial)
                worker.trial = trial
                return worker
            except OSError:
                worker = self._start(worker.number, folder)

    def _receive(
        self,
        workers: list[Worker],
        waiting: list[Trial],
        attempts: dict[str, int],
        folder: Path,
        callback: TrialCallback,
    ) -> Iterator[Outcome]:
        """Wait for messages of the busy workers: progress, outcomes, or the loss of a process."""
        busy = {worker.connection: worker for worker in workers if worker.trial}
        for connection in wait(list(busy)):
            assert isinstance(connection, Connection)
            worker = busy[connection]
            assert worker.trial is not None
            try:
                message = connection.recv()
            except (EOFError, OSError):  # the process was killed, for example for lack of memory
                worker.process.join()
                workers[worker.number] = self._start(worker.number, folder)
                attempts[worker.trial.key] += 1
                if attempts[worker.trial.key] < MAX_ATTEMPTS:
                    waiting.append(worker.trial)
                else:
                    code = worker.process.exitcode
                    error = f"its worker was lost {MAX_ATTEMPTS} times (exit code {code}), possibly out of memory"
                    yield Outcome(worker.trial, error)
                continue
            if isinstance(message, ProgressEvent):
                callback(worker.number, worker.trial.description, message)
            else:
                trial, worker.trial = worker.trial, None
                yield Outcome(trial, message)

    def _start(self, number: int, folder: Path) -> Worker:
        connection, child_connection = CONTEXT.Pipe()
        process = CONTEXT.Process(
            target=_work,
            args=(child_connection, folder, self.threads, number),
            name=f"vaebench worker {number + 1}",
        )
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)  # until the worker has installed its own handler
        try:
            process.start()
        finally:
            signal.signal(signal.SIGINT, handler)
        child_connection.close()
        return Worker(number, process, connection)


def _stop(workers: Sequence[Worker]) -> None:
    for worker in workers:
        worker.connection.close()
    for worker in workers:
        worker.process.join()


def _interrupt(workers: Sequence[Worker]) -> None:
    """Send Ctrl-C to every worker, in case the terminal has not, and wait until it has written its checkpoint."""
    for worker in workers:
        if worker.process.is_alive():
            os.kill(worker.process.pid, signal.SIGINT)
    _stop(workers)


def _work(connection: Connection, folder: Path, threads: int, number: int) -> None:
    """Main function of a worker process: run trials until the connection is closed."""
    die_with_parent()
    if (gpus := os.environ.get("CUDA_VISIBLE_DEVICES")) is None or "," in gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = _gpu_of(gpus, number)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with suppress(EOFError, OSError, KeyboardInterrupt):
        from vaebench.sweeps.trial import run_trial

        keep_freed_memory()
        while True:
            trial: Trial = connection.recv()
            try:
                run_trial(
                    trial.recipe_with(threads),
                    folder / trial.key,
                    lambda event: connection.send(event._replace(epoch=None)),
                )
                connection.send(None)
            except (VaebenchError, FloatingPointError) as error:
                connection.send(str(error))


def _gpu_of(gpus: str | None, number: int) -> str:
    """The GPU of this worker; workers share the GPUs in turn."""
    import torch

    names = gpus.split(",") if gpus else [str(index) for index in range(torch.cuda.device_count())]
    return names[number % len(names)] if names else ""
