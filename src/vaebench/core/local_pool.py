"""`LocalPool`: worker processes on this machine; a process that is lost is replaced and its task run again."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

from vaebench.core.processes import CONTEXT, die_with_parent, without_main_module
from vaebench.core.progress import ProgressEvent
from vaebench.core.workers import MAX_ATTEMPTS, Outcome, Task, TaskCallback, TaskError, Worker, run_task

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class LocalPool:
    """An executor that runs tasks in processes on this machine, which share its GPUs in turn."""

    workers: int
    threads: int = 1
    """Threads of each process."""

    def capacity(self) -> int:
        """Number of processes."""
        return self.workers

    def __call__(self, tasks: Sequence[Task], callback: TaskCallback) -> Generator[Outcome, None, None]:
        """Yield outcomes in the order of completion; see :class:`vaebench.core.workers.Executor`."""
        return _Run(self, list(reversed(tasks)), callback).outcomes()


@dataclass
class _Process:
    """A worker process, the connection to it, and its current task."""

    number: int
    process: Any
    connection: Connection
    task: Task | None = None


@dataclass
class _Run:
    """One call of a pool: its processes, the tasks that wait, and the attempts at each."""

    pool: LocalPool
    waiting: list[Task]
    """The next one is last."""
    callback: TaskCallback
    losses: dict[str, int] = field(default_factory=dict)
    processes: list[_Process] = field(default_factory=list)
    stopping: Any = field(default_factory=CONTEXT.Event)
    """Set when processes are interrupted: a signal that comes before a process handles it has no effect."""

    def outcomes(self) -> Generator[Outcome, None, None]:
        try:
            for number in range(min(self.pool.workers, len(self.waiting))):
                self.processes.append(self.start(number))
            while self.waiting or any(process.task for process in self.processes):
                for process in self.processes:
                    if process.task is None and self.waiting:
                        self.send(process, self.waiting.pop())
                yield from self.receive()
        except BaseException:
            self.interrupt()
            raise
        self.stop()

    def send(self, process: _Process, task: Task) -> None:
        """Send a task to an idle process, which is replaced if it has ended."""
        while True:
            try:
                process.connection.send(task)
                process.task = task
                return
            except OSError:
                self.replace(process)

    def receive(self) -> Iterator[Outcome]:
        """Wait for messages of the busy processes: progress, outcomes, or the loss of a process."""
        busy = {process.connection: process for process in self.processes if process.task}
        for connection in wait(list(busy)):
            assert isinstance(connection, Connection)
            process = busy[connection]
            task = process.task
            assert task is not None
            try:
                message = connection.recv()
            except (EOFError, OSError):  # the process was killed, for example for lack of memory
                yield from self.lose(process, task)
                continue
            if isinstance(message, ProgressEvent):
                self.callback(process.number, task.key, message)
            else:
                process.task = None
                yield Outcome(task, *message)

    def lose(self, process: _Process, task: Task) -> Iterator[Outcome]:
        """Replace a lost process; its task is run again or, after the last attempt, given up."""
        process.process.join()
        code = process.process.exitcode
        LOG.warning("process %d of the workers was lost (exit code %s)", process.number + 1, code)
        self.losses[task.key] = self.losses.get(task.key, 0) + 1
        self.replace(process)
        if self.losses[task.key] < MAX_ATTEMPTS:
            self.waiting.append(task)
        else:
            error = f"its worker was lost {MAX_ATTEMPTS} times (exit code {code}), possibly out of memory"
            yield Outcome(task, TaskError(error))

    def replace(self, process: _Process) -> None:
        new = self.start(process.number)
        process.connection.close()
        process.process, process.connection, process.task = new.process, new.connection, None

    def start(self, number: int) -> _Process:
        connection, child_connection = CONTEXT.Pipe()
        process = CONTEXT.Process(
            target=_work,
            args=(child_connection, self.stopping, self.pool.threads, number),
            name=f"vaebench worker {number + 1}",
        )
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)  # until the process has installed its own handler
        try:
            with without_main_module():
                process.start()
        finally:
            signal.signal(signal.SIGINT, handler)
        child_connection.close()
        return _Process(number, process, connection)

    def interrupt(self) -> None:
        """Send Ctrl-C to every process and wait until each has saved its state."""
        self.stopping.set()
        for process in self.processes:
            if process.process.is_alive():
                os.kill(process.process.pid, signal.SIGINT)
        self.stop()

    def stop(self) -> None:
        for process in self.processes:
            process.connection.close()
        for process in self.processes:
            process.process.join()


def _work(connection: Connection, stopping: Any, threads: int, number: int) -> None:
    """Main function of a worker process: run tasks until the connection is closed."""
    os.setpgrp()  # Ctrl-C in a terminal reaches the parent alone: a second signal would interrupt the saving
    die_with_parent()
    if (gpus := os.environ.get("CUDA_VISIBLE_DEVICES")) is None or "," in gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = _gpu_of(gpus, number)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        try:
            while (task := _next_task(connection, stopping)) is not None:
                _send(connection, run_task(task, Worker(threads, lambda event: _send(connection, event))))
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # finished work must not be lost by a late signal


def _next_task(connection: Connection, stopping: Any) -> Task | None:
    try:
        task: Task = connection.recv()
    except (EOFError, OSError):
        return None
    return None if stopping.is_set() else task


def _send(connection: Connection, message: Any) -> None:
    with suppress(OSError):  # the parent has closed the connection and is about to stop this process
        connection.send(message)


def _gpu_of(gpus: str | None, number: int) -> str:
    """The GPU of this worker; workers share the GPUs in turn."""
    if gpus is None:
        import torch

        names = [str(index) for index in range(torch.cuda.device_count())]
    else:
        names = gpus.split(",")
    return names[number % len(names)] if names else ""
