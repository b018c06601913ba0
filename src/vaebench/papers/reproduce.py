"""reproduce(): run papers under a budget, merge their results into papers.json, and render the page from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vaebench.core.errors import VaebenchError
from vaebench.core.files import read_json, write_json, write_text
from vaebench.core.locks import lock_folder
from vaebench.core.progress import ProgressCallback
from vaebench.core.provenance import commit
from vaebench.core.time_left import seconds_done, with_time_left
from vaebench.core.workers import Executor
from vaebench.experiments.info import BUDGETS, Budget
from vaebench.papers.experiment import PaperExperiment, PaperResult, run_in_worker
from vaebench.papers.page import page, read_rows
from vaebench.papers.paper import Paper
from vaebench.papers.registry import PAPERS
from vaebench.training.sharing import divide_work


def find_papers(name: str) -> list[Paper]:
    """Return the paper with this short or long name, or all of them.

    Raises:
        VaebenchError: there is no such paper.
    """
    if name == "all":
        return list(PAPERS.values())
    papers = [paper for short, paper in PAPERS.items() if name.upper() == short or name == paper.name]
    if not papers:
        known = ", ".join(f"{short} ({paper.name})" for short, paper in PAPERS.items())
        raise VaebenchError(f"there is no paper {name!r}; expected all, or one of {known}")
    return papers


def experiment_folder(out: Path, paper: Paper, budget: Budget) -> Path:
    """Folder in which the steps of one paper under one budget are kept."""
    return out / f"{paper.short}-{paper.name}" / budget


def minutes_left(papers: Sequence[Paper], budget: Budget, out: Path) -> tuple[float, float]:
    """Return the expected minutes of these papers in all, and the minutes of the steps that are already done."""
    total = float(sum(paper.minutes[budget] for paper in papers))
    done = sum(seconds_done(experiment_folder(out, paper, budget)) for paper in papers) / 60
    return total, done


def reproduce(
    papers: Sequence[Paper],
    budget: Budget,
    out: Path,
    *,
    seeds: int | None = None,
    callback: ProgressCallback = lambda event: None,
    executor: Executor | None = None,
) -> list[PaperExperiment]:
    """Run the protocols of ``papers``, resuming an interrupted call, and write ``papers.json``, ``papers.md``,
    ``papers-made.json`` (machine, commit, seconds) and ``papers/*.png`` into ``out``. On several cores, single-threaded
    processes share the work.

    Args:
        executor: the workers, see :func:`vaebench.training.sharing.divide_work`.

    Raises:
        VaebenchError: data cannot be obtained, or a folder is in use.
        KeyboardInterrupt: after Ctrl-C; finished steps are kept.
    """
    experiments, division = [], divide_work(executor=executor)
    for number, paper in enumerate(papers):
        folder = experiment_folder(out, paper, budget)
        with lock_folder(folder):
            source_commit = commit()
            further = sum(later.minutes[budget] for later in papers[number + 1 :])
            report = with_time_left(callback, folder, paper.minutes[budget], further)
            experiment = PaperExperiment(paper, budget, folder, division.compute, report, seeds, division.workers)
            arguments = (folder.resolve(), paper, budget, division.compute, seeds, division.workers)
            _collect(experiment, division.run(run_in_worker, arguments, report))
            _publish(experiment, out, source_commit)
        experiment.finish()
        experiments.append(experiment)
    return experiments


def _collect(experiment: PaperExperiment, results: list[PaperResult]) -> None:
    """Take rows and figures from the workers, which found the same, and the steps that each computed."""
    experiment.rows, experiment.figures.images = results[0].rows, results[0].images
    for result in results:
        experiment.cache.add(result.steps)


def _publish(experiment: PaperExperiment, out: Path, source_commit: str | None) -> None:
    """Replace the published rows and figures of the experiment's paper and budget."""
    rows_file, made_file = out / "papers.json", out / "papers-made.json"
    rows = read_rows(rows_file) if rows_file.exists() else []
    made: dict[str, Any] = read_json(made_file) if made_file.exists() else {}
    short, budget = experiment.paper.short, experiment.budget
    rows = [row for row in rows if (row["paper"], row["budget"]) != (short, budget)] + experiment.result_rows()
    rows.sort(key=lambda row: (row["paper"], BUDGETS.index(row["budget"])))
    if experiment.computed or f"{short} {budget}" not in made:
        made[f"{short} {budget}"] = experiment.provenance(source_commit)
    experiment.figures.publish(out / "papers", f"{short}-{budget}-")
    write_json(rows_file, rows)
    write_json(made_file, made)
    write_text(out / "papers.md", page(PAPERS, rows, made, out))
