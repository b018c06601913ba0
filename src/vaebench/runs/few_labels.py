"""The few-label protocol of a run: label draws, the kept self-trained network, the learning curve of all methods."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import Tensor

from vaebench import __version__
from vaebench.core.errors import VaebenchError
from vaebench.deprecated import rename_fit_log
from vaebench.evaluation.features import Features
from vaebench.evaluation.learning_curves import (
    FitKey,
    FitLog,
    LabelCount,
    PartiallyLabelled,
    ProbeData,
    accuracy,
    label_draws,
    learning_curve,
    save_draws,
)
from vaebench.evaluation.probes import Probe
from vaebench.models.classifying_vae import ClassifyingVAE
from vaebench.models.vae import VAE
from vaebench.runs.context import RunContext
from vaebench.runs.run import load_classifier
from vaebench.semi_supervised.graphs import Graph
from vaebench.semi_supervised.self_training import LabelPropagationProbe, SelfTrainingProbe
from vaebench.training.checkpoint import write_tensors
from vaebench.training.prediction import predict_with

Claim = Callable[[FitKey], AbstractContextManager[bool]]
KEPT_LABELS = 10
"""Labels per class of the self-trained network that a run keeps."""


@dataclass
class FewLabelProtocol:
    """Every method of the recipe on the same label draws; finished fits are kept in fits.jsonl."""

    run: RunContext
    self_training: SelfTrainingProbe | None = None
    claim: Claim = lambda fit: nullcontext(True)
    """Claims a fit for this process where several share them: see :func:`learning_curve`."""
    shared: bool = False
    """Whether several processes share the fits."""

    @cached_property
    def fits(self) -> FitLog:
        """The finished fits."""
        rename_fit_log(self.run.folder)
        return FitLog(self.run.folder / "fits.jsonl", shared=self.shared)

    @cached_property
    def draws(self) -> dict[LabelCount, list[Tensor]]:
        """Labelled training rows of every draw, by labels per class."""
        recipe = self.run.recipe
        settings = recipe.evaluation
        return label_draws(self.run.data.train.labels, settings.labels_per_class, settings.draws, recipe.seed)

    @property
    def counts(self) -> list[int]:
        """The measured numbers of labels per class, without "all"."""
        return sorted(count for count in self.draws if count != "all")

    def check_labels(self) -> None:
        """Raise `VaebenchError` if the recipe asks for a method that needs labels and none can be drawn."""
        settings, data = self.run.recipe.evaluation, self.run.data
        field = next((field for field in ("self_training", "semi_supervised") if getattr(settings, field)), None)
        drawn = data.labelled and (self.counts if field == "self_training" else self.draws)
        if field is not None and not drawn:
            raise VaebenchError(
                f"evaluation.{field} needs labels, and {data.name} has none for labels_per_class "
                f"{list(settings.labels_per_class)}; expected one folder per class with enough images"
            )

    def learning_curve(self, representations: dict[str, Features], latents: Features) -> None:
        """Fit every probe and classifier of the few-label protocol, if the images have labels."""
        recipe, data = self.run.recipe, self.run.data
        if not data.labelled:
            return
        settings = recipe.evaluation
        save_draws(self.run.folder / "label-draws.json", self.draws)
        standard = {name: features.standardised() for name, features in representations.items()}
        parts = {name: ProbeData(f.train, f.test) for name, f in standard.items()}
        probes: dict[str, list[Probe]] = {name: list(settings.probes) for name in representations}
        partly_labelled = ProbeData(PartiallyLabelled(data.train), data.test)
        if settings.supervised is not None:
            parts["images"] = ProbeData(data.train, data.test)
            probes["images"] = [settings.supervised.head(recipe.model.network)]
        for method in settings.semi_supervised:
            parts[method.name], probes[method.name] = partly_labelled, [method]
        if self.self_training is not None:
            parts["graph"] = ProbeData(PartiallyLabelled(latents.train), latents.test)
            probes["graph"] = [LabelPropagationProbe(self.self_training.method.propagation, self.self_training.graph)]
            parts["self-trained"], probes["self-trained"] = partly_labelled, [self.self_training]
        report = self.run.progress("learning curve")
        learning_curve(
            parts,
            probes,
            self.draws,
            len(data.classes),
            log=self.fits,
            compute=recipe.compute,
            callback=lambda done, total: report(done / total),
            claim=self.claim,
        )

    def prepare(self, vae: VAE, latents: Features) -> None:
        """Build the graph of self-training, if the recipe asks for it."""
        method = self.run.recipe.evaluation.self_training
        if method is not None:
            with self.run.timer.stage("self-training"):
                self.self_training = SelfTrainingProbe(method, vae, Graph.from_codes(latents.train.mean.numpy()))

    def classifier(self) -> ClassifyingVAE | None:
        """The self-trained network that the run keeps; None without self-training."""
        if self.self_training is None:
            return None
        with self.run.timer.stage("self-training"):
            weights = self.train_classifier(self.self_training)
        return load_classifier(self.run.recipe.model, weights).to(self.run.recipe.compute.device)

    def train_classifier(self, method: SelfTrainingProbe) -> Path:
        """Self-train on the first draw of `KEPT_LABELS` or more labels per class, or else of the largest count; return
        the file of weights, which is not made again.

        The accuracy becomes a point of the learning curve.
        """
        weights = self.run.folder / "self-trained" / "weights.safetensors"
        count = next((count for count in self.counts if count >= KEPT_LABELS), self.counts[-1])
        fit = FitKey("self-trained", method.name, count, 0)
        with self.claim(fit):
            if not weights.exists():
                self._train_classifier(method, fit, weights)
        return weights

    def _train_classifier(self, method: SelfTrainingProbe, fit: FitKey, weights: Path) -> None:
        data, compute = self.run.data, self.run.recipe.compute
        count = fit.labels_per_class
        source = PartiallyLabelled(data.train).take(self.draws[count][0])
        network = method.network(source, len(data.classes), 0, compute, self.run.progress("self-training"))
        if fit not in self.fits.done:
            self.fits.add(fit, accuracy(predict_with(network, 0, compute), data.test))
        weights.parent.mkdir(exist_ok=True)
        metadata = {"image_shape": data.train.shape, "classes": data.classes, "labels_per_class": count}
        write_tensors(weights, network.state_dict(), {**metadata, "vaebench": __version__})
