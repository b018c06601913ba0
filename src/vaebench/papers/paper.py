"""Paper: the reported results of one paper, loaded from ``reported/NAME.toml``, and the function that runs its protocol."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vaebench.experiments.info import Budget

if TYPE_CHECKING:
    from vaebench.papers.experiment import PaperExperiment

Rule = Literal["at least", "at most", "about"]
HALF_A_POINT = 0.005
"""Accuracies are reported in whole per cent; a reproduced one agrees if it rounds to the reported one."""


@dataclass(frozen=True)
class ReportedResult:
    """One number or claim of a paper, or (source "ours") a quantity that we add to explain it or to compare with it."""

    source: str
    """Place in the paper, such as "Table 1"."""
    quantity: str
    """The measured quantity with its unit, or the claim."""
    reported: float | int | None = None
    """The paper's number; None for a claim without one."""
    rule: Rule = "at least"
    """How a reproduced value must compare with ``reported``."""
    tolerance: float | int = HALF_A_POINT
    """Allowed deviation: absolute, or relative to ``reported`` for "about"."""

    def agrees(self, reproduced: float) -> bool | None:
        """Return whether a reproduced value agrees with the reported one, or None if there is no reported number."""
        if self.reported is None:
            return None
        if self.rule == "about":
            return abs(reproduced - self.reported) <= self.tolerance * abs(self.reported)
        shortfall = self.reported - reproduced if self.rule == "at least" else reproduced - self.reported
        return shortfall <= self.tolerance


@dataclass(frozen=True)
class Paper:
    """One paper: its reported results, our deviations, the expected time, and its protocol."""

    short: str
    """A to E."""
    name: str
    """Long name, used for files and folders."""
    title: str
    summary: str
    """Two or three sentences for readers who do not know the paper."""
    deviations: tuple[str, ...]
    """Deviations from the paper's protocol, each with its reason."""
    minutes: dict[Budget, float | int]
    """Expected time: quick and cpu on two cores, full on one GPU."""
    reported_results: dict[str, ReportedResult]
    captions: dict[str, str]
    """Caption of every figure by name."""
    run: Callable[[PaperExperiment], None]
    """Runs the protocol: records every result and draws every figure."""

    @property
    def title_in_short(self) -> str:
        """Short and long name."""
        return f"{self.short} {self.name}"


def load_paper(name: str, run: Callable[[PaperExperiment], None]) -> Paper:
    """Load a paper from ``reported/NAME.toml``."""
    values = tomllib.loads((Path(__file__).parent / "reported" / f"{name}.toml").read_text(encoding="utf-8"))
    results = {key: ReportedResult(**result) for key, result in values.pop("results").items()}
    return Paper(name=name, deviations=tuple(values.pop("deviations")), reported_results=results, run=run, **values)
