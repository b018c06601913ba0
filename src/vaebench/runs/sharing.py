"""The trainings and fits of a run, shared by single-threaded processes."""

from __future__ import annotations

import shutil
import time
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from vaebench.core.cores import available_cores
from vaebench.core.files import read_json
from vaebench.core.local_pool import LocalPool
from vaebench.core.locks import file_lock
from vaebench.core.progress import StageTimer
from vaebench.core.steps import StepCache, content_key
from vaebench.core.workers import Worker
from vaebench.evaluation.learning_curves import FitKey
from vaebench.runs.context import RunContext
from vaebench.runs.few_labels import FewLabelProtocol
from vaebench.runs.measures import sample_fidelity
from vaebench.runs.recipe import Recipe
from vaebench.runs.representations import encode_images, represent
from vaebench.runs.training import load_trained, trainings, trains_autoencoder
from vaebench.training.distributed import DistributedContext
from vaebench.training.sharing import divide_work

SMALLEST = 50_000
"""Images that a training reads in all from which further processes are worth the seconds that they take to start."""
LONGEST_LOADING = 10.0
"""Seconds: data that take longer to load are not loaded again by further processes."""


def process_count(run: RunContext, processes: DistributedContext) -> int:
    """Number of processes for the trainings and fits of a run; 1 where further ones would not be faster, or where
    torchrun has started several."""
    images = len(run.data.train) * run.recipe.training.epochs
    small = images < SMALLEST or run.timer.seconds["data"] > LONGEST_LOADING
    if small or run.recipe.compute.device != "cpu" or processes.size > 1:
        return 1
    return min(available_cores(), 4)


def share_trainings_and_fits(run: RunContext, count: int, processes: DistributedContext) -> None:
    """Train the models and make the fits of the few-label protocol in ``count`` processes, each of one thread.

    A single training is left to the caller's process, which may use several threads. Results are kept in the folder
    of the run, where the stages that follow find them; their bits do not depend on the number of processes.
    """
    if not trains_autoencoder(run.recipe):
        for train in trainings(run, processes).values():
            train()
    chains = [["pretrained", "."], ["autoencoder"]]  # the trainings of a chain follow each other
    new = [[run.folder / part for part in chain if _history(run.folder / part) is None] for chain in chains]
    shutil.rmtree(run.claims, ignore_errors=True)  # of a run that was killed
    FewLabelProtocol(run).fits.read()  # removes an incomplete line before several processes read the file
    compute = run.recipe.compute.model_copy(update={"threads": 1})
    start, division = time.monotonic(), divide_work(compute, LocalPool(count))
    try:
        division.run(work, (run.recipe, run.folder.resolve()), run.callback)
    except BaseException:
        shutil.rmtree(run.claims, ignore_errors=True)
        raise
    seconds = sorted(sum(_history(folder) or 0.0 for folder in chain) for chain in new)
    run.timer.seconds["learning curve"] = max(0.0, time.monotonic() - start - seconds[-1])
    run.timer.overlap = sum(seconds[:-1])


def _history(folder: Path) -> float | None:
    """Seconds of the finished training in a folder."""
    file = folder / "history.json"
    return float(read_json(file)["seconds"]) if file.exists() else None


def work(worker: Worker, recipe: Recipe, folder: Path) -> None:
    """Take trainings and fits that no other worker has taken, until all are made."""
    data = recipe.data.load(lambda stage, done: None)
    run = RunContext(recipe, folder, data, StageTimer(), worker.report)
    tasks = trainings(run, DistributedContext())
    cache = StepCache(folder, workers=2)
    cache.run_tasks(tasks)
    for name, train in tasks.items():
        with file_lock(run.claims / "tasks" / f"{name}.lock"):  # until the other worker has trained it
            train()
    recipe = recipe.model_copy(update={"compute": recipe.compute.model_copy(update={"threads": 1})})
    run = RunContext(recipe, folder, data, StageTimer(), worker.report)
    vae = load_trained(run, recipe.model, "training", folder)
    latents = encode_images(run, vae)
    protocol = FewLabelProtocol(run, claim=partial(_claim, run), shared=True)
    protocol.prepare(vae, latents)
    if protocol.self_training is not None:
        cache.run_tasks({"self-trained": partial(protocol.train_classifier, protocol.self_training)})
    cache.run_tasks({"samples": partial(sample_fidelity, run, vae, latents)})
    protocol.learning_curve(represent(run, latents), latents)


def _claim(run: RunContext, fit: FitKey) -> AbstractContextManager[bool]:
    return file_lock(run.claims / "fits" / f"{content_key(list(fit))}.lock", wait=False)
