"""vaebench explore: the latent explorer of a run, one page that opens from the disk."""

from __future__ import annotations

from pathlib import Path

from vaebench.cli.options import option
from vaebench.core.errors import VaebenchError


def explore(words: list[str]) -> int:
    """The command."""
    words, out = option(words, "--out")
    if len(words) != 1 or words[0].startswith("-"):
        raise VaebenchError(f"vaebench explore takes the folder of one run, not {' '.join(words) or 'nothing'!r}")

    from vaebench.runs.report.report import EXPLORER
    from vaebench.runs.run import Run

    run = Run.load(words[0])
    page = run.explore().write(Path(out) if out else run.path / EXPLORER)
    print(f"open {page}")
    return 0
