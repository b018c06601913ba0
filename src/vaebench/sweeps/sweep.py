"""sweep(): every trial of a grid once, however often it is stopped; and what came of them."""

from __future__ import annotations

import csv
import io
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vaebench.core.files import write_json, write_text
from vaebench.core.locks import lock_folder
from vaebench.core.progress import ProgressCallback, ProgressEvent
from vaebench.core.provenance import commit
from vaebench.core.statistics import summary
from vaebench.runs.recipe import Recipe
from vaebench.sweeps.grid import Axis, Trial, trials
from vaebench.sweeps.trial import BEST, is_done, scores
from vaebench.sweeps.workers import Engine, LocalWorkers
from vaebench.training.compute import machine

SCHEMA = 1


@dataclass(frozen=True)
class Point:
    """One combination of values: its scores over the seeds that ended well, and why others did not."""

    values: dict[str, str]
    scores: dict[str, list[float]]
    folders: list[str]
    troubles: list[str]

    @property
    def words(self) -> str:
        """The values in words."""
        return ", ".join(f"{field} {value}" for field, value in self.values.items()) or "the recipe as it is"

    def mean(self, score: str) -> float | None:
        """The mean of a score over seeds."""
        values = self.scores.get(score)
        return summary(values)["mean"] if values else None


@dataclass(frozen=True)
class Sweep:
    """A whole sweep: its points in the order of the grid."""

    name: str
    axes: tuple[Axis, ...]
    seeds: int
    points: list[Point]
    folder: Path

    def __repr__(self) -> str:
        return f"Sweep({self.name!r}: {len(self.points)} points x {self.seeds} seeds in {self.folder})"

    @property
    def best(self) -> Point | None:
        """The point with the highest mean validation ELBO; never a choice by the test part."""
        with_score = [point for point in self.points if point.mean(BEST) is not None]
        return max(with_score, key=lambda point: point.mean(BEST) or 0.0, default=None)


def sweep(
    base: Recipe,
    axes: Sequence[Axis],
    *,
    seeds: int = 1,
    folder: str | Path,
    engine: Engine | None = None,
    callback: ProgressCallback = lambda tick: None,
) -> Sweep:
    """Run every trial that is not done yet, and write sweep.json, sweep.csv into ``folder``.

    Trials lie in folders named by their content, so that a sweep that is stopped, killed, or begun with another number
    of workers repeats nothing that is done.

    Args:
        engine: who runs them; none takes one process for every two cores of this machine.

    Raises:
        VaebenchError: a bad grid, or a folder that cannot be written or is in use.
    """
    every, place = trials(base, axes, seeds), Path(folder)
    engine = engine or local()
    with lock_folder(place):
        left = [trial for trial in every if not is_done(trial.recipe, place / trial.key)]
        troubles = _performed(left, len(every), place, engine, callback)
        found = Sweep(base.name, tuple(axes), seeds, _points(every, place, troubles), place)
        _write(found, base)
    return found


def local(workers: int | None = None) -> LocalWorkers:
    """Processes on this machine: as many as are asked for, or one for every two cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count = workers or max(1, cores // 2)
    return LocalWorkers(count, max(1, cores // count))


def _performed(
    left: list[Trial], total: int, place: Path, engine: Engine, callback: ProgressCallback
) -> dict[str, str]:
    """Run what is left; why trials failed, by their folder."""
    troubles: dict[str, str] = {}
    if not left:
        return troubles
    began = time.monotonic()

    def tell(worker: int, words: str, tick: ProgressEvent) -> None:
        callback(ProgressEvent(f"worker {worker + 1}", tick.done, note=f"{words}: {tick.stage}"))

    callback(ProgressEvent("trials", 1 - len(left) / total, note=f"{total - len(left)} of {total}"))
    for done, outcome in enumerate(engine(left, place, tell), start=1):
        if outcome.trouble is not None:
            troubles[outcome.trial.key] = outcome.trouble
        minutes = (time.monotonic() - began) / done * (len(left) - done) / 60
        count = total - len(left) + done
        callback(ProgressEvent("trials", count / total, note=f"{count} of {total}, about {minutes:.1f} minutes left"))
    return troubles


def _points(every: Sequence[Trial], place: Path, troubles: dict[str, str]) -> list[Point]:
    points: dict[str, Point] = {}
    for trial in every:
        point = points.setdefault(repr(trial.values), Point(trial.values, {}, [], []))
        if trial.key in troubles:
            point.troubles.append(f"seed {trial.recipe.seed}: {troubles[trial.key]}")
            continue
        point.folders.append(trial.key)
        for name, value in scores(place / trial.key).items():
            point.scores.setdefault(name, []).append(value)
    return list(points.values())


def score_names(found: Sweep) -> list[str]:
    """Every score that some point has, in the order in which they are shown."""
    return list(dict.fromkeys(name for point in found.points for name in point.scores))


def _write(found: Sweep, base: Recipe) -> None:
    best = found.best
    write_json(
        found.folder / "sweep.json",
        {
            "schema": SCHEMA,
            "recipe": base.model_dump(mode="json"),
            "grid": {axis.field: list(axis.values) for axis in found.axes},
            "seeds": found.seeds,
            "machine": machine(),
            "commit": commit(),
            "best": {"by": BEST, "values": best.values if best else None},
            "points": [vars(point) for point in found.points],
        },
    )
    write_text(found.folder / "sweep.csv", _as_csv(found))


def _as_csv(found: Sweep) -> str:
    names = score_names(found)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [*(axis.field for axis in found.axes), "n", *(f"{n} {part}" for n in names for part in ("mean", "sd"))]
    )
    for point in found.points:
        cells: list[Any] = []
        for name in names:
            each = summary(point.scores[name]) if point.scores.get(name) else {"mean": "", "sd": ""}
            cells += [each["mean"], "" if each["sd"] is None else each["sd"]]
        writer.writerow([*point.values.values(), len(point.folders), *cells])
    return text.getvalue()
