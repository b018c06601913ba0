"""PaperExperiment: the reproduction of one paper under one budget, and its results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from vaebench.core.steps import StepReport
from vaebench.core.workers import Worker
from vaebench.experiments.experiment import Experiment
from vaebench.experiments.info import Budget
from vaebench.papers.paper import Paper
from vaebench.training.sharing import check_shared


class ResultRow(NamedTuple):
    """One row of ``papers.json``: a reported result and its reproduction."""

    paper: str
    source: str
    quantity: str
    reported: float | None
    reproduced: float | None
    """Mean over ``n`` values."""
    sd: float | None
    """Standard deviation over seeds (or draws of labels, where the quantity or explanation says so)."""
    n: int
    budget: Budget
    agrees: bool | None
    """Verdict; None where none is possible."""
    explanation: str
    """The numbers behind the verdict on a claim, or the reason why a reported number was missed."""


@dataclass
class PaperExperiment(Experiment):
    """Experiment that reproduces one paper."""

    info: Paper
    rows: dict[str, ResultRow] = field(init=False, default_factory=dict)
    """Recorded results by the keys of ``paper.reported_results``."""

    @property
    def paper(self) -> Paper:
        """The paper that is reproduced."""
        return self.info

    def record(
        self,
        key: str,
        values: float | int | Sequence[float | int] | None,
        explanation: str = "",
        *,
        agrees: bool | Literal["by rule"] | None = "by rule",
    ) -> None:
        """Record the reproduction of a reported result.

        Args:
            key: key of the reported result.
            values: one value, or one per seed; None if it was not measured.
            explanation: see :class:`ResultRow`.
            agrees: the verdict; by default it follows from the rule of the reported result, and is None without a
                reported number.

        Raises:
            KeyError: the paper has no such result.
            ValueError: the result was recorded before, or its verdict is not True and ``explanation`` is empty.
        """
        expected = self.paper.reported_results[key]
        if key in self.rows:
            raise ValueError(f"result {key!r} of paper {self.paper.short} is recorded twice")
        numbers = [] if values is None else [float(v) for v in np.atleast_1d(np.asarray(values, dtype=float))]
        mean = float(np.mean(numbers)) if numbers else None
        sd = float(np.std(numbers, ddof=1)) if len(numbers) > 1 else None
        if agrees == "by rule":
            agrees = None if mean is None else expected.agrees(mean)
        if not explanation and agrees is not True:
            raise ValueError(f"result {key!r} of paper {self.paper.short} does not agree by number: explain it")
        self.rows[key] = ResultRow(
            self.paper.short, expected.source, expected.quantity, expected.reported, mean, sd, len(numbers),
            self.budget, agrees, explanation,
        )  # fmt: skip

    def result_rows(self) -> list[dict[str, Any]]:
        """Every row as a JSON object, in the order of the reported results.

        Raises:
            ValueError: a result was not recorded.
        """
        if missing := [key for key in self.paper.reported_results if key not in self.rows]:
            raise ValueError(f"paper {self.paper.short} has results that were not recorded: {', '.join(missing)}")
        return [self.rows[key]._asdict() for key in self.paper.reported_results]


class PaperResult(NamedTuple):
    """What each worker finds when all steps of a paper are done."""

    rows: dict[str, ResultRow]
    images: dict[str, bytes]
    """PNG bytes of the figures."""
    steps: StepReport


def run_in_worker(worker: Worker, folder: Path, paper: Paper, *settings: Any) -> PaperResult:
    """Run the protocol of a paper as one of the workers that share its steps.

    Args:
        settings: budget, compute, requested seeds and number of workers.
    """
    check_shared(folder)
    budget, compute, seeds, workers = settings
    experiment = PaperExperiment(paper, budget, folder, compute, worker.report, seeds, workers)
    paper.run(experiment)
    return PaperResult(experiment.rows, experiment.figures.images, experiment.cache.report)
