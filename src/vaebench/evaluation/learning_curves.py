"""Learning curves: accuracy by labels per class, for every representation, probe and draw of labels."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import torch
from jaxtyping import Int
from torch import Tensor

from vaebench.core.errors import VaebenchError
from vaebench.core.files import write_json
from vaebench.core.statistics import summary
from vaebench.data.draws import balanced_draw
from vaebench.data.images import HIDDEN, Images
from vaebench.deprecated import upgrade_fit_record
from vaebench.evaluation.batched_linear import are_linear_probes, fit_each
from vaebench.evaluation.features import Codes
from vaebench.evaluation.probes import Probe
from vaebench.training.compute import Compute
from vaebench.training.prediction import Predict

LabelCount = int | Literal["all"]
LabelDraws = dict[LabelCount, list[Int[Tensor, " M"]]]
"""Labelled rows of the training part, for each number of labels per class and each draw."""


class FitKey(NamedTuple):
    """Identity of a fit: representation, probe, number of labels per class, draw of labels."""

    features: str
    probe: str
    labels_per_class: LabelCount
    draw: int


@dataclass(frozen=True)
class ProbeData:
    """Training and test part of a representation: codes, or images for networks on images."""

    train: Codes | Images | PartiallyLabelled[Codes] | PartiallyLabelled[Images]
    test: Codes | Images


def label_draws(labels: Int[Tensor, " N"], counts: Iterable[LabelCount], draws: int, seed: int) -> LabelDraws:
    """Draw balanced labelled rows for each number of labels per class; "all" is a single draw of all rows.

    Counts larger than the smallest class are left out.
    """
    smallest = int(labels.bincount().min())
    rows: LabelDraws = {}
    for count in counts:
        if count == "all":
            rows[count] = [torch.arange(len(labels))]
        elif count <= smallest:
            rows[count] = [balanced_draw(labels, count, (seed, draw)) for draw in range(draws)]
    return rows


def save_draws(path: Path, draws: LabelDraws) -> None:
    """Write the rows of every draw, except of "all", as JSON."""
    numbered = {count: rows_by_draw for count, rows_by_draw in draws.items() if count != "all"}
    write_json(path, {str(count): [rows.tolist() for rows in numbered[count]] for count in numbered})


Source = TypeVar("Source", Codes, Images)


@dataclass(frozen=True)
class PartiallyLabelled(Generic[Source]):
    """Images or codes for semi-supervised probes: ``take`` keeps all rows and hides the labels of the others."""

    source: Source

    def take(self, rows: Int[Tensor, " M"]) -> Source:
        """All rows, with the labels of ``rows`` alone."""
        labels = torch.full_like(self.source.labels, HIDDEN)
        labels[rows] = self.source.labels[rows]
        return self.source.with_labels(labels)


class FitLog:
    """Accuracies of finished fits, one JSON line each.

    Args:
        shared: whether other processes add lines. If not, an incomplete last line, left by an interrupted process, is
            dropped.
    """

    def __init__(self, path: Path, shared: bool = False) -> None:
        self.path, self.shared = path, shared
        self.done: dict[FitKey, float] = {}
        self.read()

    def read(self) -> None:
        """Read the file, which other processes may have changed."""
        path = self.path
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
        complete = [line for line in lines if line.endswith("\n")]
        if len(complete) < len(lines) and not self.shared:
            path.write_text("".join(complete), encoding="utf-8")
        for line in complete:
            try:
                record = upgrade_fit_record(json.loads(line))
                self.done[FitKey(*record["fit"])] = float(record["accuracy"])
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                reason = f"{path} has a damaged line, {line[:60]!r}; delete the file to fit again"
                raise VaebenchError(reason) from error

    def add(self, fit: FitKey, accuracy: float) -> None:
        """Append the accuracy of one fit."""
        self.done[fit] = accuracy
        with self.path.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({"fit": list(fit), "accuracy": accuracy}) + "\n")


def learning_curve(
    data: dict[str, ProbeData],
    probes: dict[str, list[Probe]],
    draws: LabelDraws,
    classes: int,
    *,
    log: FitLog,
    compute: Compute,
    callback: Callable[[int, int], None] = lambda done, total: None,
    claim: Callable[[FitKey], AbstractContextManager[bool]] = lambda fit: nullcontext(True),
) -> None:
    """Run every fit that ``log`` does not have yet and add its test accuracy. Nothing is selected by these accuracies.

    ``data`` and ``probes`` are given by the name of the representation; ``callback`` receives the numbers of finished
    and of all fits. ``claim`` is entered around each fit, or the first of several that are made together, and yields
    False if another process makes it.
    """

    def labelled(fit: FitKey) -> Any:
        return data[fit.features].train.take(draws[fit.labels_per_class][fit.draw])

    fits = [
        (FitKey(features, probe.name, count, draw), probe)
        for count, rows_by_draw in draws.items()
        for features, probes_of_features in probes.items()
        for probe in probes_of_features
        for draw in range(len(rows_by_draw))
    ]
    left_to_others: set[FitKey] = set()
    for index, (fit, probe) in enumerate(fits):
        if fit not in log.done and fit not in left_to_others:
            # All counts and draws of a linear probe at once, even if some are done: a resumed run then rounds alike.
            batched = are_linear_probes(probe, [data[fit.features].train])
            together = [other for other, _ in fits if other[:2] == fit[:2]] if batched else [fit]
            with claim(fit) as claimed:
                log.read()
                missing = [other for other in together if other not in log.done]
                if claimed and missing:
                    seeds = [other.draw for other in together]
                    predictors = fit_each(probe, [labelled(other) for other in together], classes, seeds, compute)
                    for other, predict in zip(together, predictors, strict=True):
                        if other in missing:
                            log.add(other, accuracy(predict, data[fit.features].test))
                elif missing:
                    left_to_others.update(together)
        callback(index + 1, len(fits))
    order = {fit: place for place, (fit, _) in enumerate(fits)}  # whichever process was first
    log.done = dict(sorted(log.done.items(), key=lambda item: order.get(item[0], len(order))))


def accuracy(predict: Predict, part: Codes | Images) -> float:
    """Fraction of rows whose most probable class is their label."""
    return float((predict(part).argmax(-1) == part.labels).double().mean())


def curve_rows(log: FitLog, data: str) -> list[dict[str, Any]]:
    """Result rows of the data set named ``data``: one for each representation, probe and number of labels."""
    groups: dict[tuple[str, str, LabelCount], list[FitKey]] = {}
    for fit in log.done:
        groups.setdefault(fit[:3], []).append(fit)
    return [
        {
            "data": data,
            "split": "test",
            "features": features,
            "probe": probe,
            "labels_per_class": count,
            "metric": "accuracy",
            **summary([log.done[fit] for fit in sorted(fits, key=lambda fit: fit.draw)]),
        }
        for (features, probe, count), fits in groups.items()
    ]
