"""vaebench explore and vaebench compare: pages about finished runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from vaebench.cli.parser import add_command

EXPLORE = """\
One HTML file that opens from the disk, needs no network, and runs the decoder in the browser. `vaebench run` already
writes it beside the report.

Examples:
  vaebench explore runs/mnist
  vaebench explore runs/mnist --out mnist.html"""
COMPARE = """\
The page shows all scores, differences from the first run with their intervals, learning curves and losses, and every
field in which the recipes differ. Runs that differ in their seed alone are summarised together, with their spread.

Examples:
  vaebench compare runs/mnist runs/mnist-beta-4
  vaebench compare runs/a runs/b runs/c --out comparison.html"""


def add_parser(commands: Any) -> None:
    """Add explore and compare."""
    parser = add_command(commands, explore, "explore", "write the latent explorer of a run", EXPLORE)
    parser.add_argument("folder", metavar="RUN", help="folder of a run")
    parser.add_argument("--out", metavar="FILE", help="page to write (default: RUN/explorer.html)")

    parser = add_command(commands, compare, "compare", "compare finished runs on one page", COMPARE)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folders of two runs or more")
    parser.add_argument("--out", metavar="FILE", help="page (default: compare.html beside the first run)")
    parser.set_defaults(extras="more_runs")


def explore(args: argparse.Namespace) -> int:
    """Run ``vaebench explore``."""
    from vaebench.runs.report.report import EXPLORER
    from vaebench.runs.run import Run

    run = Run.load(args.folder)
    print(f"open {run.explore().write(Path(args.out or run.path / EXPLORER))}")
    return 0


def compare(args: argparse.Namespace) -> int:
    """Run ``vaebench compare``."""
    for word in args.more_runs:  # runs after an option
        if word.startswith("-"):
            args.parser.refuse(word)

    from vaebench.runs.report.compare import write_comparison

    page = Path(args.out or Path(args.runs[0]).parent / "compare.html")
    comparison = write_comparison([*args.runs, *args.more_runs], page)
    for index, group in enumerate(comparison.groups):
        scores = ", ".join(
            f"{score.name} {score.mean_and_sd(index)}" for score in comparison.scores[:1] + comparison.scores[-1:]
        )
        print(f"{group.name}: {scores}")
    for note in comparison.notes:
        print(f"note: {note}")
    print(f"open {page}")
    return 0
