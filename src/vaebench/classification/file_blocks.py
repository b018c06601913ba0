"""Image files in blocks, each read and processed by one task: in this process, in others, or on a cluster."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable
from uuid import uuid4

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from vaebench.core.cores import available_cores
from vaebench.core.errors import VaebenchError
from vaebench.core.local_pool import LocalPool
from vaebench.core.progress import ProgressCallback, ProgressEvent
from vaebench.core.workers import Executor, Task, TaskError, Worker
from vaebench.data.images import HIDDEN, Images, Progress, ignore_progress
from vaebench.data.listing import Files, PathParts, open_files, open_reader
from vaebench.data.photos import PreprocessingRule, map_images

BLOCK = 500
"""Files of a block. The bits of a result depend on the blocks, and not on who processes them."""
LONG = 10.0
"""Seconds of work in this process from which further processes are worth the seconds that they take to start."""


@runtime_checkable
class Processor(Protocol):
    """A loaded model that computes arrays from images."""

    @property
    def rule(self) -> PreprocessingRule:
        """The preprocessing of the images."""
        ...

    def __call__(self, images: Images) -> dict[str, np.ndarray]:
        """Arrays by name, with one row for each image."""
        ...


@dataclass(frozen=True)
class FileJob:
    """Processing of all image files of a folder or zip by one model."""

    task: str
    """What is done with the files, for progress events."""
    load: Callable[[Path], Processor]
    """A function of a module that loads the model."""
    model: Path
    """Folder of the model."""
    path: Path
    """The folder or zip."""
    call: str = field(default_factory=lambda: uuid4().hex)
    """Distinguishes jobs in processes that keep what they have loaded."""


class BlockResult(NamedTuple):
    """The arrays of a block's readable files, and the reason for each other one by name."""

    arrays: dict[str, np.ndarray]
    skipped: dict[str, str]


class FileResults(NamedTuple):
    """The results of all files, in the order of their names."""

    names: tuple[str, ...]
    """Names of the readable files, to which the rows of the arrays belong."""
    arrays: dict[str, np.ndarray]
    skipped: dict[str, str]
    """Reason by name for each image file that cannot be read."""


def process_files(
    job: FileJob, executor: Executor | None = None, callback: ProgressCallback = lambda event: None
) -> FileResults:
    """Read and process all image files; the bits of the result do not depend on the executor.

    Args:
        job: the model and the files.
        executor: runs a task for each block. By default the blocks are processed in this process, and by one process
            a core where the rest would take longer than ``LONG`` seconds.
        callback: receives progress events.

    Raises:
        VaebenchError: the model or the path does not exist, no image can be read, a worker does not see the files, or
            the workers of a block were lost three times.
    """
    processor = job.load(job.model)
    with open_files(job.path) as files:
        run = _Run(job, files, callback)
        if executor is None:
            run.process_here(processor, LONG)
        elif isinstance(executor, LocalPool) and executor.workers == 1:
            run.process_here(processor)
        if len(run.results) < len(run.blocks):
            run.process_in(executor or LocalPool(available_cores()))
        return run.joined()


@dataclass
class _Run:
    """One call: the blocks of files, and the results of the first or of all blocks by number."""

    job: FileJob
    files: Files
    callback: ProgressCallback
    results: dict[int, BlockResult] = field(default_factory=dict)

    @cached_property
    def blocks(self) -> list[tuple[PathParts, ...]]:
        images = self.files.images
        return [images[start : start + BLOCK] for start in range(0, len(images), BLOCK)]

    def report(self, task: str = "", done: float = 0.0) -> None:
        """Report the finished blocks and the completed fraction of the current one."""
        fraction = min(1.0, (len(self.results) + done) / len(self.blocks))
        self.callback(ProgressEvent(f"{self.job.task} {self.files.title}", fraction))

    def process_here(self, processor: Processor, limit: float | None = None) -> None:
        """Process blocks in this process, until the rest would take longer than ``limit`` seconds on several cores."""
        limit = None if available_cores() == 1 else limit
        for index, block in enumerate(self.blocks):
            start = time.monotonic()
            self.results[index] = _process(processor, replace(self.files, images=block), self.report)
            rest = (time.monotonic() - start) * (len(self.blocks) - len(self.results))
            if limit is not None and index and rest > limit:  # the first block also warms up
                return

    def process_in(self, executor: Executor) -> None:
        """Process the other blocks by tasks of an executor."""
        job = replace(self.job, model=self.job.model.resolve(), path=self.job.path.resolve())
        numbers = {f"block {index + 1}": index for index in range(len(self.results), len(self.blocks))}
        tasks = [Task(key, process_block, (job, self.blocks[index])) for key, index in numbers.items()]
        self.report()
        with closing(executor(tasks, lambda number, key, event: self.report())) as outcomes:
            for task, error, value in outcomes:
                if isinstance(error, TaskError | FloatingPointError):
                    place = f"{task.key} of {len(self.blocks)} of {self.files.title}"
                    raise VaebenchError(f"{place}: {error}") from error
                if error is not None:
                    raise error
                self.results[numbers[task.key]] = value
                self.report()

    def joined(self) -> FileResults:
        """The results of all blocks in the order of the files."""
        results = [self.results[index] for index in range(len(self.blocks))]
        skipped = {name: reason for result in results for name, reason in result.skipped.items()}
        names = tuple(name for name in map("/".join, self.files.images) if name not in skipped)
        if not names:
            raise VaebenchError(f"{self.job.path}: none of its {len(self.files.images):,} images can be read")
        arrays = [result.arrays for result in results if result.arrays]
        return FileResults(
            names, {name: np.concatenate([each[name] for each in arrays]) for name in arrays[0]}, skipped
        )


def process_block(worker: Worker, job: FileJob, block: tuple[PathParts, ...]) -> BlockResult:
    """Read and process the files of a block in a worker.

    Raises:
        VaebenchError: the worker does not see the model or the files, or the model is damaged.
    """
    processor, files = _opened(job)
    return _process(processor, replace(files, images=block), threads=worker.threads)


@lru_cache(maxsize=1)
def _opened(job: FileJob) -> tuple[Processor, Files]:
    """The loaded model and the files, whose list is empty; kept for further blocks of the same job."""
    for path in (job.model, job.path):
        if not path.exists():
            raise VaebenchError(f"a worker does not find {path}; it must be on a disk that all machines share")
    return job.load(job.model), Files(job.path, (), frozenset(), open_reader(job.path), _no_stamp)


def _no_stamp(parts: PathParts) -> tuple[int, int]:
    raise NotImplementedError


def _process(
    processor: Processor, files: Files, progress: Progress = ignore_progress, threads: int | None = None
) -> BlockResult:
    """The result of the files; ``threads`` read them, by default one a core."""
    pixels, skipped = [], {}
    for parts, result in map_images(files, processor.rule.pixels, "", progress, threads=threads):
        if isinstance(result, str):
            skipped["/".join(parts)] = result
        else:
            pixels.append(result)
    if not pixels:
        return BlockResult({}, skipped)
    with threadpool_limits(1):
        images = Images(torch.from_numpy(np.stack(pixels)), torch.full((len(pixels),), HIDDEN))
        return BlockResult(processor(images), skipped)
