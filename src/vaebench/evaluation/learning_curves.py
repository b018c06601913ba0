"""The learning curve over labels a class: saved draws x representations x probes, each cell done once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import torch
from jaxtyping import Int
from torch import Tensor

from vaebench.core.errors import VaebenchError
from vaebench.core.files import write_json
from vaebench.core.statistics import summary
from vaebench.data.images import HIDDEN, Images, balanced_draw
from vaebench.evaluation.batched_linear import are_linear_probes, fit_each
from vaebench.evaluation.features import Codes
from vaebench.evaluation.probes import Probe
from vaebench.training.compute import Compute
from vaebench.training.prediction import Predict

LabelCount = int | Literal["all"]


class FitKey(NamedTuple):
    """One fit: which representation, read by what, from which draw of labels."""

    features: str
    probe: str
    labels_per_class: LabelCount
    draw: int


@dataclass(frozen=True)
class ProbeData:
    """A representation's labelled parts: codes, or images for networks that read them."""

    train: Codes | Images | PartiallyLabelled[Codes] | PartiallyLabelled[Images]
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
class PartiallyLabelled(Generic[Whole]):
    """Images or codes to learn from, the labels of some given: taking rows hides the labels of all others."""

    whole: Whole

    def take(self, rows: Int[Tensor, " M"]) -> Whole:
        """All of them; only these rows keep their labels."""
        labels = torch.full_like(self.whole.labels, HIDDEN)
        labels[rows] = self.whole.labels[rows]
        return self.whole.with_labels(labels)


class FitLog:
    """Accuracies of the cells that are done, one JSON line each; a line cut off by a kill is done again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done: dict[FitKey, float] = {}
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
        whole = [line for line in lines if line.endswith("\n")]
        if len(whole) < len(lines):
            path.write_text("".join(whole), encoding="utf-8")
        for line in whole:
            try:
                record = json.loads(line)
                self.done[FitKey(*record["cell"])] = float(record["accuracy"])
            except (ValueError, KeyError, TypeError) as error:
                raise VaebenchError(
                    f"{path} holds a damaged line, {line[:60]!r}; delete the file to fit again"
                ) from error

    def add(self, cell: FitKey, accuracy: float) -> None:
        """Keep one cell's accuracy."""
        self.done[cell] = accuracy
        with self.path.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({"cell": list(cell), "accuracy": accuracy}) + "\n")


def learning_curve(
    parts: dict[str, ProbeData],
    readers: dict[str, list[Probe]],
    draws: dict[LabelCount, list[Int[Tensor, " M"]]],
    classes: int,
    *,
    ledger: FitLog,
    compute: Compute,
    callback: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Fit and score every cell that the ledger lacks: accuracy on the test part.

    Nothing is chosen here, so that the test part may be read at once.
    """
    cells = list(_cells(readers, draws))
    for index, (cell, probe) in enumerate(cells):
        if cell not in ledger.done:
            part = parts[cell.features]
            if are_linear_probes(probe, [part.train]):
                alike = [one for one, _ in cells if one[:2] == cell[:2]]
                _add_lines(part, probe, alike, draws, classes, ledger, compute)
            else:
                rows = draws[cell.labels_per_class][cell.draw]
                predict = probe.fit(part.train.take(rows), classes, cell.draw, compute)
                ledger.add(cell, accuracy(predict, part.test))
        callback(index + 1, len(cells))


def _add_lines(
    part: ProbeData,
    head: Probe,
    cells: Sequence[FitKey],
    draws: dict[LabelCount, list[Tensor]],
    classes: int,
    ledger: FitLog,
    compute: Compute,
) -> None:
    """Linear heads of all counts and draws at once; of all, even where some are done, so that a resume rounds alike."""
    labelled = [part.train.take(draws[cell.labels_per_class][cell.draw]) for cell in cells]
    lines = fit_each(head, labelled, classes, [cell.draw for cell in cells], compute)
    for cell, line in zip(cells, lines, strict=True):
        if cell not in ledger.done:
            ledger.add(cell, accuracy(line, part.test))


def _cells(readers: dict[str, list[Probe]], draws: dict[LabelCount, list[Tensor]]) -> Iterator[tuple[FitKey, Probe]]:
    for count, several in draws.items():
        for features, probes in readers.items():
            for probe in probes:
                for draw in range(len(several)):
                    yield FitKey(features, probe.name, count, draw), probe


def accuracy(predict: Predict, part: Codes | Images) -> float:
    """Share of rows whose most probable class is their label."""
    return float((predict(part).argmax(-1) == part.labels).double().mean())


def curve_rows(ledger: FitLog, data: str) -> list[dict[str, Any]]:
    """The ledger as result rows of this data set: one a representation, probe and count of labels."""
    groups: dict[tuple[str, str, LabelCount], list[FitKey]] = {}
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
