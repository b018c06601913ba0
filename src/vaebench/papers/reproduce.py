"""reproduce(): papers run under a budget, their rows merged into papers.json, the page rendered from it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vaebench.core.errors import VaebenchError
from vaebench.core.files import atomic, read_json, write_json, write_text
from vaebench.core.locks import lock_folder
from vaebench.core.progress import ProgressCallback
from vaebench.core.provenance import commit
from vaebench.experiments.info import BUDGETS, Budget
from vaebench.papers.experiment import PaperExperiment
from vaebench.papers.page import page
from vaebench.papers.paper import Paper
from vaebench.papers.registry import PAPERS
from vaebench.training.compute import Compute, machine


def find_papers(name: str) -> list[Paper]:
    """The paper of this short or long name, or all of them.

    Raises:
        VaebenchError: there is no such paper.
    """
    if name == "all":
        return list(PAPERS.values())
    found = [paper for short, paper in PAPERS.items() if name.upper() == short or name == paper.name]
    if not found:
        known = ", ".join(f"{short} ({paper.name})" for short, paper in PAPERS.items())
        raise VaebenchError(f"there is no paper {name!r}; expected all, or one of {known}")
    return found


def study_folder(out: Path, paper: Paper, budget: Budget) -> Path:
    """Where the steps of one paper under one budget are kept."""
    return out / f"{paper.short}-{paper.name}" / budget


def minutes_left(papers: Sequence[Paper], budget: Budget, out: Path) -> tuple[float, float]:
    """Minutes that these papers take in all, and those of the steps that are done already."""
    whole = sum(paper.minutes[budget] for paper in papers)
    done = 0.0
    for paper in papers:
        for path in study_folder(out, paper, budget).rglob("*.json"):
            done += read_json(path)["seconds"] / 60
    return whole, done


def reproduce(
    papers: Sequence[Paper],
    budget: Budget,
    out: Path,
    *,
    seeds: int | None = None,
    callback: ProgressCallback = lambda tick: None,
) -> list[PaperExperiment]:
    """Run each paper's protocol, going on where an earlier call stopped, and write ``papers.json``, ``papers.md``,
    ``papers-made.json`` (machine, commit, seconds) and ``papers/*.png`` into ``out``.

    Raises:
        VaebenchError: data that cannot be had, or a folder in use.
        KeyboardInterrupt: Ctrl-C; what is done is kept.
    """
    experiments = []
    compute = Compute().resolve()
    for paper in papers:
        folder = study_folder(out, paper, budget)
        with lock_folder(folder):
            experiment, sources = PaperExperiment(paper, budget, folder, compute, callback, seeds), commit()
            paper.perform(experiment)
            _publish(experiment, out, sources)
        experiment.finish()
        experiments.append(experiment)
    return experiments


def _publish(experiment: PaperExperiment, out: Path, sources: str | None) -> None:
    """Put the rows and figures of one study, made by ``sources``, in the place of those of its paper and budget."""
    rows_file, made_file = out / "papers.json", out / "papers-made.json"
    rows: list[dict[str, Any]] = read_json(rows_file) if rows_file.exists() else []
    made: dict[str, Any] = read_json(made_file) if made_file.exists() else {}
    own = (experiment.paper.short, experiment.budget)
    rows = [row for row in rows if (row["paper"], row["budget"]) != own] + experiment.findings.in_order()
    rows.sort(key=lambda row: (row["paper"], BUDGETS.index(row["budget"])))
    if experiment.made or f"{own[0]} {own[1]}" not in made:
        made[f"{own[0]} {own[1]}"] = {
            "seconds": round(experiment.seconds, 1),
            "date": time.strftime("%Y-%m-%d"),
            "commit": sources,
            "machine": machine(),
            "compute": experiment.compute.model_dump(),
        }
    for name, image in experiment.drawn.items():
        with atomic(out / "papers" / figure_file(experiment, name)) as temporary:
            temporary.write_bytes(image)
    write_json(rows_file, rows)
    write_json(made_file, made)
    write_text(out / "papers.md", page(PAPERS, rows, made, out))


def figure_file(experiment: PaperExperiment, name: str) -> str:
    """The published name of a figure."""
    return f"{experiment.paper.short}-{experiment.budget}-{name}.png"
