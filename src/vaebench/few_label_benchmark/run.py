"""run_benchmark(): run the few-label benchmark and write its JSON files, page and figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from vaebench.core.files import read_json, write_json, write_text
from vaebench.core.locks import lock_folder
from vaebench.core.progress import ProgressCallback
from vaebench.core.provenance import commit
from vaebench.core.steps import Arrays, StepReport
from vaebench.core.time_left import seconds_done, with_time_left
from vaebench.core.workers import Executor, Worker
from vaebench.experiments.experiment import Experiment
from vaebench.experiments.info import Budget
from vaebench.few_label_benchmark.benchmark import Benchmark
from vaebench.few_label_benchmark.page import draw_figures, render_page
from vaebench.training.compute import Compute
from vaebench.training.sharing import check_shared, divide_work


class BenchmarkInfo:
    """Title, expected time and figure captions."""

    title_in_short = "few labels"
    minutes: Mapping[Budget, float | int] = {"quick": 1, "cpu": 315, "full": 600}
    """On two cores; the full budget on one GPU."""
    captions: Mapping[str, str] = {
        "learning-curves": "Test accuracy by labels per class: means over draws, with 95 % intervals.",
        "generation": "Test images, and reconstructions and samples of three VAEs: before self-training, after it from "
        "10 labels per class, after it without the generative term. No image is hand-picked.",
        "parts": "Effect of each component: the full method minus the full method without the component, paired by "
        "draw, means of 5 draws with 95 % intervals. Right of 0 the component helps.",
    }


class BenchmarkResult(NamedTuple):
    """What each worker finds when all steps are done."""

    rows: list[dict[str, Any]]
    arrays: dict[str, Arrays]
    """Images by data set and name."""
    made: dict[str, Any]
    """Training time of the shared VAEs, and the selected settings."""
    steps: StepReport


def minutes_done(out: Path, budget: Budget) -> float:
    """Minutes that the finished steps took, each divided by the number of workers that shared the work."""
    return seconds_done(out / "steps" / budget) / 60


def run_benchmark(
    budget: Budget,
    out: Path,
    callback: ProgressCallback = lambda event: None,
    compute: Compute | None = None,
    executor: Executor | None = None,
) -> Experiment:
    """Run the benchmark, resuming an earlier run, and write ``few-labels.json``, ``few-labels-made.json``,
    ``few-labels.md`` and ``few-labels/*.png`` to ``out``. On several cores, single-threaded processes share the work.

    Args:
        executor: the workers, see :func:`vaebench.training.sharing.divide_work`.

    Raises:
        VaebenchError: a data set is not available, or the folder is in use.
        KeyboardInterrupt: Ctrl-C; finished steps are kept.
    """
    folder = out / "steps" / budget
    with lock_folder(folder):
        revision, division = commit(), divide_work(compute, executor)
        report = with_time_left(callback, folder, BenchmarkInfo.minutes[budget])
        experiment = Experiment(BenchmarkInfo(), budget, folder, division.compute, report, workers=division.workers)
        arguments = (budget, folder.resolve(), division.compute, division.workers)
        results: list[BenchmarkResult] = division.run(run_in_worker, arguments, report)
        for result in results:
            experiment.cache.add(result.steps)
        draw_figures(experiment, results[0].rows, results[0].arrays)
        _publish(experiment, results[0], out, revision)
    experiment.finish()
    return experiment


def run_in_worker(worker: Worker, budget: Budget, folder: Path, compute: Compute, count: int) -> BenchmarkResult:
    """Run the benchmark's tasks as one of ``count`` workers."""
    check_shared(folder)
    experiment = Experiment(BenchmarkInfo(), budget, folder, compute, worker.report, workers=count)
    benchmark = Benchmark(experiment)
    benchmark.run()
    return BenchmarkResult(
        benchmark.rows,
        {name: one.arrays for name, one in benchmark.generative.items()},
        {
            "shared_seconds": benchmark.shared_seconds(),
            "choices": {name: choice._asdict() for name, choice in benchmark.choices.items()},
        },
        experiment.cache.report,
    )


# Publication is written twice more: benchmarks/benchmark_script.py and papers/reproduce.py.
def _publish(experiment: Experiment, result: BenchmarkResult, out: Path, revision: str | None) -> None:
    made_file = out / "few-labels-made.json"
    made: dict[str, Any] = read_json(made_file) if made_file.exists() else {}
    if experiment.computed or made.get("budget") != experiment.budget:
        made = {"budget": experiment.budget, **experiment.provenance(revision), **result.made}
    experiment.figures.publish(out / "few-labels")
    write_json(out / "few-labels.json", result.rows)
    write_json(made_file, made)
    write_text(out / "few-labels.md", render_page(result.rows, made, BenchmarkInfo.captions))
