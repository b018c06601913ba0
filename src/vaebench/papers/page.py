"""The results page of the papers, rendered from papers.json: reported and reproduced results side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vaebench.core.files import read_json
from vaebench.deprecated import upgrade_paper_row
from vaebench.experiments.info import BUDGETS, Budget
from vaebench.papers.paper import Paper

FOLDED = "Charts without numbers and further work, without a verdict"
VERDICTS = {True: "yes", False: "**no**", None: "-"}
BUDGET_DESCRIPTIONS: dict[Budget, str] = {
    "quick": "a few hundred images, to check that everything runs; the numbers mean nothing",
    "cpu": "other schedules and fewer epochs than the paper, all images, two CPU cores",
    "full": "the paper's epochs and sizes, on a GPU",
}

HEADER = """\
# Five papers: reported and reproduced results

This project began with the reproduction of five papers. `vaebench reproduce` runs them; this page is rendered from
[papers.json](papers.json), which the same command writes.

*Reported* is the paper's number, empty for a claim without one. *Reproduced* is the mean over *n* values (seeds, or
draws of labels where the row says so) with its standard deviation. *Agrees* is "yes" or "**no**", and "-" where no
verdict is possible; an accuracy agrees if it rounds to the reported per cent or is higher. Rows with the source *ours*
are not in the paper; we add them to explain a number or to improve on it. Losses are in nats per image, summed over
pixels and latents; beta is the weight of the KL on that scale. No choice was made on the test set.
"""


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read the rows of a ``papers.json``; rows of vaebench 0.1 get the keys and terms of today."""
    return [upgrade_paper_row(row) for row in read_json(path)]


def figure_file(paper: Paper, budget: Budget, name: str) -> str:
    """Path of a published figure, relative to the page."""
    return f"papers/{paper.short}-{budget}-{name}.png"


def page(papers: Mapping[str, Paper], rows: list[dict[str, Any]], made: dict[str, Any], out: Path) -> str:
    """Render the whole page as Markdown.

    Args:
        papers: papers by short name.
        rows: rows of ``papers.json``.
        made: contents of ``papers-made.json``.
        out: folder of the page; figures that are not in its folder ``papers`` are left out.
    """
    parts = [HEADER, _overview(papers, rows)]
    for short, paper in papers.items():
        own = [row for row in rows if row["paper"] == short]
        if own:
            parts.append(_paper(paper, own, made, out))
    return "\n".join(parts)


def _overview(papers: Mapping[str, Paper], rows: list[dict[str, Any]]) -> str:
    lines = ["| paper | budget | results | agree | disagree | no verdict |", "|---|---|---|---|---|---|"]
    for short, paper in papers.items():
        for budget in BUDGETS:
            verdicts = [row["agrees"] for row in rows if (row["paper"], row["budget"]) == (short, budget)]
            if verdicts:
                counts = " | ".join(str(verdicts.count(verdict)) for verdict in (True, False, None))
                lines.append(f"| {short}: {paper.title} | {budget} | {len(verdicts)} | {counts} |")
    return "\n".join(lines) + "\n"


def _paper(paper: Paper, rows: list[dict[str, Any]], made: dict[str, Any], out: Path) -> str:
    parts = [f"## {paper.short}. {paper.title}\n", paper.summary + "\n", "Deviations from the paper:\n"]
    parts.append("\n".join(f"- {deviation}" for deviation in paper.deviations) + "\n")
    for budget in BUDGETS:
        own = [row for row in rows if row["budget"] == budget]
        if own:
            parts.append(f"### {paper.short}, budget {budget}: {BUDGET_DESCRIPTIONS[budget]}\n")
            parts.append(_provenance(made.get(f"{paper.short} {budget}")))
            parts.append(_tables(own))
            parts.append(_figures(paper, budget, out))
    return "\n".join(parts)


def _provenance(record: dict[str, Any] | None) -> str:
    if record is None:
        return ""
    machine, commit = record["machine"], record["commit"]
    device = machine["gpu"] or f"{machine['cores']} cores of {machine['processor']}"
    at = f", commit {commit[:8]}{'+' if commit.endswith('+') else ''}" if commit else ""
    return (
        f"Run on {record['date']} in {record['seconds'] / 60:.0f} minutes on {device}, "
        f"{record['compute']['precision']} in training, torch {machine['versions']['torch']}{at}.\n"
    )


def _tables(rows: list[dict[str, Any]]) -> str:
    """One table for each kind of row; charts and further work without a verdict are folded."""
    parts = []
    for kind in ("Reported numbers", "Claims", "Additional results", FOLDED):
        table = _table(own) if (own := [row for row in rows if _kind(row) == kind]) else ""
        if table and kind == FOLDED:
            parts.append(f"<details><summary>{kind} ({len(own)})</summary>\n\n{table}\n</details>\n")
        elif table:
            parts.append(f"**{kind}**\n\n{table}")
    return "\n".join(parts)


def _kind(row: dict[str, Any]) -> str:
    if row["source"] == "ours":
        return "Additional results"
    if row["reported"] is not None:
        return "Reported numbers"
    return FOLDED if row["agrees"] is None else "Claims"


def _table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| source | quantity | reported | reproduced | n | agrees | explanation |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        reported = "" if row["reported"] is None else f"{row['reported']:g}"
        reproduced = "" if row["reproduced"] is None else format_number(row["reproduced"], row["reported"])
        if row["sd"] is not None:
            reproduced += f" ± {format_number(row['sd'], row['reported'])}"
        cells = (
            row["source"], row["quantity"], reported, reproduced, str(row["n"] or ""), VERDICTS[row["agrees"]],
            row["explanation"],
        )  # fmt: skip
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def format_number(value: float | int, like: float | int | None) -> str:
    """Format a number with the digits that are significant next to the reported number ``like``."""
    if value == int(value) and abs(value) < 1e6 and (like is None or like == int(like)):
        return f"{value:.0f}"
    size = max(abs(value), abs(like or 0.0))
    digits = 4 if size < 1 else 3 if size < 10 else 2 if size < 1000 else 0
    return f"{value:,.{digits}f}" if abs(value) >= 0.00005 or value == 0 else f"{value:.1e}"


def _figures(paper: Paper, budget: Budget, out: Path) -> str:
    files = {name: figure_file(paper, budget, name) for name in paper.captions}
    return "\n".join(
        f"![{name}]({file})\n\n*{paper.captions[name]}*\n" for name, file in files.items() if (out / file).exists()
    )
