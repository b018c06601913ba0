"""The page of the papers, rendered from papers.json: promised beside found."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vaebench.experiments.info import BUDGETS, Budget
from vaebench.papers.paper import Paper

VERDICTS = {True: "yes", False: "**no**", None: "-"}
BUDGET_WORDS: dict[Budget, str] = {
    "quick": "a miniature on a few hundred images, which shows that everything runs; its numbers mean nothing",
    "cpu": "better schedules and fewer epochs than printed, on all images, on two processor cores",
    "full": "the printed epochs and sizes, on a GPU",
}

HEADER = """\
# Five papers, promised beside found

Five papers founded this project. Each was run by `vaebench reproduce`; this page is rendered from
[papers.json](papers.json), which the same command wrote.

How to read the tables: *printed* is the paper's number, empty for a claim in words; *found* is the mean over *n*
values (seeds, or draws of labels where the row says so) with its standard deviation; *holds* is "yes" or "**no**",
and "-" where no verdict is possible. An accuracy holds if it rounds to the printed per cent or better. A row whose
place is *ours* was not in the paper: we add it to explain a number or to beat it. Losses are in nats per image,
summed over pixels and latents; beta is the weight of the KL on that scale. The test set chose nothing.
"""


def page(papers: Mapping[str, Paper], rows: list[dict[str, Any]], made: dict[str, Any], out: Path) -> str:
    """The whole page as Markdown."""
    parts = [HEADER, _overview(papers, rows)]
    for short, paper in papers.items():
        own = [row for row in rows if row["paper"] == short]
        if own:
            parts.append(_paper(paper, own, made, out))
    return "\n".join(parts)


def _overview(papers: Mapping[str, Paper], rows: list[dict[str, Any]]) -> str:
    lines = ["| paper | budget | reported results | hold | do not | no verdict |", "|---|---|---|---|---|---|"]
    for short, paper in papers.items():
        for budget in BUDGETS:
            own = [row["holds"] for row in rows if (row["paper"], row["budget"]) == (short, budget)]
            if own:
                counts = " | ".join(str(own.count(verdict)) for verdict in (True, False, None))
                lines.append(f"| {short}: {paper.title} | {budget} | {len(own)} | {counts} |")
    return "\n".join(lines) + "\n"


def _paper(paper: Paper, rows: list[dict[str, Any]], made: dict[str, Any], out: Path) -> str:
    parts = [f"## {paper.short}. {paper.title}\n", paper.summary + "\n", "What we do otherwise, and why:\n"]
    parts.append("\n".join(f"- {deviation}" for deviation in paper.deviations) + "\n")
    for budget in BUDGETS:
        own = [row for row in rows if row["budget"] == budget]
        if own:
            parts.append(f"### {paper.short}, budget {budget}: {BUDGET_WORDS[budget]}\n")
            parts.append(_made(made.get(f"{paper.short} {budget}")))
            parts.append(_tables(own))
            parts.append(_figures(paper, budget, out))
    return "\n".join(parts)


def _made(record: dict[str, Any] | None) -> str:
    if record is None:
        return ""
    machine, commit = record["machine"], record["commit"]
    where = machine["gpu"] or f"{machine['cores']} cores of {machine['processor']}"
    at = f", commit {commit[:8]}{'+' if commit.endswith('+') else ''}" if commit else ""
    return (
        f"Made on {record['date']} in {record['seconds'] / 60:.0f} minutes on {where}, "
        f"{record['compute']['precision']} in training, torch {machine['versions']['torch']}{at}.\n"
    )


def _tables(rows: list[dict[str, Any]]) -> str:
    """Printed numbers, claims, what we add; charts and wishes without a verdict are folded away."""
    kinds: dict[str, list[dict[str, Any]]] = {"printed": [], "claims": [], "ours": [], "open": []}
    for row in rows:
        if row["where"] == "ours":
            kinds["ours"].append(row)
        elif row["printed"] is not None:
            kinds["printed"].append(row)
        else:
            kinds["open" if row["holds"] is None else "claims"].append(row)
    titles = {"printed": "Printed numbers", "claims": "Claims", "ours": "What we add"}
    parts = [f"**{title}**\n\n{_table(kinds[kind])}" for kind, title in titles.items() if kinds[kind]]
    if kinds["open"]:
        words = f"Charts without numbers and further work, without a verdict ({len(kinds['open'])})"
        parts.append(f"<details><summary>{words}</summary>\n\n{_table(kinds['open'])}\n</details>\n")
    return "\n".join(parts)


def _table(rows: list[dict[str, Any]]) -> str:
    lines = ["| where | what | printed | found | n | holds | why |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        found = "" if row["found"] is None else number(row["found"], row["printed"])
        spread = "" if row["sd"] is None else f" ± {number(row['sd'], row['printed'])}"
        printed = "" if row["printed"] is None else f"{row['printed']:g}"
        cells = (
            row["where"], row["what"], printed, found + spread, str(row["n"] or ""), VERDICTS[row["holds"]], row["why"]
        )  # fmt: skip
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def number(value: float | int, like: float | int | None) -> str:
    """A number with as many digits as are worth reading beside the printed one."""
    if value == int(value) and abs(value) < 1e6 and (like is None or like == int(like)):
        return f"{value:.0f}"
    size = max(abs(value), abs(like or 0.0))
    digits = 4 if size < 1 else 3 if size < 10 else 2 if size < 1000 else 0
    return f"{value:,.{digits}f}" if abs(value) >= 0.00005 or value == 0 else f"{value:.1e}"


def _figures(paper: Paper, budget: Budget, out: Path) -> str:
    parts = []
    for name, caption in paper.captions.items():
        file = f"papers/{paper.short}-{budget}-{name}.png"
        if (out / file).exists():
            parts.append(f"![{name}]({file})\n\n*{caption}*\n")
    return "\n".join(parts)
