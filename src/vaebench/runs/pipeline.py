"""`run()`: train, evaluate and measure a recipe, stage by stage; finished stages are skipped when a run is resumed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import cast

import torch

from vaebench.core.files import write_arrays
from vaebench.core.locks import lock_folder
from vaebench.core.progress import ProgressCallback, ProgressEvent, StageTimer
from vaebench.data.datasets import Data
from vaebench.data.images import Dataset, Progress
from vaebench.deprecated import renamed_arguments
from vaebench.evaluation.features import Features, latent_features, pca_features, pixel_features
from vaebench.evaluation.learning_curves import curve_rows
from vaebench.models.registry import PretrainedModel
from vaebench.runs.context import RunContext
from vaebench.runs.few_labels import FewLabelProtocol
from vaebench.runs.measures import measure
from vaebench.runs.outputs import run_panels, write_latents, write_results
from vaebench.runs.recipe import Recipe
from vaebench.runs.rows import ResultRow
from vaebench.runs.run import Run, claim_folder
from vaebench.runs.training import AUTOENCODER, PRETRAINING, growth_of, load_trained, train_models
from vaebench.training.distributed import DistributedContext, distributed

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
    with ExitStack() as lock:
        with distributed() as processes:
            if processes.is_main:
                lock.enter_context(lock_folder(folder))
                recipe = claim_folder(recipe, recipe.compute.resolve(), folder, resume)
            recipe = processes.broadcast(lambda: recipe)
            done = processes.broadcast(lambda: (folder / "results.json").exists())
            if not done:
                timer = StageTimer()
                with timer.stage("data"):
                    data = _load(recipe, callback, load, processes)
                context = RunContext(recipe, folder, data, timer, callback)
                FewLabelProtocol(context).check_labels()
                train_models(context, processes)
        if processes.is_main and not done:
            _evaluate(context)
    return Run.load(folder)


def _load(recipe: Recipe, callback: ProgressCallback, load: Load, processes: DistributedContext) -> Dataset:
    for main_turn in (True, False):  # the main process loads first, so that data are downloaded once
        if processes.is_main == main_turn:
            data = load(recipe.data, lambda stage, done: callback(ProgressEvent(stage, done)))
        processes.broadcast(lambda: None)
    return data


def _evaluate(run: RunContext) -> None:
    """Fit the probes, measure the trained models, and write latents, panels and results."""
    recipe, data, folder = run.recipe, run.data, run.folder
    if isinstance(recipe.model, PretrainedModel):
        load_trained(run, recipe.model.pretrained, PRETRAINING, folder / "pretrained")
    vae = load_trained(run, recipe.model, "training", folder)
    latents = latent_features("vae", vae, data)
    write_latents(folder / "latents.npz", latents)
    representations = _representations(run, latents)
    protocol = FewLabelProtocol(run)
    classifier = protocol.classifier(vae, latents)
    with run.timer.stage("learning curve"):
        protocol.learning_curve(representations, latents)
    measures = measure(run, vae, latents, classifier)
    with run.timer.stage("scores and panels"):
        growth = growth_of(run)
        write_arrays(folder / "panels.npz", run_panels(run, vae, latents, measures, classifier) | growth.panels())
        growth.path.unlink(missing_ok=True)
        run.progress("scores and panels")(1.0)
    rows = cast(list[ResultRow], curve_rows(protocol.fits, data.name)) + measures.rows(recipe, data.name)
    write_results(run, measures.bounds, rows)


def _representations(run: RunContext, latents: Features) -> dict[str, Features]:
    """The representations that the recipe compares."""
    recipe, data = run.recipe, run.data
    names = recipe.evaluation.features
    factories: dict[str, Callable[[], Features]] = {
        "vae": lambda: latents,
        "vae-sampled": lambda: latents.sampled("vae-sampled"),
        "autoencoder": lambda: latent_features(
            "autoencoder", load_trained(run, recipe.model, AUTOENCODER, run.folder / "autoencoder"), data
        ),
        "random": lambda: _random_features(run),
        "pixels": lambda: pixel_features(data),
        "pca": lambda: pca_features(pixel_features(data), recipe.model.latent, recipe.seed),
    }
    features: dict[str, Features] = {}
    for index, name in enumerate(names):
        features[name] = factories[name]()
        run.progress("encoding")((index + 1) / len(names))
    return features


def _random_features(run: RunContext) -> Features:
    """Codes of the same network with its initial weights."""
    torch.manual_seed(run.recipe.seed)
    return latent_features("random", run.recipe.model.build(run.data.train.shape).eval(), run.data)
