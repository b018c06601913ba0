"""One trial: trained and measured in its folder, whatever an earlier call left there; and its scores."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path
from typing import Any

from vaebench.core.errors import OtherTrainingError
from vaebench.core.files import read_json
from vaebench.core.progress import ProgressCallback
from vaebench.data.datasets import Data
from vaebench.data.images import Dataset
from vaebench.evaluation.disentanglement import SCORE_NAMES
from vaebench.runs.pipeline import run
from vaebench.runs.recipe import Recipe, parse_recipe
from vaebench.runs.report.tables import accuracy_rows
from vaebench.runs.report.verdict import reading_probe
from vaebench.runs.run import Run

BEST = "validation ELBO"
"""What the best trial is chosen by: never a number of the test part."""

FRECHET = "Fr\N{LATIN SMALL LETTER E WITH ACUTE}chet distance of samples"


@cache
def _read(data: Data) -> Dataset:
    return data.load()


def perform_trial(recipe: Recipe, folder: Path, callback: ProgressCallback) -> None:
    """Train and measure, going on where an earlier call stopped.

    What another machine left half done cannot be gone on with to the same bits: it is begun anew.

    Raises:
        VaebenchError: bad data, or a folder in use.
        FloatingPointError: training diverged.
    """
    begun = folder / "recipe.json"
    if begun.exists():  # the threads that it was begun with decide its bits
        compute = parse_recipe(read_json(begun), str(begun)).compute
        try:
            run(recipe.model_copy(update={"compute": compute}), folder, resume=True, callback=callback, load=_load)
            return
        except OtherTrainingError:
            shutil.rmtree(folder)
    run(recipe, folder, resume=True, callback=callback, load=_load)


def _load(data: Data, progress: Any) -> Dataset:
    return _read(data)


def is_done(recipe: Recipe, folder: Path) -> bool:
    """Whether the folder holds this trial's results."""
    return (folder / "results.json").exists() and Run.load(folder).recipe.model_copy(
        update={"compute": recipe.compute, "name": recipe.name}
    ) == recipe


def scores(folder: Path) -> dict[str, float]:
    """What a sweep compares, of a finished trial: bounds on validation and test images, accuracies of the latents."""
    run = Run.load(folder)
    best = run.history[read_json(folder / "history.json")["best_epoch"] - 1]
    found = {BEST: best["validation_elbo"]} if "validation_elbo" in best else {}
    names = {"elbo": "test ELBO", "kl": "test KL", "active_units": "active units", "frechet": FRECHET} | SCORE_NAMES
    for row in run.rows:
        if row["metric"] in names and "latent" not in row and row.get("features", "samples") == "samples":
            found[names[row["metric"]]] = row["mean"]
    probe = reading_probe(run)
    for row in accuracy_rows(run):
        if row["features"] == "vae" and row["probe"] == probe:
            count = row["labels_per_class"]
            words = "all labels" if count == "all" else f"{count} label{'' if count == 1 else 's'} a class"
            found[f"test accuracy, {words}"] = row["mean"]
    return found | {"minutes": run.results["seconds"] / 60}
