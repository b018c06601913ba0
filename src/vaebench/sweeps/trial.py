"""One trial of a sweep: running it in its folder, and its scores."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path
from typing import Any

from vaebench.core.errors import OtherTrainingError
from vaebench.core.files import read_json
from vaebench.core.progress import ProgressCallback
from vaebench.core.workers import Worker
from vaebench.data.datasets import Data
from vaebench.data.images import Dataset
from vaebench.evaluation.disentanglement import SCORE_NAMES
from vaebench.plotting.style import representation_title
from vaebench.runs.pipeline import run
from vaebench.runs.recipe import Recipe, load_recipe
from vaebench.runs.report.tables import FRECHET, accuracy_rows, labels_text
from vaebench.runs.report.verdict import default_probe
from vaebench.runs.run import Run
from vaebench.sweeps.grid import Trial

BEST = "validation ELBO"
"""Score that selects the best point; never one of the test images."""
METRICS = {
    "elbo": "test ELBO",
    "kl": "test KL",
    "active_units": "active units",
    "clustering_accuracy": "clustering accuracy",
    "frechet": f"{FRECHET} of samples",
    **SCORE_NAMES,
}
"""Names of the compared metrics of results.json."""


@cache
def _load_cached(data: Data) -> Dataset:
    return data.load()


def run_trial(recipe: Recipe, folder: Path, callback: ProgressCallback) -> None:
    """Run a trial, resuming an interrupted one.

    A trial that was interrupted on another machine cannot be resumed to the same bits and is started again.

    Raises:
        VaebenchError: invalid data, or a folder in use.
        FloatingPointError: training diverged.
    """
    file = folder / "recipe.json"
    if file.exists():  # keep the number of threads it was started with, which affects the bits
        compute = load_recipe(file).compute
        try:
            run(recipe.model_copy(update={"compute": compute}), folder, resume=True, callback=callback, load=_load)
            return
        except OtherTrainingError:
            shutil.rmtree(folder)
    run(recipe, folder, resume=True, callback=callback, load=_load)


def run_trial_task(worker: Worker, trial: Trial, folder: str) -> None:
    """Run a trial in a worker, in its subfolder of ``folder``; see :func:`run_trial`."""
    run_trial(trial.recipe_with(worker.threads), Path(folder) / trial.key, worker.report)


def _load(data: Data, progress: Any) -> Dataset:
    return _load_cached(data)


def is_done(recipe: Recipe, folder: Path) -> bool:
    """Whether the folder holds the results of this recipe."""
    return (folder / "results.json").exists() and Run.load(folder).recipe.model_copy(
        update={"compute": recipe.compute, "name": recipe.name}
    ) == recipe


def scores(folder: Path) -> dict[str, float]:
    """Scores of a finished trial: ELBO on validation and test images, other metrics, accuracies of the latents."""
    run = Run.load(folder)
    best = run.history[read_json(folder / "history.json")["best_epoch"] - 1]
    scores = {BEST: best["validation_elbo"]} if "validation_elbo" in best else {}
    for row in run.rows:
        if row["metric"] in METRICS and "latent" not in row and row.get("features", "samples") == "samples":
            scores[METRICS[row["metric"]]] = row["mean"]
    probe = default_probe(run)
    prefixes = {
        method.name: f"{representation_title(method.name)}: " for method in run.recipe.evaluation.semi_supervised
    }
    for row in accuracy_rows(run):
        if row["features"] in prefixes or (row["features"] == "vae" and row["probe"] == probe):
            prefix = prefixes.get(row["features"], "")
            scores[f"{prefix}test accuracy, {labels_text(row['labels_per_class'])}"] = row["mean"]
    return scores | {"minutes": run.results["seconds"] / 60}
