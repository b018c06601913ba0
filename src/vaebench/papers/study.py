"""PaperStudy: the study of one paper, and what it found."""

from __future__ import annotations

from dataclasses import dataclass, field

from vaebench.papers.paper import Findings, Paper
from vaebench.studies.study import Study


@dataclass
class PaperStudy(Study):
    """One paper under one budget."""

    subject: Paper
    findings: Findings = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.findings = Findings(self.subject, self.budget)
        self.found = self.findings.found

    @property
    def paper(self) -> Paper:
        """The paper."""
        return self.subject
