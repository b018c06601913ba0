"""`sweep()`: run every trial of a grid once, even if interrupted, and collect the scores."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vaebench.core.cores import available_cores
from vaebench.core.executors import executor_for
from vaebench.core.files import write_json, write_text
from vaebench.core.locks import lock_folder
from vaebench.core.progress import ProgressCallback, ProgressEvent
from vaebench.core.provenance import commit
from vaebench.core.statistics import summary
from vaebench.core.workers import Executor, Outcome, Task
from vaebench.runs.initial_weights import pin_weights
from vaebench.runs.recipe import Recipe
from vaebench.sweeps.grid import Axis, Trial, trials
from vaebench.sweeps.trial import BEST, is_done, run_trial_task, scores
from vaebench.training.compute import machine

CORES = 2
"""Cores of a trial on a cluster."""
SCHEMA = 2
"""Version of sweep.json; in version 1 the errors of a point were its "troubles"."""


@dataclass(frozen=True)
class Point:
    """One combination of values: scores over its successful seeds, and the errors of the others."""

    values: dict[str, str]
    scores: dict[str, list[float]]
    folders: list[str]
    errors: list[str]

    @property
    def description(self) -> str:
        """The values in words."""
        return ", ".join(f"{field} {value}" for field, value in self.values.items()) or "the recipe unchanged"

    def mean(self, score: str) -> float | None:
        """Mean of a score over seeds, or None if it has no values."""
        values = self.scores.get(score)
        return summary(values)["mean"] if values else None


@dataclass(frozen=True)
class Sweep:
    """A finished sweep, with its points in the order of the grid."""

    name: str
    axes: tuple[Axis, ...]
    seeds: int
    points: list[Point]
    folder: Path

    def __repr__(self) -> str:
        return f"Sweep({self.name!r}: {len(self.points)} points x {self.seeds} seeds in {self.folder})"

    @property
    def best(self) -> Point | None:
        """The point with the highest mean validation ELBO; test scores are never used for the choice."""
        with_score = [point for point in self.points if point.mean(BEST) is not None]
        return max(with_score, key=lambda point: point.mean(BEST) or 0.0, default=None)


def sweep(
    base: Recipe,
    axes: Sequence[Axis],
    *,
    seeds: int = 1,
    folder: str | Path,
    executor: Executor | None = None,
    callback: ProgressCallback = lambda event: None,
) -> Sweep:
    """Run the unfinished trials and write sweep.json and sweep.csv into ``folder``.

    The folders of trials are named by a hash of the recipe, so that a sweep that was interrupted, or is called with
    another number of workers, repeats no finished trial.

    Args:
        seeds: number of seeds per combination of values.
        executor: runs the trials; by default one process for every two cores of this machine.

    Raises:
        VaebenchError: the grid is invalid, the weights to start from are missing, or the folder cannot be written or is
            in use.
    """
    root = Path(folder)
    grid = [trial._replace(recipe=pin_weights(trial.recipe)) for trial in trials(base, axes, seeds)]
    with lock_folder(root):
        unfinished = [trial for trial in grid if not is_done(trial.recipe, root / trial.key)]
        errors = _run_trials(unfinished, len(grid), root, executor or sweep_executor(), callback)
        result = Sweep(base.name, tuple(axes), seeds, _points(grid, root, errors), root)
        _write(result, base)
    return result


def sweep_executor(workers: int | None = None, ray: str | None = None) -> Executor:
    """Executor of a sweep: processes on this machine, by default one for every two cores, or a Ray cluster."""
    cores = available_cores()
    count = workers or max(1, cores // 2)
    return executor_for(count, ray, threads=max(1, cores // count) if ray is None else CORES)


def _run_trials(
    unfinished: list[Trial], total: int, root: Path, executor: Executor, callback: ProgressCallback
) -> dict[str, str]:
    """Run the trials; return the error messages of those that failed by trial key."""
    errors: dict[str, str] = {}
    if not unfinished:
        return errors
    start, descriptions = time.monotonic(), {trial.key: trial.description for trial in unfinished}

    def forward(worker: int, key: str, event: ProgressEvent) -> None:
        callback(ProgressEvent(f"worker {worker + 1}", event.done, note=f"{descriptions.get(key, key)}: {event.stage}"))

    finished = total - len(unfinished)
    callback(ProgressEvent("trials", finished / total, note=f"{finished} of {total}"))
    tasks = [Task(trial.key, run_trial_task, (trial, str(root.resolve()))) for trial in unfinished]
    with closing(executor(tasks, forward)) as outcomes:
        for done, outcome in enumerate(outcomes, start=1):
            if (error := _error_of(outcome, root)) is not None:
                errors[outcome.task.key] = error
            minutes = (time.monotonic() - start) / done * (len(unfinished) - done) / 60
            count = finished + done
            note = f"{count} of {total}, about {minutes:.1f} minutes left"
            callback(ProgressEvent("trials", count / total, note=note))
    return errors


def _error_of(outcome: Outcome, root: Path) -> str | None:
    """Error message of a trial, or None if its results are in the folder."""
    if outcome.error is not None:
        return str(outcome.error)
    if not ((folder := root / outcome.task.key) / "results.json").exists():
        return f"{folder} has no results here; the folder (--out) must be on a disk that all machines share"
    return None


def _points(grid: Sequence[Trial], root: Path, errors: dict[str, str]) -> list[Point]:
    points: dict[str, Point] = {}
    for trial in grid:
        point = points.setdefault(repr(trial.values), Point(trial.values, {}, [], []))
        if trial.key in errors:
            point.errors.append(f"seed {trial.recipe.seed}: {errors[trial.key]}")
            continue
        point.folders.append(trial.key)
        for name, value in scores(root / trial.key).items():
            point.scores.setdefault(name, []).append(value)
    return list(points.values())


def score_names(result: Sweep) -> list[str]:
    """Names of all scores that some point has, in display order."""
    return list(dict.fromkeys(name for point in result.points for name in point.scores))


def _write(result: Sweep, base: Recipe) -> None:
    best = result.best
    write_json(
        result.folder / "sweep.json",
        {
            "schema": SCHEMA,
            "recipe": base.model_dump(mode="json"),
            "grid": {axis.field: list(axis.values) for axis in result.axes},
            "seeds": result.seeds,
            "machine": machine(),
            "commit": commit(),
            "best": {"by": BEST, "values": best.values if best else None},
            "points": [vars(point) for point in result.points],
        },
    )
    write_text(result.folder / "sweep.csv", _as_csv(result))


def _as_csv(result: Sweep) -> str:
    names = score_names(result)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [*(axis.field for axis in result.axes), "n", *(f"{n} {part}" for n in names for part in ("mean", "sd"))]
    )
    for point in result.points:
        cells: list[Any] = []
        for name in names:
            statistics = summary(point.scores[name]) if point.scores.get(name) else {"mean": "", "sd": ""}
            cells += [statistics["mean"], "" if statistics["sd"] is None else statistics["sd"]]
        writer.writerow([*point.values.values(), len(point.folders), *cells])
    return text.getvalue()
