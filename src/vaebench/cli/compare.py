"""vaebench compare: several runs side by side."""

from __future__ import annotations

from pathlib import Path

from vaebench.cli.options import option
from vaebench.core.errors import VaebenchError


def compare(words: list[str]) -> int:
    """The command."""
    words, out = option(words, "--out")
    if flags := [word for word in words if word.startswith("-")]:
        raise VaebenchError(f"vaebench compare takes the folders of runs and --out, not {flags[0]!r}")

    from vaebench.runs.report.compare import write_comparison

    page = Path(out) if out else Path(words[0]).parent / "compare.html"
    found = write_comparison(words, page)
    for index, group in enumerate(found.groups):
        scores = ", ".join(f"{score.name} {score.mean_and_sd(index)}" for score in found.scores[:1] + found.scores[-1:])
        print(f"{group.name}: {scores}")
    for note in found.notes:
        print(f"note: {note}")
    print(f"open {page}")
    return 0
