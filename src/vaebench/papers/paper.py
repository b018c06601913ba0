"""Paper: what one paper promised and how its protocol is run. Row: one promise beside what was found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from vaebench.experiments.info import Budget

if TYPE_CHECKING:
    from vaebench.papers.experiment import PaperExperiment

Rule = Literal["at least", "at most", "about"]
HALF_A_POINT = 0.005
"""Accuracies are printed in whole per cent, so a found one that rounds to the printed one meets it."""


def in_epochs(count: int) -> str:
    """So many epochs in words: "1 epoch", "3 epochs"."""
    return f"{count} epoch{'' if count == 1 else 's'}"


@dataclass(frozen=True)
class ReportedResult:
    """One printed number or claim of a paper, or (``ours``) a number that it did not print and we add."""

    where: str
    """Its place in the paper, such as "Table 1"."""
    what: str
    """What is measured, with its unit, or the claim as the paper makes it."""
    printed: float | int | None = None
    """The printed number; none for a claim without one."""
    rule: Rule = "at least"
    """When a found number meets the printed one."""
    tolerance: float | int = HALF_A_POINT
    """How far it may miss: absolute, or a share of the printed number for "about"."""

    def met(self, found: float) -> bool | None:
        """Whether the number found meets the printed one; none where nothing was printed."""
        if self.printed is None:
            return None
        if self.rule == "about":
            return abs(found - self.printed) <= self.tolerance * abs(self.printed)
        short = self.printed - found if self.rule == "at least" else found - self.printed
        return short <= self.tolerance


class Row(NamedTuple):
    """One line of ``papers.json``."""

    paper: str
    where: str
    what: str
    printed: float | None
    found: float | None
    sd: float | None
    """Standard deviation over seeds (or draws, where the row says so)."""
    n: int
    """How many values ``found`` is the mean of."""
    budget: Budget
    holds: bool | None
    """Whether the promise holds; none where no verdict is possible."""
    why: str
    """One sentence: the figures behind a verdict on a claim, or why a printed number was missed."""


@dataclass(frozen=True)
class Paper:
    """One paper: its reported results, our deviations, the time to expect, and its protocol."""

    short: str
    """A to E."""
    name: str
    """Its subject, as its file is named."""
    title: str
    summary: str
    """Two or three sentences for a reader who never saw it."""
    deviations: tuple[str, ...]
    """What we do otherwise, each with its reason."""
    minutes: dict[Budget, float | int]
    """Time to expect: quick and cpu on two cores, full on one GPU."""
    reported_results: dict[str, ReportedResult]
    captions: dict[str, str]
    """Every figure by name, with what to see in it."""
    perform: Callable[[PaperExperiment], None]
    """Runs the protocol: fills every promise and draws every figure."""

    @property
    def title_in_short(self) -> str:
        """Short and long name."""
        return f"{self.short} {self.name}"


@dataclass
class ReproducedResults:
    """The rows of one paper under one budget, in the order of its reported results."""

    paper: Paper
    budget: Budget
    rows: dict[str, Row] = field(default_factory=dict)

    def found(
        self,
        key: str,
        values: float | int | Sequence[float | int] | None,
        *,
        holds: bool | Literal["by rule"] | None = "by rule",
        why: str = "",
    ) -> None:
        """Fill a promise: a value a seed, or one; the verdict is the promise's rule unless given.

        Raises:
            KeyError: the paper has no such promise.
            ValueError: the promise was filled before, or it fails or is a claim and ``why`` is empty.
        """
        promise = self.paper.reported_results[key]
        if key in self.rows:
            raise ValueError(f"promise {key!r} of paper {self.paper.short} is filled twice")
        numbers = [] if values is None else [float(v) for v in np.atleast_1d(np.asarray(values, dtype=float))]
        mean = float(np.mean(numbers)) if numbers else None
        sd = float(np.std(numbers, ddof=1)) if len(numbers) > 1 else None
        verdict = (promise.met(mean) if mean is not None else None) if holds == "by rule" else holds
        if not why and verdict is not True:
            raise ValueError(f"promise {key!r} of paper {self.paper.short} does not hold by number: say why")
        self.rows[key] = Row(
            self.paper.short,
            promise.where,
            promise.what,
            promise.printed,
            mean,
            sd,
            len(numbers),
            self.budget,
            verdict,
            why,
        )

    def in_order(self) -> list[dict[str, Any]]:
        """Every row as a JSON object, in the order of the reported results.

        Raises:
            ValueError: a promise was not filled.
        """
        if missing := [key for key in self.paper.reported_results if key not in self.rows]:
            raise ValueError(f"paper {self.paper.short} left reported results unfilled: {', '.join(missing)}")
        return [self.rows[key]._asdict() for key in self.paper.reported_results]
