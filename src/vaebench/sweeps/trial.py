"""One trial: trained and measured in its folder, whatever an earlier call left there; and its scores."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path
from typing import Any

from vaebench.data.datasets import Data
from vaebench.data.images import Dataset
from vaebench.errors import OtherTrainingError
from vaebench.evaluation.disentanglement import IN_WORDS
from vaebench.files import read_json
from vaebench.performance.perform import perform
from vaebench.recipes import Recipe, parse_recipe
from vaebench.reports.tables import accuracy_rows
from vaebench.reports.verdict import reading_probe
from vaebench.runs import Run, Watch

BEST = "validation ELBO"
"""What the best trial is chosen by: never a number of the test part."""

FRECHET = "Fr\N{LATIN SMALL LETTER E WITH ACUTE}chet distance of samples"


@cache
def _read(data: Data) -> Dataset:
    return data.load()


def perform_trial(recipe: Recipe, folder: Path, watch: Watch) -> None:
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
            perform(recipe.model_copy(update={"compute": compute}), folder, resume=True, watch=watch, load=_load)
            return
        except OtherTrainingError:
            shutil.rmtree(folder)
    perform(recipe, folder, resume=True, watch=watch, load=_load)


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
    names = {"elbo": "test ELBO", "kl": "test KL", "active_units": "active units", "frechet": FRECHET} | IN_WORDS
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
