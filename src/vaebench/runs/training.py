"""The trainings of a run: the VAE, the VAE that it starts from if it starts from one, and the plain autoencoder."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from vaebench import __version__
from vaebench.core.files import read_json, write_json
from vaebench.core.frozen import stable_key
from vaebench.core.progress import ProgressEvent
from vaebench.data.images import Images
from vaebench.evaluation.features import encode
from vaebench.evaluation.growth import Growth
from vaebench.models.loss import Objective
from vaebench.models.objectives import Reconstruction
from vaebench.models.registry import PretrainedModel
from vaebench.models.vae import VAE, VAEModel
from vaebench.runs.context import RunContext
from vaebench.runs.initial_weights import INITIAL
from vaebench.runs.recipe import Recipe
from vaebench.runs.run import load_vae
from vaebench.runs.start import Start
from vaebench.training.checkpoint import Checkpoint, write_tensors
from vaebench.training.compute import machine
from vaebench.training.distributed import DistributedContext
from vaebench.training.loop import TrainingEvent, train
from vaebench.training.untrained import evaluate_untrained

PRETRAINING, MIXTURE = "pretraining", "fitting the mixture"
AUTOENCODER = "training the plain autoencoder"


class Stage(NamedTuple):
    """One training of a run."""

    name: str
    """Name of the model in its file of weights."""
    title: str
    """Name in progress and in the table of stages."""
    folder: Path
    build: Callable[[], VAE]
    """Builds the initial model."""
    objective: Objective
    epochs: int
    growth: Growth | None = None
    """Recorder of samples during training."""
    start: Start = Start()
    """Weights that the training starts from, directly or by way of an earlier stage, and the parts that keep them."""


def trainings(run: RunContext, processes: DistributedContext) -> dict[str, Callable[[], None]]:
    """The independent trainings of a run by name: of the VAE and, if the recipe compares it, of the plain autoencoder.
    A training whose weights exist does nothing.

    Each raises `VaebenchError` if the model does not suit the data, or a checkpoint belongs to another training.
    """
    names = {"vae": _train_vae} | ({"autoencoder": _train_autoencoder} if trains_autoencoder(run.recipe) else {})
    return {name: partial(function, run, processes) for name, function in names.items()}


def trains_autoencoder(recipe: Recipe) -> bool:
    """Whether the recipe compares the plain autoencoder."""
    return "autoencoder" in recipe.evaluation.features


def _train_vae(run: RunContext, processes: DistributedContext) -> None:
    recipe, growth = run.recipe, growth_of(run)
    build, objective = _initial_vae(run, recipe.model), recipe.model.objective_from(recipe.objective)
    stage = Stage("vae", "training", run.folder, build, objective, recipe.training.epochs, growth, recipe.start)
    if isinstance(recipe.model, PretrainedModel):
        start = _train_start(run, processes, recipe.model)
        stage = stage._replace(build=lambda: load_vae(recipe.model, start), objective=recipe.model.objective)
    _train_stage(run, processes, stage)


def _initial_vae(run: RunContext, model: VAEModel) -> Callable[[], VAE]:
    """Builds the VAE of this configuration, with random weights or those that the recipe starts from."""
    if run.recipe.start.weights is None:
        return partial(model.build, run.data.train.shape)
    return partial(load_vae, model, run.folder / INITIAL)


def _train_autoencoder(run: RunContext, processes: DistributedContext) -> None:
    build, epochs = partial(run.recipe.model.plain.build, run.data.train.shape), run.recipe.training.epochs
    folder = run.folder / "autoencoder"
    _train_stage(run, processes, Stage("autoencoder", AUTOENCODER, folder, build, Reconstruction(), epochs))


def _train_start(run: RunContext, processes: DistributedContext, model: PretrainedModel) -> Path:
    """Train the VAE that ``model`` starts from, and return the file of the initial weights."""
    folder, images = run.folder / "pretrained", run.data.train
    file, device = folder / "start.safetensors", run.recipe.compute.device
    model.check_images(len(images))
    build, epochs = _initial_vae(run, model.pretrained), model.pretraining_epochs
    stage = Stage("pretrained", PRETRAINING, folder, build, run.recipe.objective, epochs, start=run.recipe.start)
    _train_stage(run, processes, stage)
    if processes.is_main and not file.exists():
        with run.timer.stage(MIXTURE):
            run.progress(MIXTURE)(0.0)
            vae = load_vae(model.pretrained, folder / "weights.safetensors").to(device)
            codes = encode(vae, images)
            assert codes.log_variance is not None
            start = model.start(vae.cpu(), codes.mean.numpy(), codes.log_variance.exp().numpy(), run.recipe.seed)
            write_tensors(file, start.state_dict(), _metadata("start", images))
            run.progress(MIXTURE)(1.0)
    processes.broadcast(lambda: None)
    return file


def _train_stage(run: RunContext, processes: DistributedContext, stage: Stage) -> None:
    """Train a VAE and write its weights and history, unless they exist."""
    weights, recipe, data = stage.folder / "weights.safetensors", run.recipe, run.data
    if processes.broadcast(weights.exists):
        return
    stage.folder.mkdir(exist_ok=True)
    torch.manual_seed(recipe.seed)
    model = stage.build()
    model.freeze(*stage.start.frozen_parts)
    checkpoint = Checkpoint(stage.folder / "checkpoint.safetensors", _checkpoint_identity(run, stage))
    parts = data.train.without_labels().to(recipe.compute.device), data.validation.without_labels()
    callback = _training_callback(run, stage, model)
    if any(weight.requires_grad for weight in model.parameters()):
        result = train(
            model,
            stage.objective,
            parts[0].training_source,
            recipe.training.model_copy(update={"epochs": stage.epochs}),
            compute=recipe.compute,
            seed=recipe.seed,
            validation=parts[1],
            checkpoint=checkpoint,
            callback=callback,
        )
    else:
        result = evaluate_untrained(model, stage.objective, parts, recipe.compute, callback)
    if not processes.is_main:
        return
    record = {"epochs": result.history, "best_epoch": result.best_epoch, "seconds": result.seconds}
    record["threads"] = result.threads
    write_json(stage.folder / "history.json", record)
    write_tensors(weights, model.state_dict(), _metadata(stage.name, data.train))
    checkpoint.clear()


def _metadata(name: str, images: Images) -> dict[str, Any]:
    return {"image_shape": images.shape, "model": name, "vaebench": __version__}


def _checkpoint_identity(run: RunContext, stage: Stage) -> dict[str, Any]:
    """Everything that determines the bits of a training; a checkpoint is resumed only under the same identity."""
    recipe = run.recipe.model_dump(mode="json", include={"model", "training", "compute", "seed"})
    data = run.data.train.fingerprint()
    start = {} if stage.start.weights is None else {"start": stage.start.model_dump(include={"sha256", "freeze"})}
    return {**recipe, **start, "objective": stable_key(stage.objective), "data": data, "machine": machine()}


def _training_callback(run: RunContext, stage: Stage, model: VAE) -> Callable[[TrainingEvent], None]:
    """Callback that reports training events as progress of the stage and records its growth."""

    def callback(event: TrainingEvent) -> None:
        if event.epoch is not None and stage.growth is not None:
            stage.growth.record(model, event.epoch["epoch"])
        run.callback(ProgressEvent(stage.title, event.step / event.steps, event.seconds_left, event.epoch))

    return callback


def growth_of(run: RunContext) -> Growth:
    """Samples of the VAE at several epochs of its training."""
    return Growth(run.folder / "growth.npz", run.recipe.training.epochs, run.recipe.seed)


def load_trained(run: RunContext, model: VAEModel, title: str, folder: Path) -> VAE:
    """The trained VAE of this folder, with the seconds of its training added to the timer."""
    run.timer.seconds[title] = read_json(folder / "history.json")["seconds"]
    return load_vae(model, folder / "weights.safetensors").to(run.recipe.compute.device)
