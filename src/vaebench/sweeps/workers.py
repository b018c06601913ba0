"""Local processes that trials are handed to one by one; each is used again, one that is lost is replaced."""

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

TRIES = 3
"""Times that a trial is begun whose worker is lost."""


class Outcome(NamedTuple):
    """How a trial ended: well, or with a sentence that says why not."""

    trial: Trial
    trouble: str | None


Engine = Callable[[Sequence[Trial], Path, Callable[[int, str, ProgressEvent], None]], Iterator[Outcome]]
"""Trials, the folder that theirs are in, and who is told of progress (worker, trial in words, tick)."""


@dataclass
class Worker:
    """A process and what it is doing."""

    number: int
    process: Any
    line: Connection
    trial: Trial | None = None


@dataclass(frozen=True)
class LocalWorkers:
    """As many processes on this machine; GPUs are shared out in turn."""

    workers: int
    threads: int

    def __call__(
        self, trials: Sequence[Trial], folder: Path, callback: Callable[[int, str, ProgressEvent], None]
    ) -> Iterator[Outcome]:
        """Outcomes as they come. Ctrl-C stops every worker, each once its checkpoint is written."""
        waiting, tries = list(reversed(trials)), dict.fromkeys((trial.key for trial in trials), 0)
        crew = [self._hire(number, folder) for number in range(min(self.workers, len(trials)))]
        try:
            while waiting or any(worker.trial for worker in crew):
                for index, worker in enumerate(crew):
                    if worker.trial is None and waiting:
                        crew[index] = self._give(worker, waiting.pop(), folder)
                yield from self._listen(crew, waiting, tries, folder, callback)
        except BaseException:
            _stop(crew)
            raise
        _dismiss(crew)

    def _give(self, worker: Worker, trial: Trial, folder: Path) -> Worker:
        """Hand a trial over; an idle worker that is gone is replaced first."""
        while True:
            try:
                worker.line.send(trial)
                worker.trial = trial
                return worker
            except OSError:
                worker = self._hire(worker.number, folder)

    def _listen(
        self,
        crew: list[Worker],
        waiting: list[Trial],
        tries: dict[str, int],
        folder: Path,
        callback: Callable[[int, str, ProgressEvent], None],
    ) -> Iterator[Outcome]:
        busy = {worker.line: index for index, worker in enumerate(crew) if worker.trial}
        for line in wait(list(busy)):
            assert isinstance(line, Connection)
            worker = crew[busy[line]]
            assert worker.trial is not None
            try:
                said = line.recv()
            except (EOFError, OSError):  # killed, such as for its memory
                worker.process.join()
                crew[worker.number] = self._hire(worker.number, folder)
                tries[worker.trial.key] += 1
                if tries[worker.trial.key] < TRIES:
                    waiting.append(worker.trial)
                else:
                    code = worker.process.exitcode
                    yield Outcome(worker.trial, f"its worker was lost {TRIES} times (exit code {code}): out of memory?")
                continue
            if isinstance(said, ProgressEvent):
                callback(worker.number, worker.trial.words, said)
            else:
                ended, worker.trial = worker.trial, None
                yield Outcome(ended, said)

    def _hire(self, number: int, folder: Path) -> Worker:
        mine, theirs = CONTEXT.Pipe()
        process = CONTEXT.Process(
            target=_work,
            args=(theirs, folder, self.threads, number),
            name=f"vaebench worker {number + 1}",
        )
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # until the worker is ready to stop in order
        try:
            process.start()
        finally:
            signal.signal(signal.SIGINT, before)
        theirs.close()
        return Worker(number, process, mine)


def _dismiss(crew: Sequence[Worker]) -> None:
    for worker in crew:
        worker.line.close()
    for worker in crew:
        worker.process.join()


def _stop(crew: Sequence[Worker]) -> None:
    """Ctrl-C for every worker, whether the terminal has sent it already or not, and time to write its checkpoint."""
    for worker in crew:
        if worker.process.is_alive():
            os.kill(worker.process.pid, signal.SIGINT)
    _dismiss(crew)


def _work(line: Connection, folder: Path, threads: int, number: int) -> None:
    """A worker's life: a trial at a time until there is none."""
    die_with_parent()
    if (gpus := os.environ.get("CUDA_VISIBLE_DEVICES")) is None or "," in gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = _share(gpus, number)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with suppress(EOFError, OSError, KeyboardInterrupt):
        from vaebench.sweeps.trial import perform_trial

        keep_freed_memory()
        while True:
            trial: Trial = line.recv()
            compute = trial.recipe.compute
            compute = compute.model_copy(update={"threads": compute.threads or threads})
            recipe = trial.recipe.model_copy(update={"compute": compute})
            try:
                perform_trial(recipe, folder / trial.key, lambda tick: _tell(line, tick))
                line.send(None)
            except (VaebenchError, FloatingPointError) as error:
                line.send(str(error))


def _tell(line: Connection, tick: ProgressEvent) -> None:
    line.send(tick._replace(epoch=None))


def _share(gpus: str | None, number: int) -> str:
    """One GPU of all for this worker."""
    import torch

    names = gpus.split(",") if gpus else [str(index) for index in range(torch.cuda.device_count())]
    return names[number % len(names)] if names else ""
