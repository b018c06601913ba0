"""run_ladder(): the whole command: estimate, climb, few-labels.json, few-labels.md, figures."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from vaebench.core.files import atomic, read_json, write_json, write_text
from vaebench.core.locks import lock_folder
from vaebench.core.progress import ProgressCallback
from vaebench.core.provenance import commit
from vaebench.core.workers import seconds_done, with_time_left, worker_processes
from vaebench.experiments.experiment import Experiment
from vaebench.experiments.info import Budget
from vaebench.few_label_benchmark.benchmark import Benchmark
from vaebench.few_label_benchmark.page import figures, page
from vaebench.training.compute import Compute, machine, worker_count

MAX_WORKERS = 8
"""Each holds all data sets and their graphs, about 3 GB."""


class BenchmarkInfo:
    """The subject of the study."""

    title_in_short = "few labels"
    minutes: Mapping[Budget, float | int] = {"quick": 1, "cpu": 315, "full": 600}
    """On two cores; the full budget on one GPU."""
    captions: Mapping[str, str] = {
        "learning-curves": "Test accuracy over labels a class: means of the draws, with 95 % intervals.",
        "generation": "Test images, and what three VAEs decode and draw: before self-training, after it from 10 labels "
        "a class, after it without the generative term. None of the images are chosen.",
        "parts": "What each part of the whole method is worth: the whole minus itself without the part, draw by draw, "
        "means of 5 draws with 95 % intervals. Right of 0 the part helps.",
    }


def minutes_done(out: Path, budget: Budget) -> float:
    """Minutes of the steps that are done already, as if done one by one by the workers that did them."""
    return seconds_done(out / "steps" / budget) / 60


def run_benchmark(
    budget: Budget, out: Path, callback: ProgressCallback = lambda tick: None, compute: Compute | None = None
) -> Experiment:
    """Climb, going on where an earlier call stopped; writes ``few-labels.json``, ``few-labels-made.json``,
    ``few-labels.md`` and ``few-labels/*.png`` into ``out``. Where the processor has several cores, processes of one
    thread share the work.

    Raises:
        VaebenchError: data that cannot be had, or a folder in use.
        KeyboardInterrupt: Ctrl-C; what is done is kept.
    """
    folder, compute = out / "steps" / budget, (compute or Compute()).resolve()
    count = worker_count(compute, MAX_WORKERS)
    compute = compute.model_copy(update={"threads": 1}) if count > 1 else compute
    with lock_folder(folder):
        sources = commit()
        experiment = Experiment(
            BenchmarkInfo(),
            budget,
            folder,
            compute,
            with_time_left(callback, folder, BenchmarkInfo.minutes[budget]),
            workers=count,
        )
        climb = Benchmark(experiment)
        with (
            threadpool_limits(compute.threads),
            worker_processes(count - 1, join_benchmark, (budget, folder, compute, count)),
        ):
            climb.run()
        figures(experiment, climb.rows, {name: found.arrays for name, found in climb.kept.items()})
        _publish(experiment, climb, out, sources)
    experiment.finish()
    return experiment


def join_benchmark(budget: Budget, folder: Path, compute: Compute, count: int) -> None:
    """What another hand does: the same steps, without the rows."""
    with threadpool_limits(compute.threads):
        Benchmark(Experiment(BenchmarkInfo(), budget, folder, compute, workers=count)).run()


def _publish(experiment: Experiment, climb: Benchmark, out: Path, sources: str | None) -> None:
    made_file = out / "few-labels-made.json"
    made: dict[str, Any] = read_json(made_file) if made_file.exists() else {}
    if experiment.made or made.get("budget") != experiment.budget:
        made = {
            "budget": experiment.budget,
            "seconds": round(experiment.seconds / experiment.workers, 1),
            "date": time.strftime("%Y-%m-%d"),
            "commit": sources,
            "machine": machine(),
            "compute": experiment.compute.model_dump(),
            "shared_seconds": climb.shared_seconds(),
            "choices": {name: choice._asdict() for name, choice in climb.choices.items()},
        }
    for name, image in experiment.drawn.items():
        with atomic(out / "few-labels" / f"{name}.png") as temporary:
            temporary.write_bytes(image)
    write_json(out / "few-labels.json", climb.rows)
    write_json(made_file, made)
    write_text(out / "few-labels.md", page(climb.rows, made, BenchmarkInfo.captions))
