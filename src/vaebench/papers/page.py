"""The results page of the papers, rendered from papers.json: reported and reproduced results side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from vaebench.core.files import read_json
from vaebench.deprecated import upgrade_paper_row
from vaebench.experiments.info import BUDGETS, Budget
from vaebench.papers.paper import Paper

KINDS = (
    "Reported numbers",
    "Claims",
    "Additional results",
    "Charts without numbers and further work, without a verdict",
)
"""Kinds of rows; each has its own table, and the last one is folded."""
VERDICTS = {True: "yes", False: "**no**", None: "-"}
BUDGET_DESCRIPTIONS: dict[Budget, str] = {
    "quick": "a few hundred images, to check that everything runs; the numbers mean nothing",
    "cpu": "other schedules and fewer epochs than the paper, all images, two CPU cores",
    "full": "the paper's epochs and sizes, on a GPU",
}


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read the rows of a ``papers.json``; rows of vaebench 0.1 get the keys and terms of today."""
    return [upgrade_paper_row(row) for row in read_json(path)]


def page(papers: Mapping[str, Paper], rows: list[dict[str, Any]], made: dict[str, Any], out: Path) -> str:
    """Render the whole page as Markdown.

    Args:
        papers: papers by short name.
        rows: rows of ``papers.json``.
        made: contents of ``papers-made.json``.
        out: folder of the page; figures that are not in its folder ``papers`` are left out.
    """
    sections = []
    for short, paper in papers.items():
        for budget in BUDGETS:
            own = [row for row in rows if (row["paper"], row["budget"]) == (short, budget)]
            if own:
                sections.append((paper, budget, own))
    loader = PackageLoader("vaebench.papers", "")
    environment = Environment(loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.get_template("page.md.j2").render(
        sections=sections,
        made=made,
        budgets=BUDGET_DESCRIPTIONS,
        kinds=KINDS,
        table_lines=_table_lines,
        exists=lambda file: (out / file).exists(),
    )


def _table_lines(rows: list[dict[str, Any]], kind: str) -> list[str]:
    """Lines of the table of one kind."""
    lines = []
    for row in rows:
        if _kind(row) != kind:
            continue
        reported = "" if row["reported"] is None else f"{row['reported']:g}"
        reproduced = "" if row["reproduced"] is None else format_number(row["reproduced"], row["reported"])
        if row["sd"] is not None:
            reproduced += f" ± {format_number(row['sd'], row['reported'])}"
        cells = (
            row["source"], row["quantity"], reported, reproduced, str(row["n"] or ""), VERDICTS[row["agrees"]],
            row["explanation"],
        )  # fmt: skip
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return lines


def _kind(row: dict[str, Any]) -> str:
    if row["source"] == "ours":
        return "Additional results"
    if row["reported"] is not None:
        return "Reported numbers"
    return KINDS[-1] if row["agrees"] is None else "Claims"


def format_number(value: float | int, like: float | int | None) -> str:
    """Format a number with the digits that are significant next to the reported number ``like``."""
    if value == int(value) and abs(value) < 1e6 and (like is None or like == int(like)):
        return f"{value:.0f}"
    size = max(abs(value), abs(like or 0.0))
    digits = 4 if size < 1 else 3 if size < 10 else 2 if size < 1000 else 0
    return f"{value:,.{digits}f}" if abs(value) >= 0.00005 or value == 0 else f"{value:.1e}"
