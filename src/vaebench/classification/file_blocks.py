"""Images in blocks, each read and processed by one task: in this process, in others, or on a cluster."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
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
from vaebench.data.image_set import ImageSet
from vaebench.data.images import HIDDEN, Images, Progress, ignore_progress
from vaebench.data.opening import NamedImages, open_images
from vaebench.data.preprocessing import PreprocessingRule, ranges_of
from vaebench.data.reading import check_readable, count_images
from vaebench.data.survey import map_rows, rule_for_new

BLOCK = 500
"""Images of a block. The bits of a result depend on the blocks, and not on who processes them."""
FLAT = 0.02
"""Difference of the values of an image, as a fraction of their range, up to which it has no contrast."""
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
    """Processing of all images at a path by one model."""

    task: str
    """What is done with the files, for progress events."""
    load: Callable[[Path], Processor]
    """A function of a module that loads the model."""
    model: Path
    """Folder of the model."""
    path: Path
    """Anything that :func:`vaebench.data.opening.open_images` reads."""
    masks: Path | None = None
    """Masks of the images, as for :func:`vaebench.data.opening.open_images`."""
    call: str = field(default_factory=lambda: uuid4().hex)
    """Distinguishes jobs in processes that keep what they have loaded."""


class BlockResult(NamedTuple):
    """The arrays of a block's readable files, and the reason for each other one by name."""

    arrays: dict[str, np.ndarray]
    skipped: dict[str, str]
    remarks: Counter[str]
    """Number of images whose depth was changed, by how, or that have no contrast."""


class FileResults(NamedTuple):
    """The results of all files, in the order of their names."""

    names: tuple[str, ...]
    """Names of the readable files, to which the rows of the arrays belong."""
    arrays: dict[str, np.ndarray]
    skipped: dict[str, str]
    """Reason by name for each image file that cannot be read."""
    notes: tuple[str, ...]
    """Sentences about images that were converted, and about the source."""


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
    with open_images(job.path, (), processor.rule.projection, job.masks, labelled=False) as images:
        rule = rule_for_new(processor.rule, images)
        run = _Run(job, images, rule, callback)
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
    images: ImageSet
    rule: PreprocessingRule
    callback: ProgressCallback
    results: dict[int, BlockResult] = field(default_factory=dict)

    @cached_property
    def blocks(self) -> list[range]:
        """Rows of each block."""
        return [range(start, min(start + BLOCK, len(self.images))) for start in range(0, len(self.images), BLOCK)]

    def report(self, task: str = "", done: float = 0.0) -> None:
        """Report the finished blocks and the completed fraction of the current one."""
        fraction = min(1.0, (len(self.results) + done) / len(self.blocks))
        self.callback(ProgressEvent(f"{self.job.task} {self.images.title}", fraction))

    def process_here(self, processor: Processor, limit: float | None = None) -> None:
        """Process blocks in this process, until the rest would take longer than ``limit`` seconds on several cores.

        Blocks are read one after the other, and processed meanwhile by one thread a core.
        """
        cores = available_cores()
        limit = None if cores == 1 else limit
        start, running = time.monotonic(), deque[Future[BlockResult]]()
        with threadpool_limits(1), ThreadPoolExecutor(cores) as pool:  # on which the bits depend
            try:
                for number, block in enumerate(self.blocks, start=1):
                    read = _read(self.rule, (self.images, block), self.report)
                    running.append(pool.submit(_process, processor, read))
                    if len(running) > cores:
                        self.results[len(self.results)] = running.popleft().result()
                    rest = (time.monotonic() - start) / number * (len(self.blocks) - number)
                    if limit is not None and number > cores and rest > limit:  # the first blocks also warm up
                        break
                while running:
                    self.results[len(self.results)] = running.popleft().result()
            finally:
                pool.shutdown(cancel_futures=True)

    def process_in(self, executor: Executor) -> None:
        """Process the other blocks by tasks of an executor."""
        numbers = {
            f"block {index + 1} of {len(self.blocks)}": index for index in range(len(self.results), len(self.blocks))
        }
        names = [self.images.names[row] for row in range(len(self.images))]
        blocks = {key: tuple(names[row] for row in self.blocks[index]) for key, index in numbers.items()}
        self.report()
        with closing(process_blocks(self.job, self.rule, blocks, executor, self.report)) as results:
            for key, result in results:
                self.results[numbers[key]] = result
                self.report()

    def joined(self) -> FileResults:
        """The results of all blocks in the order of the files."""
        results = [self.results[index] for index in range(len(self.blocks))]
        skipped = {name: reason for result in results for name, reason in result.skipped.items()}
        names = tuple(name for name in self.images.names if name not in skipped)
        if not names:
            check_readable(self.job.path, 0, self.images.left_out | skipped)
        arrays = [result.arrays for result in results if result.arrays]
        remarks = sum((result.remarks for result in results), Counter())
        notes = [f"{count_images(count)} {remark}" for remark, count in sorted(remarks.items())]
        return FileResults(
            names,
            {name: np.concatenate([each[name] for each in arrays]) for name in arrays[0]},
            self.images.left_out | skipped,
            (*self.images.warnings, *notes),
        )


def process_blocks(
    job: FileJob,
    rule: PreprocessingRule,
    blocks: Mapping[str, tuple[str, ...]],
    executor: Executor | None,
    callback: Callable[[], None] = lambda: None,
) -> Generator[tuple[str, BlockResult], None, None]:
    """Process the images of these names; yield the key and the result of each block in the order of completion.

    Args:
        job: the model and the path of the images.
        rule: their preprocessing.
        blocks: names of the images of each block.
        executor: runs a task for each block; None processes them here.
        callback: called at each sign of life of a worker.

    Raises:
        VaebenchError: a worker does not see the files, or the workers of a block were lost three times.
    """
    masks = job.masks and job.masks.resolve()
    job = replace(job, model=job.model.resolve(), path=job.path.resolve(), masks=masks)
    if executor is None:
        try:
            for key, names in blocks.items():
                yield key, process_block(Worker(available_cores()), job, rule, names)
        finally:
            _opened.cache_clear()  # what was loaded may be large
        return
    tasks = [Task(key, process_block, (job, rule, names)) for key, names in blocks.items()]
    with closing(executor(tasks, lambda number, key, event: callback())) as outcomes:
        for task, error, value in outcomes:
            if isinstance(error, TaskError | FloatingPointError):
                raise VaebenchError(f"{task.key} of {job.path.name}: {error}") from error
            if error is not None:
                raise error
            yield task.key, value


def process_block(worker: Worker, job: FileJob, rule: PreprocessingRule, names: tuple[str, ...]) -> BlockResult:
    """Read and process the images of these names in a worker.

    Raises:
        VaebenchError: the worker does not see the model or the images, or the model is damaged.
    """
    processor, stored = _opened(job)
    images = stored.select(names)
    return _process(processor, _read(rule, (images, range(len(images))), threads=worker.threads))


@lru_cache(maxsize=1)
def _opened(job: FileJob) -> tuple[Processor, NamedImages]:
    """The loaded model and the images, kept for further blocks of the same job."""
    for path in (job.model, job.path, job.masks):
        if path is not None and not path.exists():
            raise VaebenchError(f"a worker does not find {path}; it must be on a disk that all machines share")
    processor = job.load(job.model)
    return processor, NamedImages(job.path, processor.rule.projection, job.masks)


class ReadBlock(NamedTuple):
    """The preprocessed images of a block, and what is said of the others and of these."""

    pixels: list[np.ndarray]
    skipped: dict[str, str]
    remarks: Counter[str]


def _read(
    rule: PreprocessingRule,
    block: tuple[ImageSet, range],
    progress: Progress = ignore_progress,
    threads: int | None = None,
) -> ReadBlock:
    """Read and preprocess the rows of a set; ``threads`` read them, by default one a core."""
    images, rows = block
    at_least = max(rule.width, rule.height)

    def preprocess(row: int) -> tuple[np.ndarray, tuple[str, str]]:
        image = images.read(row, at_least)
        how = "in colour, read as grey" if rule.loses_colour(image) else rule.converted(image.format)
        pixels = rule.pixels(image)
        return pixels, (how, _without_contrast(pixels, rule))

    read = ReadBlock([], {}, Counter())
    for row, result in map_rows(images, preprocess, rows, "", progress, threads=threads):
        if isinstance(result, str):
            read.skipped[images.names[row]] = result
        else:
            read.pixels.append(result[0])
            read.remarks.update(result[1])
    del read.remarks[""]
    return read


def _process(processor: Processor, read: ReadBlock) -> BlockResult:
    """The result of the images of a block, by one thread."""
    pixels, skipped, remarks = read
    if not pixels:
        return BlockResult({}, skipped, remarks)
    with threadpool_limits(1):
        images = Images(torch.from_numpy(np.stack(pixels)), torch.full((len(pixels),), HIDDEN))
        return BlockResult(processor(images), skipped, remarks)


def _without_contrast(pixels: np.ndarray, rule: PreprocessingRule) -> str:
    """What is said of an image whose values hardly differ in the range of the training images; "" for others."""
    white = 255 if pixels.dtype == np.uint8 else 1.0
    if np.nanmax(pixels) - np.nanmin(pixels) > FLAT * white:
        return ""
    ranges = " and ".join(dict.fromkeys(ranges_of(rule))) if rule.low else "0 to 255"
    return f"almost of one colour in the range of the training images, {ranges}: check that the values have their units"
