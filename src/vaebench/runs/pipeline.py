"""`run()`: train, evaluate and measure a recipe, stage by stage; finished stages are skipped when a run is resumed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from vaebench import __version__
from vaebench.core.errors import VaebenchError
from vaebench.core.files import read_json, write_arrays, write_json
from vaebench.core.frozen import stable_key
from vaebench.core.locks import lock_folder
from vaebench.core.progress import ProgressCallback, ProgressEvent, StageTimer
from vaebench.data.datasets import Data
from vaebench.data.images import Dataset, Progress
from vaebench.deprecated import rename_fit_log, renamed_arguments
from vaebench.evaluation.features import Features, latent_features, pca_features, pixel_features
from vaebench.evaluation.growth import Growth
from vaebench.evaluation.learning_curves import (
    FitKey,
    FitLog,
    LabelCount,
    PartiallyLabelled,
    ProbeData,
    accuracy,
    curve_rows,
    label_draws,
    learning_curve,
    save_draws,
)
from vaebench.evaluation.probes import Probe
from vaebench.models.classifying_vae import ClassifyingVAE
from vaebench.models.loss import Objective
from vaebench.models.objectives import Reconstruction
from vaebench.models.vae import VAE
from vaebench.runs.measures import Measurer
from vaebench.runs.outputs import run_panels, write_latents, write_results
from vaebench.runs.recipe import Recipe
from vaebench.runs.rows import ResultRow
from vaebench.runs.run import Run, claim_folder, load_classifier, load_vae
from vaebench.semi_supervised.graphs import Graph
from vaebench.semi_supervised.self_training import LabelPropagationProbe, SelfTrainingProbe
from vaebench.training.checkpoint import Checkpoint, write_tensors
from vaebench.training.compute import machine
from vaebench.training.distributed import DistributedContext, distributed
from vaebench.training.loop import TrainingEvent, train
from vaebench.training.prediction import predict_with

Load = Callable[[Data, Progress], Dataset]
AUTOENCODER_STAGE = "training the plain autoencoder"
KEPT_LABELS = 10
"""Labels per class of the self-trained network that a run keeps."""


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
        with distributed() as context:
            if context.is_main:
                lock.enter_context(lock_folder(folder))
                recipe = claim_folder(recipe, recipe.compute.resolve(), folder, resume)
            pipeline = _Pipeline(context.broadcast(lambda: recipe), folder, callback, load)
            done = context.broadcast(lambda: (folder / "results.json").exists())
            if not done:
                pipeline.train(context)
        if context.is_main and not done:
            pipeline.evaluate()
    return Run.load(folder)


@dataclass
class _Pipeline:
    """The stages of one run."""

    recipe: Recipe
    folder: Path
    callback: ProgressCallback
    load: Load
    timer: StageTimer = field(default_factory=StageTimer)
    data: Dataset = field(init=False)
    self_training: SelfTrainingProbe | None = None

    def train(self, context: DistributedContext) -> None:
        """Load the data and train the VAE and, if the recipe compares it, the plain autoencoder."""
        with self.timer.stage("data"):
            for main_turn in (True, False):  # the main process loads first, so that data are downloaded once
                if context.is_main == main_turn:
                    self.data = self.load(
                        self.recipe.data, lambda stage, done: self.callback(ProgressEvent(stage, done))
                    )
                context.broadcast(lambda: None)
        self.check_labels()
        self.train_one(context, "vae", "training", self.recipe.objective, self.folder)
        if "autoencoder" in self.recipe.evaluation.features:
            self.train_one(context, "autoencoder", AUTOENCODER_STAGE, Reconstruction(), self.folder / "autoencoder")

    def evaluate(self) -> None:
        """Fit the probes, measure the trained models, and write latents, panels and results."""
        vae = self.load_trained("training", self.folder)
        latents = latent_features("vae", vae, self.data)
        write_latents(self.folder / "latents.npz", latents)
        representations = self.representations(latents)
        rename_fit_log(self.folder)
        fits = FitLog(self.folder / "fits.jsonl")
        classifier = self.classifier(vae, latents, fits)
        with self.timer.stage("learning curve"):
            self.learning_curve(representations, latents, fits)
        measurer = Measurer(self.recipe, self.data, self.folder, self.timer, self.callback)
        measures = measurer.measure(vae, latents, classifier)
        with self.timer.stage("scores and panels"):
            arrays = run_panels(self.recipe, self.data, vae, latents, measures, classifier) | self.growth.panels()
            write_arrays(self.folder / "panels.npz", arrays)
            self.growth.path.unlink(missing_ok=True)
            self.callback(ProgressEvent("scores and panels", 1.0))
        rows = cast(list[ResultRow], curve_rows(fits, self.data.name)) + measures.rows(self.recipe, self.data.name)
        write_results(self.folder, self.recipe, self.data, self.timer.seconds, measures.bounds, rows)

    def train_one(self, context: DistributedContext, name: str, stage: str, objective: Objective, folder: Path) -> None:
        """Train a VAE with this objective and write its weights, unless they exist."""
        weights, recipe = folder / "weights.safetensors", self.recipe
        if context.broadcast(weights.exists):
            return
        folder.mkdir(exist_ok=True)
        torch.manual_seed(recipe.seed)
        model = recipe.model.build(self.data.train.shape)
        checkpoint = Checkpoint(folder / "checkpoint.safetensors", self.checkpoint_identity(objective))
        result = train(
            model,
            objective,
            self.data.train.without_labels().to(recipe.compute.device).training_source,
            recipe.training,
            compute=recipe.compute,
            seed=recipe.seed,
            validation=self.data.validation.without_labels(),
            checkpoint=checkpoint,
            callback=self.training_callback(stage, model, self.growth if name == "vae" else None),
        )
        if not context.is_main:
            return
        record = {"epochs": result.history, "best_epoch": result.best_epoch, "seconds": result.seconds}
        write_json(folder / "history.json", record | {"threads": result.threads})
        metadata = {"image_shape": self.data.train.shape, "model": name, "vaebench": __version__}
        write_tensors(weights, model.state_dict(), metadata)
        checkpoint.clear()

    def load_trained(self, stage: str, folder: Path) -> VAE:
        """The trained VAE of this folder, with the seconds of its training added to the timer."""
        self.timer.seconds[stage] = read_json(folder / "history.json")["seconds"]
        return load_vae(self.recipe, folder / "weights.safetensors").to(self.recipe.compute.device)

    def checkpoint_identity(self, objective: Objective) -> dict[str, Any]:
        """Everything that determines the bits of a training; a checkpoint is resumed only under the same identity."""
        recipe = self.recipe.model_dump(mode="json", include={"model", "training", "compute", "seed"})
        return {
            **recipe,
            "objective": stable_key(objective),
            "data": self.data.train.fingerprint(),
            "machine": machine(),
        }

    @cached_property
    def growth(self) -> Growth:
        """Samples of the VAE at several epochs of its training."""
        return Growth(self.folder / "growth.npz", self.recipe.training.epochs, self.recipe.seed)

    def training_callback(self, stage: str, model: VAE, growth: Growth | None) -> Callable[[TrainingEvent], None]:
        """Callback that reports training events as progress of ``stage`` and records samples into ``growth``."""

        def callback(event: TrainingEvent) -> None:
            if event.epoch is not None and growth is not None:
                growth.record(model, event.epoch["epoch"])
            self.callback(ProgressEvent(stage, event.step / event.steps, event.seconds_left, event.epoch))

        return callback

    def representations(self, latents: Features) -> dict[str, Features]:
        """The representations that the recipe compares."""
        names = self.recipe.evaluation.features
        factories: dict[str, Callable[[], Features]] = {
            "vae": lambda: latents,
            "vae-sampled": lambda: latents.sampled("vae-sampled"),
            "autoencoder": self.autoencoder_features,
            "random": self.random_features,
            "pixels": lambda: pixel_features(self.data),
            "pca": lambda: pca_features(pixel_features(self.data), self.recipe.model.latent, self.recipe.seed),
        }
        features: dict[str, Features] = {}
        for index, name in enumerate(names):
            features[name] = factories[name]()
            self.callback(ProgressEvent("encoding", (index + 1) / len(names)))
        return features

    def autoencoder_features(self) -> Features:
        """Codes of the same network trained as a plain autoencoder with the same settings."""
        model = self.load_trained(AUTOENCODER_STAGE, self.folder / "autoencoder")
        return latent_features("autoencoder", model, self.data)

    def random_features(self) -> Features:
        """Codes of the same network with its initial weights."""
        torch.manual_seed(self.recipe.seed)
        return latent_features("random", self.recipe.model.build(self.data.train.shape).eval(), self.data)

    def learning_curve(self, representations: dict[str, Features], latents: Features, fits: FitLog) -> None:
        """Fit every probe and classifier of the few-label protocol, if the images have labels."""
        if not self.data.labelled:
            return
        settings = self.recipe.evaluation
        save_draws(self.folder / "label-draws.json", self.draws)
        standard = {name: features.standardised() for name, features in representations.items()}
        parts = {name: ProbeData(f.train, f.test) for name, f in standard.items()}
        probes: dict[str, list[Probe]] = {name: list(settings.probes) for name in representations}
        if settings.supervised is not None:
            parts["images"] = ProbeData(self.data.train, self.data.test)
            probes["images"] = [settings.supervised.head(self.recipe.model.network)]
        if self.self_training is not None:
            parts["graph"] = ProbeData(PartiallyLabelled(latents.train), latents.test)
            probes["graph"] = [LabelPropagationProbe(self.self_training.method.propagation, self.self_training.graph)]
            parts["self-trained"] = ProbeData(PartiallyLabelled(self.data.train), self.data.test)
            probes["self-trained"] = [self.self_training]
        learning_curve(
            parts,
            probes,
            self.draws,
            len(self.data.classes),
            log=fits,
            compute=self.recipe.compute,
            callback=lambda done, total: self.callback(ProgressEvent("learning curve", done / total)),
        )

    @cached_property
    def draws(self) -> dict[LabelCount, list[Tensor]]:
        """Labelled training rows of every draw, by labels per class."""
        settings = self.recipe.evaluation
        return label_draws(self.data.train.labels, settings.labels_per_class, settings.draws, self.recipe.seed)

    def check_labels(self) -> None:
        """Raise `VaebenchError` if the recipe asks for self-training and no labels can be drawn."""
        if self.recipe.evaluation.self_training is not None and not (self.data.labelled and self.counts):
            raise VaebenchError(
                f"evaluation.self_training needs labels, and {self.data.name} has none for labels_per_class "
                f"{list(self.recipe.evaluation.labels_per_class)}; expected one folder per class with enough images"
            )

    @property
    def counts(self) -> list[int]:
        """The measured numbers of labels per class, without "all"."""
        return sorted(count for count in self.draws if count != "all")

    def classifier(self, vae: VAE, latents: Features, fits: FitLog) -> ClassifyingVAE | None:
        """The self-trained network that the run keeps; None without self-training."""
        method = self.recipe.evaluation.self_training
        if method is None:
            return None
        with self.timer.stage("self-training"):
            graph = Graph.from_codes(latents.train.mean.numpy())
            self.self_training = SelfTrainingProbe(method, vae, graph)
            weights = self.folder / "self-trained" / "weights.safetensors"
            if not weights.exists():
                self.train_classifier(self.self_training, weights, fits)
        return load_classifier(self.recipe, weights).to(self.recipe.compute.device)

    def train_classifier(self, method: SelfTrainingProbe, weights: Path, fits: FitLog) -> None:
        """Self-train on the first draw of `KEPT_LABELS` or more labels per class, or else of the largest count.

        The accuracy becomes a point of the learning curve.
        """
        count = next((count for count in self.counts if count >= KEPT_LABELS), self.counts[-1])
        source, classes = PartiallyLabelled(self.data.train).take(self.draws[count][0]), len(self.data.classes)
        network = method.network(
            source, classes, 0, self.recipe.compute, lambda done: self.callback(ProgressEvent("self-training", done))
        )
        fit = FitKey("self-trained", method.name, count, 0)
        if fit not in fits.done:
            fits.add(fit, accuracy(predict_with(network, 0, self.recipe.compute), self.data.test))
        weights.parent.mkdir(exist_ok=True)
        metadata = {"image_shape": self.data.train.shape, "classes": self.data.classes, "labels_per_class": count}
        write_tensors(weights, network.state_dict(), {**metadata, "vaebench": __version__})
