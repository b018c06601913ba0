"""The experiment of one paper and the results that it reproduces."""

from __future__ import annotations

from dataclasses import dataclass, field

from vaebench.experiments.experiment import Experiment
from vaebench.papers.paper import Paper, ReproducedResults


@dataclass
class PaperExperiment(Experiment):
    """The protocol of one paper under one budget."""

    info: Paper
    findings: ReproducedResults = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.findings = ReproducedResults(self.info, self.budget)
        self.found = self.findings.found

    @property
    def paper(self) -> Paper:
        """The paper."""
        return self.info
