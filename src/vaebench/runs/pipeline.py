"""execute(): a recipe to a finished run, stage by stage; what is done is never done again."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vaebench import __version__
from vaebench.core.errors import VaebenchError
from vaebench.core.files import read_json, write_arrays, write_json, write_text
from vaebench.core.frozen import stable_key
from vaebench.core.locks import lock_folder
from vaebench.core.progress import ProgressCallback, ProgressEvent, StageTimer
from vaebench.core.provenance import commit
from vaebench.data.datasets import Data
from vaebench.data.images import Dataset, Progress
from vaebench.evaluation.alarms import alarms
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
from vaebench.evaluation.panels import Arrays, classifier_panels, confusion, head_arrays, panels
from vaebench.evaluation.probes import Logistic, Probe
from vaebench.models.classifying_vae import ClassifyingVAE
from vaebench.models.loss import Objective
from vaebench.models.objectives import Reconstruction
from vaebench.models.vae import VAE
from vaebench.runs.measures import Measurer, Measures
from vaebench.runs.recipe import Recipe
from vaebench.runs.run import SCHEMA, Run, claim_folder, load_classifier, load_vae, rows_as_csv
from vaebench.semi_supervised.graphs import Graph
from vaebench.semi_supervised.self_training import LabelPropagationProbe, SelfTrainingProbe
from vaebench.training.checkpoint import Checkpoint, write_tensors
from vaebench.training.compute import machine
from vaebench.training.distributed import DistributedContext, distributed
from vaebench.training.loop import TrainingEvent, train
from vaebench.training.prediction import predict_with

Load = Callable[[Data, Progress], Dataset]
KEPT_LABELS = 10
"""Labels a class of the self-trained network that a run keeps."""


def run(
    recipe: Recipe,
    path: str | Path,
    *,
    resume: bool = False,
    callback: ProgressCallback = lambda tick: None,
    load: Load = Data.load,
) -> Run:
    """Train, encode, probe and measure; leaves results.json and panels.npz in ``path``.

    ``load`` reads the recipe's data; one that keeps what it read serves many runs.

    Stopped at any moment and called again with ``resume``, it ends with the same bits. Where torchrun has started
    several processes they train together; the first alone goes on with the rest, and only its run is finished.

    Raises:
        VaebenchError: bad data, a folder in use or of another run, a resume that could not give the same bits.
        FloatingPointError: training diverged.
    """
    folder = Path(path)
    with ExitStack() as held:
        with distributed() as context:
            if context.is_main:
                held.enter_context(lock_folder(folder))
                recipe = claim_folder(recipe, recipe.compute.resolve(), folder, resume)
            work = _Pipeline(context.broadcast(lambda: recipe), folder, callback, load)
            done = context.broadcast(lambda: (folder / "results.json").exists())
            if not done:
                work.train(context)
        if context.is_main and not done:
            work.run()
    return Run.load(folder)


@dataclass
class _Pipeline:
    """One run under way."""

    recipe: Recipe
    folder: Path
    callback: ProgressCallback
    load: Load
    clock: StageTimer = field(default_factory=StageTimer)
    data: Dataset = field(init=False)
    self_training: SelfTrainingProbe | None = None

    def train(self, context: DistributedContext) -> None:
        """Read the data and do what the processes of a team do together: every training of the VAE and its rival."""
        with self.clock.stage("data"):
            for first in (True, False):  # what must be downloaded is downloaded once
                if context.is_main == first:
                    self.data = self.load(self.recipe.data, lambda what, done: self.callback(ProgressEvent(what, done)))
                context.broadcast(lambda: None)
        self.check_labels()
        self.train_one(context, "vae", "training", self.recipe.objective, self.folder)
        if "autoencoder" in self.recipe.evaluation.features:
            stage = "training the plain autoencoder"
            self.train_one(context, "autoencoder", stage, Reconstruction(), self.folder / "autoencoder")

    def run(self) -> None:
        """Measure what was trained."""
        vae = self.trained("training", self.folder)
        latents = latent_features("vae", vae, self.data)
        self.write_latents(latents)
        representations, readers = self.representations(latents)
        ledger = FitLog(self.folder / "cells.jsonl")
        taught = self.self_trained(vae, latents, ledger)
        with self.clock.stage("learning curve"):
            self.learning_curve(representations, readers, latents, ledger)
        measurer = Measurer(self.recipe, self.data, self.folder, self.clock, self.callback)
        measures = measurer.measure(vae, latents, taught)
        with self.clock.stage("scores and panels"):
            self.write_panels(vae, latents, measures, taught)
        self.write_results(measures, ledger)

    def train_one(self, context: DistributedContext, name: str, stage: str, objective: Objective, folder: Path) -> None:
        """Train a VAE by this objective and keep its weights, unless they are there."""
        weights, recipe = folder / "weights.safetensors", self.recipe
        if context.broadcast(weights.exists):
            return
        folder.mkdir(exist_ok=True)
        torch.manual_seed(recipe.seed)
        model = recipe.model.build(self.data.train.shape)
        growth = self.growth if name == "vae" else None
        checkpoint = Checkpoint(folder / "checkpoint.safetensors", self.identity(objective))
        result = train(
            model,
            objective,
            self.data.train.without_labels().to(recipe.compute.device).training_source,
            recipe.training,
            compute=recipe.compute,
            seed=recipe.seed,
            validation=self.data.validation.without_labels(),
            checkpoint=checkpoint,
            callback=self.training_watch(stage, model, growth),
        )
        if not context.is_main:
            return
        record = {"epochs": result.history, "best_epoch": result.best_epoch, "seconds": result.seconds}
        write_json(folder / "history.json", record)
        shape = {"image_shape": self.data.train.shape, "model": name, "vaebench": __version__}
        write_tensors(weights, model.state_dict(), shape)
        checkpoint.clear()

    def trained(self, stage: str, folder: Path) -> VAE:
        """The VAE whose weights are there."""
        self.clock.seconds[stage] = read_json(folder / "history.json")["seconds"]
        return load_vae(self.recipe, folder / "weights.safetensors").to(self.recipe.compute.device)

    def identity(self, objective: Objective) -> dict[str, Any]:
        """All that decides the bits of a training."""
        recipe = self.recipe.model_dump(mode="json", include={"model", "training", "compute", "seed"})
        return {
            **recipe,
            "objective": stable_key(objective),
            "data": self.data.train.fingerprint(),
            "machine": machine(),
        }

    @cached_property
    def growth(self) -> Growth:
        """What the VAE draws as its training goes on."""
        return Growth(self.folder / "growth.npz", self.recipe.training.epochs, self.recipe.seed)

    def training_watch(self, stage: str, model: VAE, growth: Growth | None) -> Callable[[TrainingEvent], None]:
        """The loop's moments as ticks of this stage; after some epochs, what the model draws."""

        def callback(at: TrainingEvent) -> None:
            if at.epoch is not None and growth is not None:
                growth.look(model, at.epoch["epoch"])
            self.callback(ProgressEvent(stage, at.step / at.steps, at.seconds_left, at.epoch))

        return callback

    def representations(self, latents: Features) -> tuple[dict[str, Features], dict[str, list[Probe]]]:
        """The representations that the recipe compares, and the probes that read each."""
        wanted = self.recipe.evaluation.features
        makers: dict[str, Callable[[], Features]] = {
            "vae": lambda: latents,
            "vae-sampled": lambda: latents.sampled("vae-sampled"),
            "autoencoder": self.autoencoder,
            "random": self.random_encoder,
            "pixels": lambda: pixel_features(self.data),
            "pca": lambda: pca_features(pixel_features(self.data), self.recipe.model.latent, self.recipe.seed),
        }
        found: dict[str, Features] = {}
        for index, name in enumerate(wanted):
            found[name] = makers[name]()
            self.callback(ProgressEvent("encoding", (index + 1) / len(wanted)))
        return found, {str(name): list(self.recipe.evaluation.probes) for name in wanted}

    def autoencoder(self) -> Features:
        """The same network, trained as a plain autoencoder under the same rule."""
        model = self.trained("training the plain autoencoder", self.folder / "autoencoder")
        return latent_features("autoencoder", model, self.data)

    def random_encoder(self) -> Features:
        """The same network, never trained."""
        torch.manual_seed(self.recipe.seed)
        return latent_features("random", self.recipe.model.build(self.data.train.shape).eval(), self.data)

    def write_latents(self, latents: Features) -> None:
        """latents.npz: means, log-variances and labels of each part."""
        parts = {"train": latents.train, "validation": latents.validation, "test": latents.test}
        arrays: Arrays = {}
        for name, codes in parts.items():
            arrays |= {f"{name}_mean": codes.mean.numpy(), f"{name}_labels": codes.labels.numpy()}
            if codes.log_variance is not None:
                arrays[f"{name}_log_variance"] = codes.log_variance.numpy()
        write_arrays(self.folder / "latents.npz", arrays)

    def learning_curve(
        self, representations: dict[str, Features], readers: dict[str, list[Probe]], latents: Features, ledger: FitLog
    ) -> None:
        """All cells of the few-label protocol, if the images have labels."""
        if not self.data.labelled:
            return
        rule = self.recipe.evaluation
        save_draws(self.folder / "label-draws.json", self.draws)
        standard = {name: features.standardised() for name, features in representations.items()}
        parts = {name: ProbeData(f.train, f.test) for name, f in standard.items()}
        if rule.supervised is not None:
            parts["images"] = ProbeData(self.data.train, self.data.test)
            readers["images"] = [rule.supervised.head(self.recipe.model.network)]
        if self.self_training is not None:
            parts["graph"] = ProbeData(PartiallyLabelled(latents.train), latents.test)
            readers["graph"] = [LabelPropagationProbe(self.self_training.method.propagation, self.self_training.graph)]
            parts["self-trained"] = ProbeData(PartiallyLabelled(self.data.train), self.data.test)
            readers["self-trained"] = [self.self_training]
        learning_curve(
            parts,
            readers,
            self.draws,
            len(self.data.classes),
            ledger=ledger,
            compute=self.recipe.compute,
            callback=lambda done, total: self.callback(ProgressEvent("learning curve", done / total)),
        )

    @cached_property
    def draws(self) -> dict[LabelCount, list[Tensor]]:
        """Rows of the training part for each count of labels and draw."""
        rule = self.recipe.evaluation
        return label_draws(self.data.train.labels, rule.labels_per_class, rule.draws, self.recipe.seed)

    def check_labels(self) -> None:
        """Self-training needs labels to draw."""
        if self.recipe.evaluation.self_training is not None and not (self.data.labelled and self.counts):
            raise VaebenchError(
                f"evaluation.self_training needs labels, and {self.data.name} has none for labels_per_class "
                f"{list(self.recipe.evaluation.labels_per_class)}; expected a folder a class with enough images in each"
            )

    @property
    def counts(self) -> list[int]:
        """Labels a class that are drawn, "all" left out."""
        return sorted(count for count in self.draws if count != "all")

    def self_trained(self, vae: VAE, latents: Features, ledger: FitLog) -> ClassifyingVAE | None:
        """The network that the run keeps: taught by the first draw of 10 labels a class, or of as many as there are."""
        method = self.recipe.evaluation.self_training
        if method is None:
            return None
        with self.clock.stage("self-training"):
            graph = Graph.of(latents.train.mean.numpy())
            self.self_training = SelfTrainingProbe(method, vae, graph)
            weights = self.folder / "self-trained" / "weights.safetensors"
            if not weights.exists():
                self.teach(self.self_training, weights, ledger)
        return load_classifier(self.recipe, weights).to(self.recipe.compute.device)

    def teach(self, method: SelfTrainingProbe, weights: Path, ledger: FitLog) -> None:
        """Train and keep that network; its accuracy is a cell of the learning curve."""
        count = next((count for count in self.counts if count >= KEPT_LABELS), self.counts[-1])
        source, classes = PartiallyLabelled(self.data.train).take(self.draws[count][0]), len(self.data.classes)
        network = method.network(
            source, classes, 0, self.recipe.compute, lambda share: self.callback(ProgressEvent("self-training", share))
        )
        cell = FitKey("self-trained", method.name, count, 0)
        if cell not in ledger.done:
            ledger.add(cell, accuracy(predict_with(network, 0, self.recipe.compute), self.data.test))
        weights.parent.mkdir(exist_ok=True)
        shape = {"image_shape": self.data.train.shape, "classes": self.data.classes, "labels_per_class": count}
        write_tensors(weights, network.state_dict(), {**shape, "vaebench": __version__})

    def write_panels(self, vae: VAE, latents: Features, measures: Measures, taught: ClassifyingVAE | None) -> None:
        """panels.npz: what the figures show."""
        arrays = panels(vae, self.data.test, latents.test, measures.bounds, self.recipe.seed)
        if self.data.labelled:
            standard = latents.standardised()
            line = Logistic().line(standard.train, len(self.data.classes))
            arrays["confusion"] = confusion(line(standard.test), standard.test.labels)
            arrays |= head_arrays(line.before(*latents.train.centre_and_scale()))
        if taught is not None:
            answers = predict_with(taught, 0, self.recipe.compute)(self.data.test)
            arrays |= classifier_panels(taught.vae, self.data.test, answers, self.recipe.seed)
        arrays |= measures.fidelity.panels if measures.fidelity else {}
        write_arrays(self.folder / "panels.npz", arrays | self.growth.panels())
        self.growth.path.unlink(missing_ok=True)
        self.callback(ProgressEvent("scores and panels", 1.0))

    def write_results(self, measures: Measures, ledger: FitLog) -> None:
        """results.json and results.csv: every number of the run."""
        rows = curve_rows(ledger, self.data.name) + measures.rows(self.recipe, self.data.name)
        write_text(self.folder / "results.csv", rows_as_csv(rows))
        write_json(
            self.folder / "results.json",
            {
                "schema": SCHEMA,
                "recipe": self.recipe.model_dump(mode="json"),
                "machine": machine(),
                "commit": commit(),
                "seconds": sum(self.clock.seconds.values()),
                "stages": self.clock.seconds,
                "data": {
                    "name": self.data.name,
                    "note": self.data.note,
                    "fingerprint": self.data.train.fingerprint(),
                    "images": {part: len(getattr(self.data, part)) for part in ("train", "validation", "test")},
                },
                "image_shape": self.data.train.shape,
                "classes": self.data.classes,
                "alarms": [{"name": alarm.name, "message": alarm.message} for alarm in alarms(measures.bounds)],
                "rows": rows,
            },
        )
