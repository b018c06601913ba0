"""The fits of a cross-validation, shared by single-threaded processes or by the workers of a cluster."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int

from vaebench.classification.cross_validation import FOLDS, CrossValidation
from vaebench.classification.encoded_images import EncodedFiles
from vaebench.classification.encoder_methods import ALL_METHODS, without_encoder
from vaebench.classification.methods import METHODS, MethodContext
from vaebench.classification.settings import ClassificationInfo, Settings
from vaebench.core.progress import ProgressCallback, ProgressEvent
from vaebench.core.steps import StepReport
from vaebench.core.workers import Executor, Worker
from vaebench.data.blocks import read_pixels
from vaebench.data.images import HIDDEN, Images
from vaebench.experiments.experiment import Experiment
from vaebench.models.vae import VAE
from vaebench.training.checkpoint import read_tensors
from vaebench.training.compute import Compute
from vaebench.training.sharing import Division, check_shared, divide_work

LONG = 15.0
"""Seconds of all fits in one process from which further processes are worth the seconds that they take to start."""
MAX_WORKERS = 10
"""There are as many fits of networks, and each worker holds at most ``POOL`` images."""
CLAIMS = "claims"


def divide_fits(compute: Compute, executor: Executor | None, seconds: float) -> Division:
    """Divide fits that take so many seconds in one process.

    Args:
        compute: the settings of the classification; if they give the threads, the default is this process alone.
        executor: the workers; by default one single-threaded process a core, or this process where the fits take less
            than ``LONG`` seconds or there is a GPU.

    Raises:
        VaebenchError: the executor is a cluster that does not answer.
    """
    if executor is None and (seconds < LONG or compute.threads is not None):
        return Division(None, 1, compute.resolve())
    return divide_work(compute, executor, MAX_WORKERS)


def fold_step(method: str, fold: int, identity: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Name and identity of the step that keeps the held-out probabilities of a fit."""
    identity = without_encoder(method, identity)
    return f"{method}/fold-{fold + 1}", {**identity, "method": method, "fold": fold}


def all_fits(encoder: bool = False) -> list[tuple[str, int]]:
    """Method and fold of every fit, those of networks first, which take longest; on request those of an encoder."""
    methods = ALL_METHODS if encoder else METHODS
    names = sorted(methods, key=lambda name: methods[name].kind != "network")
    return [(name, fold) for name in names for fold in range(FOLDS)]


@dataclass(frozen=True)
class FoldFits:
    """What a worker needs to make the fits of a cross-validation."""

    folder: Path
    """Folder of the steps, which also holds the weights of the VAE."""
    pixels: Path
    """Pixels (N, C, H, W) of all images."""
    pool: Int[np.ndarray, " P"] | None
    """Rows of the images that methods are fitted with; None for all."""
    rows: Int[np.ndarray, " M"]
    """Rows of the labelled images among these."""
    labels: Int[np.ndarray, " M"]
    classes: int
    settings: Settings
    compute: Compute
    """That of a worker."""
    identity: dict[str, Any]
    """Everything that decides a fit except its method and fold."""
    encoded: EncodedFiles | None = None
    """Features of all images under the user's encoder."""

    def validation(self) -> CrossValidation:
        """Read the images and the VAE, and return the cross-validation."""
        pixels, settings = torch.from_numpy(read_pixels(self.pixels)), self.settings
        images = Images(pixels, torch.full((len(pixels),), HIDDEN))
        vae = load_vae(settings, self.folder, images.shape)
        encoded = None if self.encoded is None else self.encoded.load()
        if self.pool is not None:
            pool = torch.from_numpy(self.pool)
            images, encoded = images.take(pool), encoded and encoded.take(pool)
        training = settings.semi_supervised, settings.supervised, self.compute
        context = MethodContext(images, self.classes, settings.model, vae, *training, encoded)
        return CrossValidation(context, torch.from_numpy(self.rows), torch.from_numpy(self.labels), settings.seed)


def load_vae(settings: Settings, folder: Path, shape: tuple[int, int, int]) -> VAE:
    """Load the trained VAE of a classification."""
    vae = settings.model.build(shape)
    vae.load_state_dict(read_tensors(folder / "networks" / "vae.safetensors")[0])
    return vae.eval()


def fit_in_worker(worker: Worker, fits: FoldFits, count: int) -> StepReport:
    """Make the fits that no other of ``count`` workers makes, and keep them.

    Raises:
        VaebenchError: the worker does not see the folder.
    """
    check_shared(fits.folder)
    info = ClassificationInfo({"cpu": 0.0})
    experiment = Experiment(info, "cpu", fits.folder, fits.compute, worker.report, workers=count)
    validation = fits.validation()

    def fit(method: str, fold: int) -> None:
        name, identity = fold_step(method, fold, fits.identity)
        experiment.arrays(name, identity, lambda: {"values": validation.probabilities(method, fold)})

    every = all_fits(fits.encoded is not None)
    experiment.run_tasks({f"{method}-{fold + 1}": partial(fit, method, fold) for method, fold in every})
    return experiment.cache.report


def share_fits(experiment: Experiment, fits: FoldFits, division: Division) -> None:
    """Make the fits in the workers of a division, and add the seconds that they took to the experiment.

    Raises:
        VaebenchError: a worker does not see the folder, or all were lost.
        KeyboardInterrupt: Ctrl-C; completed fits are kept.
    """
    report = with_time_passed(experiment)
    try:
        for steps in division.run(fit_in_worker, (fits, division.workers), report):
            experiment.cache.add(steps)
    finally:
        shutil.rmtree(fits.folder / CLAIMS, ignore_errors=True)


def with_time_passed(experiment: Experiment) -> ProgressCallback:
    """Return a callback for the events of workers, with the fraction done and the time left of the experiment."""
    start, before, total = time.monotonic(), experiment.seconds, max(experiment.expected_seconds, 1e-9)

    def report(event: ProgressEvent) -> None:
        passed = before + time.monotonic() - start
        left = max(0.0, total - passed)
        experiment.callback(event._replace(done=min(passed / total, 0.99), seconds_left=left))

    return report
