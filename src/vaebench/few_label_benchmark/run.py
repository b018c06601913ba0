"""run_benchmark(): run the few-label benchmark and write its JSON files, page and figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from vaebench.core.files import read_json, write_json, write_text
from vaebench.core.locks import lock_folder
from vaebench.core.progress import ProgressCallback
from vaebench.core.provenance import commit
from vaebench.core.workers import seconds_done, with_time_left, worker_processes
from vaebench.experiments.experiment import Experiment
from vaebench.experiments.info import Budget
from vaebench.few_label_benchmark.benchmark import Benchmark
from vaebench.few_label_benchmark.page import draw_figures, render_page
from vaebench.training.compute import Compute, worker_count

MAX_WORKERS = 8
"""Each process holds all data sets and their graphs, about 3 GB."""


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


def minutes_done(out: Path, budget: Budget) -> float:
    """Minutes that the finished steps took, each divided by the number of workers that shared the work."""
    return seconds_done(out / "steps" / budget) / 60


def run_benchmark(
    budget: Budget, out: Path, callback: ProgressCallback = lambda event: None, compute: Compute | None = None
) -> Experiment:
    """Run the benchmark, resuming an earlier run, and write ``few-labels.json``, ``few-labels-made.json``,
    ``few-labels.md`` and ``few-labels/*.png`` to ``out``. On several cores, single-threaded processes share the work.

    Raises:
        VaebenchError: a data set is not available, or the folder is in use.
        KeyboardInterrupt: Ctrl-C; finished steps are kept.
    """
    folder, compute = out / "steps" / budget, (compute or Compute()).resolve()
    count = worker_count(compute, MAX_WORKERS)
    compute = compute.model_copy(update={"threads": 1}) if count > 1 else compute
    with lock_folder(folder):
        revision = commit()
        experiment = Experiment(
            BenchmarkInfo(),
            budget,
            folder,
            compute,
            with_time_left(callback, folder, BenchmarkInfo.minutes[budget]),
            workers=count,
        )
        benchmark = Benchmark(experiment)
        with (
            threadpool_limits(compute.threads),
            worker_processes(count - 1, join_benchmark, (budget, folder, compute, count)),
        ):
            benchmark.run()
        draw_figures(experiment, benchmark.rows, {name: one.arrays for name, one in benchmark.generative.items()})
        _publish(experiment, benchmark, out, revision)
    experiment.finish()
    return experiment


def join_benchmark(budget: Budget, folder: Path, compute: Compute, count: int) -> None:
    """Run the benchmark's tasks in a worker process."""
    with threadpool_limits(compute.threads):
        Benchmark(Experiment(BenchmarkInfo(), budget, folder, compute, workers=count)).run()


# Publication is written twice more: benchmarks/benchmark_script.py and papers/reproduce.py.
def _publish(experiment: Experiment, benchmark: Benchmark, out: Path, revision: str | None) -> None:
    made_file = out / "few-labels-made.json"
    made: dict[str, Any] = read_json(made_file) if made_file.exists() else {}
    if experiment.computed or made.get("budget") != experiment.budget:
        made = {
            "budget": experiment.budget,
            **experiment.provenance(revision),
            "shared_seconds": benchmark.shared_seconds(),
            "choices": {name: choice._asdict() for name, choice in benchmark.choices.items()},
        }
    experiment.figures.publish(out / "few-labels")
    write_json(out / "few-labels.json", benchmark.rows)
    write_json(made_file, made)
    write_text(out / "few-labels.md", render_page(benchmark.rows, made, BenchmarkInfo.captions))
