"""Comparison: the three models of one architecture of paper C at every number of labels; its architectures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaebench.core.frozen import stable_key
from vaebench.data.images import Dataset
from vaebench.evaluation.batched_linear import fit_each
from vaebench.evaluation.bounds import bounds
from vaebench.evaluation.image_statistics import sharpness
from vaebench.evaluation.learning_curves import label_draws
from vaebench.evaluation.probes import Head, Logistic, Probe
from vaebench.evaluation.scores import classification_scores
from vaebench.experiments.measurements import (
    evaluation_probabilities,
    pixels,
    reconstructions,
    train_evaluation_classifier,
)
from vaebench.experiments.trained import ProbeInput, TrainedModel
from vaebench.models.networks import MLP, Conv, Network
from vaebench.models.objectives import Elbo
from vaebench.models.vae import Model
from vaebench.papers.experiment import PaperExperiment
from vaebench.papers.text import format_values
from vaebench.training.loop import Training
from vaebench.training.prediction import LabelledSource
from vaebench.training.schedules import Adam, Constant, OneCycle

COUNTS = (1, 3, 5, 10, 100, 1000, "all")
"""Labels per class."""
FEW = (1, 3, 5)
MODELS = ("disentangled", "standard", "supervised")
BAD_RECONSTRUCTION = 150.0
"""Reconstruction loss in nats per image above which a reconstruction is bad."""
ENCODER = Conv(filters=(32, 64), kernel=(5,), stride=(1,), padding=(0,), pool=(2,), hidden=(1024,), batch_norm="none")
DECODER = Conv(filters=(64, 128), stride=(2,), hidden=(1024,), batch_norm="after")


@dataclass(frozen=True)
class Architecture:
    """Network of both VAEs and of the supervised baseline, and how long the VAEs train."""

    name: str
    title: str
    network: Network
    decoder: Network | None
    """None mirrors ``network``."""
    beta: float
    """Beta of the disentangled VAE."""
    full_epochs: int
    cpu_epochs: int
    cpu_rate: float


ARCHITECTURES = (
    Architecture("mlp", "MLP", MLP(hidden=(500, 500)), None, 4.0, 50, 25, 3e-3),
    Architecture("cnn", "CNN", ENCODER, DECODER, 6.0, 75, 8, 3e-3),
)
FURTHER_ARCHITECTURES = (
    Architecture("rotated", "MLP on rotated MNIST", MLP(hidden=(500, 500)), None, 4.0, 50, 15, 3e-3),
    Architecture("other", "another CNN (32-64-64, kernel 4, batch norm)", Conv(), None, 6.0, 75, 4, 2e-2),
)
CIFAR = Architecture("cifar", "rotated CIFAR-10", Conv(), None, 6.0, 75, 2, 1e-2)


class Comparison:
    """The three models of one architecture at every number of labels, all trained on the same draws of labels.

    Attributes:
        vaes: the disentangled and the standard VAE.
        draws: for each number of labels (as text), rows of the training images, one tensor per draw.
        results: accuracies and training loss by model and labels per class, see :meth:`fit_draws`.
    """

    def __init__(
        self,
        experiment: PaperExperiment,
        architecture: Architecture,
        data: Dataset,
        counts: Sequence[int | str] = COUNTS,
    ) -> None:
        self.experiment, self.architecture, self.data, self.counts = experiment, architecture, data, counts
        self.name = architecture.name
        self.vaes = {"disentangled": self._vae(architecture.beta), "standard": self._vae(1.0)}
        available = [self.available(count) for count in counts if count != "all"]
        rows = label_draws(data.train.labels, available, experiment.pick(2, 5, 5), seed=0)
        self.draws = {str(count): draws[:1] if count == 1000 else draws for count, draws in rows.items()}
        self.draws["all"] = [torch.arange(len(data.train))]
        names = {f"{self.name}/{model}-{count}": (model, count) for model in MODELS for count in counts}
        experiment.run_tasks({name: partial(self._result, *of) for name, of in names.items()})
        self.results = {(model, count): self._result(model, count) for model in MODELS for count in counts}

    def available(self, count: int | str) -> Any:
        """The number of labels per class itself; in the quick budget, one that its few images allow."""
        smaller: dict[Any, int] = {10: 8, 100: 12, 1000: 20} if self.experiment.budget == "quick" else {}
        return smaller.get(count, count)

    def rows(self, count: int | str) -> list[Tensor]:
        """Rows of the labelled training images, one tensor per draw."""
        return self.draws[str(self.available(count))]

    def _vae(self, beta: float) -> TrainedModel:
        architecture, experiment = self.architecture, self.experiment
        epochs = experiment.pick(1, architecture.cpu_epochs, architecture.full_epochs)
        training = Training(epochs=epochs, batch=100, optimiser=Adam(rate=1e-3), schedule=Constant())
        if experiment.budget != "full":
            optimiser, batch = Adam(rate=architecture.cpu_rate, beta2=0.99), experiment.pick(100, 256, 0)
            training = Training(epochs=epochs, batch=batch, optimiser=optimiser, schedule=OneCycle(rise=0.1))
        model = Model(latent=10, network=architecture.network, decoder=architecture.decoder)
        return experiment.vae(f"{self.name}-beta-{beta:g}", self.data, model, Elbo(beta=beta), training)

    def probe_input(self, model: str) -> ProbeInput:
        """Input of the model's classifier: posterior means, or the images themselves."""
        return self.experiment.images(self.data) if model == "supervised" else self.vaes[model].means

    def head(self, model: str, count: int | str) -> Head:
        """The paper's classifier; in the cpu budget many labels get fewer epochs at a larger batch size."""
        pick, full = self.experiment.pick, self.experiment.budget == "full"
        if model == "supervised":
            return Head(
                name="supervised",
                network=self.architecture.network,
                epochs=pick(1, {1000: 4, "all": 2}.get(count, 20), 100),
                batch=100 if full else 128,
                optimiser=Adam(rate=1e-3) if full else Adam(rate=2e-3, beta2=0.99),
                schedule=Constant() if full else OneCycle(),
                least_steps=pick(3, 100, 0),
            )
        epochs = pick(10, {"all": 10, 1000: 40}.get(count, 100), 100)
        batch = pick(100, 512 if count in (1000, "all") else 100, 100)
        return Head(epochs=epochs, batch=batch, optimiser=Adam(rate=1e-2))

    def fit_draws(self, probe: Probe, probe_input: ProbeInput, count: int | str) -> dict[str, Any]:
        """Test ``accuracy`` of every draw of labels, and the training cross-entropy ``loss`` of the last."""
        split = probe_input.split
        labelled: list[LabelledSource] = [split.train.take(rows) for rows in self.rows(count)]
        seeds = range(len(labelled))
        classifiers = fit_each(probe, labelled, len(self.data.classes), seeds, self.experiment.compute)
        tests = [classification_scores(predict(split.test), split.test.labels) for predict in classifiers]
        last = classification_scores(classifiers[-1](labelled[-1]), labelled[-1].labels)
        return {"accuracy": [scores["accuracy"] for scores in tests], "loss": last["cross_entropy"]}

    def _result(self, model: str, count: int | str) -> dict[str, Any]:
        head, probe_input = self.head(model, count), self.probe_input(model)
        draws = [len(rows) for rows in self.rows(count)]
        identity = {"head": stable_key(head), "reading": probe_input.key, "draws": draws, "seed": 0}
        name = f"{self.name}/{model}-{count}"
        return self.experiment.step(name, identity, lambda: self.fit_draws(head, probe_input, count))

    def mean(self, model: str, count: int | str) -> float:
        """Mean test accuracy over the draws."""
        return float(np.mean(self.results[model, count]["accuracy"]))

    def gap(self, count: int | str) -> float:
        """Accuracy of the disentangled model minus that of the supervised one, in points."""
        return 100 * (self.mean("disentangled", count) - self.mean("supervised", count))

    def summary(self) -> str:
        """Accuracies of the three models at every number of labels, as text."""
        return "; ".join(
            f"{count} per class: {format_values({model: self.mean(model, count) for model in MODELS}, '.3f', ' ')}"
            for count in self.counts
        )

    def logistic_accuracy(self, model: str, count: int) -> float:
        """Mean test accuracy of logistic regression over the draws."""
        probe, probe_input = Logistic(), self.vaes[model].means

        def fit() -> dict[str, Any]:
            return {"accuracy": self.fit_draws(probe, probe_input, count)["accuracy"]}

        draws = [len(rows) for rows in self.rows(count)]
        identity = {"probe": stable_key(probe), "reading": probe_input.key, "draws": draws}
        return float(np.mean(self.experiment.step(f"{self.name}/line-{model}-{count}", identity, fit)["accuracy"]))

    def reconstruction(self, model: str) -> dict[str, Any]:
        """Sharpness, loss, fraction of bad ones, and fraction of digits classified as 8, of reconstructions."""
        vae, classifier = self.vaes[model], train_evaluation_classifier(self.experiment, self.data)

        def measure() -> dict[str, Any]:
            x, labels = reconstructions(vae), self.data.test.labels
            classified = evaluation_probabilities(classifier, x).argmax(1)
            correct = evaluation_probabilities(classifier, pixels(self.data.test)).argmax(1) == labels
            autocompleted = torch.isin(labels, torch.tensor([3, 5, 9]))
            loss = bounds(vae.vae, self.data.test).reconstruction
            return {
                "sharpness": sharpness(x),
                "eight": {str(digit): _fraction(classified[(labels == digit) & correct] == 8) for digit in (3, 5, 9)},
                "eight_all": _fraction(classified[autocompleted & correct] == 8),
                "bad": float((loss > BAD_RECONSTRUCTION).double().mean()),
                "loss": float(loss.mean()),
            }

        identity = {"trial": vae.key, "judge": classifier.key, "worst": BAD_RECONSTRUCTION}
        return self.experiment.step(f"{self.name}/reconstruction-{model}", identity, measure)


def _fraction(flags: Tensor) -> float:
    return float(flags.double().mean()) if len(flags) else 0.0
