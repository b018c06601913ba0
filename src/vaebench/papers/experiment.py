"""PaperStudy: the study of one paper, and what it found."""

from __future__ import annotations

from dataclasses import dataclass, field

from vaebench.experiments.experiment import Experiment
from vaebench.papers.paper import Paper, ReproducedResults


@dataclass
class PaperExperiment(Experiment):
    """One paper under one budget."""

    subject: Paper
    findings: ReproducedResults = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.findings = ReproducedResults(self.subject, self.budget)
        self.found = self.findings.found

    @property
    def paper(self) -> Paper:
        """The paper."""
        return self.subject
