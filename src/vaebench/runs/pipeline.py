"""`run()`: train, evaluate and measure a recipe, stage by stage; finished stages are skipped when a run is resumed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import cast

from vaebench.core.errors import VaebenchError
from vaebench.core.files import write_arrays
from vaebench.core.locks import lock_folder
from vaebench.core.progress import ProgressCallback, ProgressEvent, StageTimer
from vaebench.data.datasets import Data
from vaebench.data.images import Dataset, Progress
from vaebench.data.opening import open_images
from vaebench.deprecated import renamed_arguments
from vaebench.evaluation.learning_curves import curve_rows
from vaebench.models.registry import PretrainedModel
from vaebench.runs.context import RunContext
from vaebench.runs.few_labels import FewLabelProtocol
from vaebench.runs.initial_weights import keep_initial_weights, pin_weights, start_notes
from vaebench.runs.measures import measure
from vaebench.runs.outputs import run_panels, write_latents, write_results
from vaebench.runs.recipe import Recipe
from vaebench.runs.representations import encode_images, represent
from vaebench.runs.rows import ResultRow
from vaebench.runs.run import Run, claim_folder
from vaebench.runs.sharing import process_count, share_trainings_and_fits
from vaebench.runs.training import PRETRAINING, growth_of, load_trained, trainings, trains_autoencoder
from vaebench.training.compute import Compute
from vaebench.training.distributed import DistributedContext, distributed

INSPECTION = "inspection.html"
"""Page of a run on the user's own images."""
MIN_IMAGES = 10
"""Images of which some can be trained with, others validated and tested on."""
Load = Callable[[Data, Progress], Dataset]


@renamed_arguments(watch="callback")
def run(
    recipe: Recipe,
    path: str | Path,
    *,
    resume: bool = False,
    callback: ProgressCallback = lambda event: None,
    load: Load = Data.load,
) -> Run:
    """Train the recipe's VAE, fit the probes, measure everything, and write the results to ``path``.

    A run that was interrupted at any point and is called again with ``resume`` ends with the same bits. Processes
    started by torchrun train together; the main process alone does the rest, and only its run is finished.

    Args:
        path: folder of the run.
        resume: continue the run that ``path`` already holds.
        callback: receives progress events.
        load: loads the recipe's data; a caching function can serve several runs.

    Raises:
        VaebenchError: invalid data, a folder in use or of another run, or a resume that could not give the same bits.
        FloatingPointError: training diverged.
    """
    folder = Path(path)
    free = recipe.compute.threads is None and load is Data.load
    with ExitStack() as lock:
        with distributed() as processes:
            if processes.is_main:
                lock.enter_context(lock_folder(folder))
                recipe = claim_folder(pin_weights(recipe, folder), _resolve(recipe), folder, resume)
            recipe = processes.broadcast(lambda: recipe)
            done = processes.broadcast(lambda: (folder / "results.json").exists())
            if not done:
                timer = StageTimer()
                with timer.stage("data"):
                    data = _load(recipe, callback, load, processes)
                _check_enough(data)
                if processes.is_main:
                    _say_how_images_were_read(recipe.data, data, folder, callback)
                context = RunContext(recipe, folder, data, timer, callback)
                FewLabelProtocol(context).check_labels()
                processes.broadcast(lambda: keep_initial_weights(context))
                if free and (count := process_count(context, processes)) > 1:
                    share_trainings_and_fits(context, count, processes)
                for train in trainings(context, processes).values():
                    train()
        if processes.is_main and not done:
            _evaluate(context)
    return Run.load(folder)


def _resolve(recipe: Recipe) -> Compute:
    """The computing settings of this machine; trainings that can run beside each other have one thread each."""
    compute = recipe.compute.resolve()
    alone = compute.threads is None and compute.device == "cpu" and trains_autoencoder(recipe)
    return compute.model_copy(update={"threads": 1}) if alone else compute


def _load(recipe: Recipe, callback: ProgressCallback, load: Load, processes: DistributedContext) -> Dataset:
    for main_turn in (True, False):  # the main process loads first, so that data are downloaded once
        if processes.is_main == main_turn:
            data = load(recipe.data, lambda stage, done: callback(ProgressEvent(stage, done)))
        processes.broadcast(lambda: None)
    return data


def _check_enough(data: Dataset) -> None:
    if (count := len(data.train) + len(data.validation) + len(data.test)) < MIN_IMAGES:
        raise VaebenchError(f"{data.name} has {count} images; a run needs at least {MIN_IMAGES}: add images")


def _say_how_images_were_read(data: Data, dataset: Dataset, folder: Path, callback: ProgressCallback) -> None:
    """Report the warnings about the user's own images, and write the page of their inspection."""
    for sentence in dataset.warnings:
        callback(ProgressEvent("data", 1.0, message=sentence))
    page = folder / INSPECTION
    if dataset.inspection is not None and not page.exists():
        from vaebench.inspection.page import write_page  # loads matplotlib

        tables = [Path(each).expanduser() for each in data.labels]
        with open_images(data.source, tables, data.projection, data.masks) as images:
            write_page(dataset.inspection, images, page)


def _evaluate(run: RunContext) -> None:
    """Fit the probes, measure the trained models, and write latents, panels and results."""
    recipe, data, folder = run.recipe, run.data, run.folder
    recipe.compute.set_threads()  # on which the bits of scores depend
    if isinstance(recipe.model, PretrainedModel):
        load_trained(run, recipe.model.pretrained, PRETRAINING, folder / "pretrained")
    vae = load_trained(run, recipe.model, "training", folder)
    latents = encode_images(run, vae)
    write_latents(folder / "latents.npz", latents)
    representations = represent(run, latents)
    protocol = FewLabelProtocol(run)
    protocol.prepare(vae, latents)
    classifier = protocol.classifier()
    with run.timer.stage("learning curve"):
        protocol.learning_curve(representations, latents)
    measures = measure(run, vae, latents, classifier)
    with run.timer.stage("scores and panels"):
        growth = growth_of(run)
        write_arrays(folder / "panels.npz", run_panels(run, vae, latents, measures, classifier) | growth.panels())
        growth.path.unlink(missing_ok=True)
        run.progress("scores and panels")(1.0)
    rows = cast(list[ResultRow], curve_rows(protocol.fits, data.name)) + measures.rows(recipe, data.name)
    write_results(run, measures.bounds, rows, start_notes(run))
    shutil.rmtree(run.claims, ignore_errors=True)
