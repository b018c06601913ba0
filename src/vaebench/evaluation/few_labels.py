"""The learning curve over labels a class: saved draws x representations x probes, each cell done once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Int
from scipy import stats
from torch import Tensor

from vaebench.data.images import HIDDEN, Images, balanced_draw
from vaebench.errors import VaebenchError
from vaebench.evaluation.features import Codes
from vaebench.evaluation.lines import are_lines, fit_each
from vaebench.evaluation.probes import Predict, Probe
from vaebench.files import write_json
from vaebench.training.compute import Compute

LabelCount = int | Literal["all"]


class Cell(NamedTuple):
    """One fit: which representation, read by what, from which draw of labels."""

    features: str
    probe: str
    labels_per_class: LabelCount
    draw: int


@dataclass(frozen=True)
class Parts:
    """A representation's labelled parts: codes, or images for networks that read them."""

    train: Codes | Images | Pool[Codes] | Pool[Images]
    test: Codes | Images


def label_draws(
    labels: Int[Tensor, " N"], counts: Iterable[LabelCount], draws: int, seed: int
) -> dict[LabelCount, list[Int[Tensor, " M"]]]:
    """Rows of the training part for each count of labels and draw; "all" is one draw of everything.

    Counts that some class cannot give are left out.
    """
    least = int(labels.bincount().min())
    found: dict[LabelCount, list[Tensor]] = {}
    for count in counts:
        if count == "all":
            found[count] = [torch.arange(len(labels))]
        elif count <= least:
            found[count] = [balanced_draw(labels, count, (seed, draw)) for draw in range(draws)]
    return found


def save_draws(path: Path, draws: dict[LabelCount, list[Int[Tensor, " M"]]]) -> None:
    """Every draw's rows of the training part, but for "all", as JSON."""
    write_json(
        path,
        {str(count): [rows.tolist() for rows in several] for count, several in draws.items() if count != "all"},
    )


Whole = TypeVar("Whole", Codes, Images)


@dataclass(frozen=True)
class Pool(Generic[Whole]):
    """Images or codes to learn from, the labels of some given: taking rows hides the labels of all others."""

    whole: Whole

    def take(self, rows: Int[Tensor, " M"]) -> Whole:
        """All of them; only these rows keep their labels."""
        labels = torch.full_like(self.whole.labels, HIDDEN)
        labels[rows] = self.whole.labels[rows]
        return self.whole.with_labels(labels)


class Ledger:
    """Accuracies of the cells that are done, one JSON line each; a line cut off by a kill is done again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done: dict[Cell, float] = {}
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
        whole = [line for line in lines if line.endswith("\n")]
        if len(whole) < len(lines):
            path.write_text("".join(whole), encoding="utf-8")
        for line in whole:
            try:
                record = json.loads(line)
                self.done[Cell(*record["cell"])] = float(record["accuracy"])
            except (ValueError, KeyError, TypeError) as error:
                raise VaebenchError(
                    f"{path} holds a damaged line, {line[:60]!r}; delete the file to fit again"
                ) from error

    def add(self, cell: Cell, accuracy: float) -> None:
        """Keep one cell's accuracy."""
        self.done[cell] = accuracy
        with self.path.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({"cell": list(cell), "accuracy": accuracy}) + "\n")


def learning_curve(
    parts: dict[str, Parts],
    readers: dict[str, list[Probe]],
    draws: dict[LabelCount, list[Int[Tensor, " M"]]],
    classes: int,
    *,
    ledger: Ledger,
    compute: Compute,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Fit and score every cell that the ledger lacks: accuracy on the test part.

    Nothing is chosen here, so that the test part may be read at once.
    """
    cells = list(_cells(readers, draws))
    for index, (cell, probe) in enumerate(cells):
        if cell not in ledger.done:
            part = parts[cell.features]
            if are_lines(probe, [part.train]):
                alike = [one for one, _ in cells if one[:2] == cell[:2]]
                _add_lines(part, probe, alike, draws, classes, ledger, compute)
            else:
                rows = draws[cell.labels_per_class][cell.draw]
                predict = probe.fit(part.train.take(rows), classes, cell.draw, compute)
                ledger.add(cell, accuracy(predict, part.test))
        watch(index + 1, len(cells))


def _add_lines(
    part: Parts,
    head: Probe,
    cells: Sequence[Cell],
    draws: dict[LabelCount, list[Tensor]],
    classes: int,
    ledger: Ledger,
    compute: Compute,
) -> None:
    """Linear heads of all counts and draws at once; of all, even where some are done, so that a resume rounds alike."""
    labelled = [part.train.take(draws[cell.labels_per_class][cell.draw]) for cell in cells]
    lines = fit_each(head, labelled, classes, [cell.draw for cell in cells], compute)
    for cell, line in zip(cells, lines, strict=True):
        if cell not in ledger.done:
            ledger.add(cell, accuracy(line, part.test))


def _cells(readers: dict[str, list[Probe]], draws: dict[LabelCount, list[Tensor]]) -> Iterator[tuple[Cell, Probe]]:
    for count, several in draws.items():
        for features, probes in readers.items():
            for probe in probes:
                for draw in range(len(several)):
                    yield Cell(features, probe.name, count, draw), probe


def accuracy(predict: Predict, part: Codes | Images) -> float:
    """Share of rows whose most probable class is their label."""
    return float((predict(part).argmax(-1) == part.labels).double().mean())


def curve_rows(ledger: Ledger, data: str) -> list[dict[str, Any]]:
    """The ledger as result rows of this data set: one a representation, probe and count of labels."""
    groups: dict[tuple[str, str, LabelCount], list[Cell]] = {}
    for cell in ledger.done:
        groups.setdefault(cell[:3], []).append(cell)
    return [
        {
            "data": data,
            "split": "test",
            "features": features,
            "probe": probe,
            "labels_per_class": count,
            "metric": "accuracy",
            **summary([ledger.done[cell] for cell in sorted(cells, key=lambda cell: cell.draw)]),
        }
        for (features, probe, count), cells in groups.items()
    ]


def summary(values: list[float]) -> dict[str, Any]:
    """Mean, standard deviation, number and values; "interval" is the 95 % interval of the mean by Student's t."""
    mean, n = float(np.mean(values)), len(values)
    if n < 2:
        return {"mean": mean, "sd": None, "n": n, "values": values, "interval": None}
    sd = float(np.std(values, ddof=1))
    return {"mean": mean, "sd": sd, "n": n, "values": values, "interval": list(mean_interval(values))}


def difference_interval(first: Sequence[float], second: Sequence[float], *, paired: bool) -> tuple[float, float] | None:
    """95 % interval of mean(first) - mean(second): value by value, or Welch's; nothing with one value on a side."""
    if min(len(first), len(second)) < 2:
        return None
    if paired:
        return mean_interval(np.subtract(first, second).tolist())
    apart = float(np.mean(first) - np.mean(second))
    squares = [float(np.var(values, ddof=1)) / len(values) for values in (first, second)]
    if sum(squares) == 0:
        return apart, apart
    freedom = sum(squares) ** 2 / sum(s**2 / (len(v) - 1) for s, v in zip(squares, (first, second), strict=True))
    half = float(stats.t.ppf(0.975, freedom)) * sum(squares) ** 0.5
    return apart - half, apart + half


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the mean of two values or more by Student's t."""
    mean, n = float(np.mean(values)), len(values)
    half = float(stats.t.ppf(0.975, n - 1)) * float(np.std(values, ddof=1)) / n**0.5
    return mean - half, mean + half
