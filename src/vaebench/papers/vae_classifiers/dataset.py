"""DatasetExperiment: the protocol of paper A on one data set, and the settings of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from vaebench.data import download, official
from vaebench.data.datasets import Data
from vaebench.evaluation.probes import KNN, Head
from vaebench.experiments.trained import ProbeInput, TrainedModel
from vaebench.models.networks import MLP, Conv
from vaebench.models.objectives import Elbo
from vaebench.models.vae import Model
from vaebench.papers.experiment import PaperExperiment
from vaebench.papers.notebooks import NotebookLoss, make_notebook_vae, pixel_mean_and_sd
from vaebench.papers.text import format_epochs
from vaebench.training.loop import Training
from vaebench.training.schedules import Adam, Constant, OneCycle

PAPER_TEN = ("tree", "t-shirt", "ice cream", "fish", "face", "car", "bowtie", "apple", "flamingo", "sheep")
"""Quick Draw classes of the paper."""
DEEPER_NETWORK = Conv(filters=(32, 64, 64, 64), kernel=(4, 4, 4, 3), stride=(2, 2, 1, 1))
MODEL = Model(network=Conv())
SMALL_HEAD = MLP(hidden=(15,))
LARGE_HEAD = MLP(hidden=(40, 40, 30, 20), activation="selu")


@dataclass(frozen=True)
class Settings:
    """One data set: the paper's VAE and large head, and our VAE; the defaults are those of MNIST."""

    title: str
    model: Model = MODEL
    large_head: MLP = LARGE_HEAD
    head_epochs: int = 8
    full_epochs: int = 80
    cpu_epochs: int = 4
    notebook_batch: int = 128
    notebook_cpu_epochs: int = 2
    our_model: Model = MODEL
    our_beta: float = 1.0
    our_cpu_epochs: int = 5
    cnn_cpu_epochs: int = 3


SETTINGS = {
    "mnist": Settings(title="MNIST"),
    "fashion": Settings(
        title="Fashion-MNIST",
        head_epochs=5,
        notebook_batch=32,
        notebook_cpu_epochs=1,
        our_model=Model(latent=40, network=Conv()),
        our_beta=0.3,
        our_cpu_epochs=6,
    ),
    "quickdraw": Settings(
        title="Quick Draw",
        model=Model(latent=30, network=DEEPER_NETWORK),
        large_head=MLP(hidden=(50, 40, 30, 20), activation="selu", batch_norm="before"),
        head_epochs=9,
        full_epochs=456,
        cpu_epochs=12,
        notebook_cpu_epochs=8,
        our_model=Model(latent=50, network=DEEPER_NETWORK),
        our_beta=0.3,
        our_cpu_epochs=15,
        cnn_cpu_epochs=8,
    ),
}


def _choose_data(name: str) -> Data:
    """The paper's data set; for Quick Draw ten other classes with 2,000 drawings where only they are available."""
    if name != "quickdraw":
        return Data(source={"mnist": "mnist", "fashion": "fashion-mnist"}[name])

    def available(classes: tuple[str, ...]) -> bool:
        return all(download.find(official.QUICKDRAW, f"{name}.npy") for name in classes)

    if available(official.TEN_DRAWINGS) and not available(PAPER_TEN):
        return Data(source="quickdraw", validation_fraction=0.3)
    return Data(source="quickdraw", classes=PAPER_TEN, per_class=15000, validation_fraction=0.3)


def make_training(experiment: PaperExperiment, cpu: int, full: int) -> Training:
    """The paper's training in the full budget; otherwise a one-cycle schedule at a larger batch size, tuned on
    validation, for ``cpu`` epochs."""
    if experiment.budget == "full":
        return Training(epochs=full, batch=128, optimiser=Adam(rate=1e-3), schedule=Constant())
    epochs, batch = experiment.pick(1, cpu, full), experiment.pick(128, 512, 128)
    return Training(epochs=epochs, batch=batch, optimiser=Adam(rate=2e-2, beta2=0.99), schedule=OneCycle(rise=0.1))


def make_head(experiment: PaperExperiment, network: MLP, epochs: int) -> Head:
    """A head as the paper trains it."""
    optimiser, schedule = Adam(rate=5e-3, beta2=0.99), OneCycle(rise=0.2)
    epochs = experiment.pick(2, epochs, epochs)
    return Head(name="head", network=network, epochs=epochs, optimiser=optimiser, schedule=schedule)


class DatasetExperiment:
    """The paper's VAE and heads on one data set, their variants and the supervised baseline.

    Attributes:
        substitute: whether other classes stand in for the paper's, which allows no verdict.
        effective_beta: weight of the KL that the notebooks really use.
        vaes: the paper's VAE, one per seed.
        sampled: results of the large head on sampled z, one per seed.
        means: results of the large head on posterior means, one per seed.
    """

    def __init__(self, experiment: PaperExperiment, name: str) -> None:
        self.experiment, self.name, self.settings = experiment, name, SETTINGS[name]
        self.data = data = experiment.data(_choose_data(name))
        self.classes = len(data.classes)
        self.substitute = name == "quickdraw" and data.classes != PAPER_TEN
        self.effective_beta = 3 / self.settings.notebook_batch
        model, objective = self.settings.model, Elbo(beta=3.0)
        training = make_training(experiment, self.settings.cpu_epochs, self.settings.full_epochs)
        seeds = experiment.seeds(cpu=3)
        self.vaes = [experiment.vae(f"{name}-{seed}", data, model, objective, training, seed) for seed in seeds]
        self._share_heads()
        self.sampled = self._fit_heads("large", sampled=True)
        self.means = self._fit_heads("large-means", sampled=False)

    def _share_heads(self) -> None:
        """Fit the heads of the table and the variants, which are read below, those of one VAE after each other."""
        tasks: dict[str, Callable[[], object]] = {
            f"{self.name}/heads-{seed}": partial(self._fit_heads_of, vae, seed) for seed, vae in enumerate(self.vaes)
        }
        tasks[f"{self.name}/cnn"] = lambda: self.cnn
        tasks[f"{self.name}/coded"] = self._fit_notebook_heads
        tasks[f"{self.name}/own"] = lambda: self.our_result
        self.experiment.run_tasks(tasks)

    def _fit_heads_of(self, vae: TrainedModel, seed: int) -> None:
        for name, source in (("", vae.sampled), ("-means", vae.means)):
            self.fit_head(f"large{name}-{seed}", source, seed)
            self.fit_head(f"small{name}-{seed}", source, seed, 6, SMALL_HEAD)

    def _fit_notebook_heads(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Results on sampled z and on means of the notebooks' VAE."""
        vae = self.notebook_vae
        return self.fit_head("coded", vae.sampled), self.fit_head("coded-means", vae.means)

    def _fit_heads(self, name: str, sampled: bool, network: MLP | None = None, epochs: int = 0) -> list[dict[str, Any]]:
        inputs = [vae.sampled if sampled else vae.means for vae in self.vaes]
        return [self.fit_head(f"{name}-{seed}", each, seed, epochs, network) for seed, each in enumerate(inputs)]

    def fit_head(
        self, name: str, probe_input: ProbeInput, seed: int = 0, epochs: int = 0, network: MLP | None = None
    ) -> dict[str, Any]:
        """Results and learning curves of the large head, or of another one; its epoch is chosen on validation."""
        settings = self.settings
        head = make_head(self.experiment, network or settings.large_head, epochs or settings.head_epochs)
        return self.experiment.curves(f"{self.name}/{name}", head, probe_input, self.classes, seed)

    def record(self, key: str, values: float | int | Sequence[float | int], explanation: str) -> None:
        """Record a result; substitute classes allow no verdict on a reported number."""
        if self.substitute and self.experiment.paper.reported_results[key].reported is not None:
            self.experiment.record(key, values, f"substitute classes; {explanation}", agrees=None)
        else:
            self.experiment.record(key, values, explanation)

    def record_table(self) -> None:
        """Record small and large heads on sampled z and on means, and Table 1."""
        name, epochs = self.name, format_epochs(self.settings.head_epochs)
        small = per_seed(self._fit_heads("small", True, SMALL_HEAD, 6))
        small_means = per_seed(self._fit_heads("small-means", False, SMALL_HEAD, 6))
        sampled, means = per_seed(self.sampled), per_seed(self.means)
        notebook = self.fit_head("coded", self.notebook_vae.sampled)["accuracy"]
        on_means = f"accuracy on means {np.mean(means):.3f}, and {notebook:.3f} at the notebooks' effective beta of {self.effective_beta:.3f}"
        noisy = "beta 3 per image makes z noisy"
        self.record(f"small-{name}", small, f"{noisy}: accuracy on means {np.mean(small_means):.3f}")
        self.record(f"large-{name}", sampled, f"{noisy}: {on_means}")
        vae_epochs = format_epochs(len(self.vaes[0].history))
        self.record(f"table-{name}", sampled, f"{vae_epochs} of the VAE, beta 3 per image: {on_means}")
        nats = np.mean(per_seed(self.means, "cross_entropy"))
        self.record(f"nats-{name}", per_seed(self.sampled, "cross_entropy"), f"on means {nats:.3f} nats")
        explanation = f"{epochs}, encoded once; {self.experiment.device}"
        self.record(f"seconds-{name}", per_seed(self.sampled, "seconds"), explanation)
        self.record(f"means-{name}", means, "five-layer head, its epoch chosen on validation")
        self.record(f"means-small-{name}", small_means, "two-layer head, 6 epochs")

    def record_variants(self) -> None:
        """Record the notebooks' variant, the supervised baseline, and our recipe."""
        name, vae, cnn = self.name, self.notebook_vae, self.cnn
        on_sampled, on_means = self._fit_notebook_heads()
        explanation = f"effective beta {self.effective_beta:.3f} instead of 3; beta of 3 per image gives {np.mean(per_seed(self.sampled)):.3f}"
        self.record(f"coded-{name}", on_sampled["accuracy"], explanation)
        self.record(f"coded-means-{name}", on_means["accuracy"], "the same latents without noise")
        active = self._count_active(vae)
        explanation = f"ReLU on mean and log-variance: {active} of {self.settings.model.latent} latents vary (counted after {format_epochs(len(vae.history))})"
        self.record(f"alive-{name}", active, explanation)
        if name == "mnist":
            losses = [record["loss"] for record in vae.history]
            by_epoch = ", ".join(f"{loss:,.0f}" for loss in losses)
            explanation = f"nats per image by epoch: {by_epoch}; the reported one is summed over a batch"
            self.experiment.record("unbounded", losses[-1], explanation, agrees=bool(losses[-1] < 0))
        explanation = f"{cnn['seconds']:.0f} s of training, {format_epochs(len(cnn['epochs']))}"
        self.record(f"cnn-{name}", cnn["accuracy"], explanation)
        result, explanation = self.our_result
        self.record(f"own-{name}", result["accuracy"], explanation)

    @cached_property
    def notebook_vae(self) -> TrainedModel:
        """The VAE of the notebooks, trained with their loss."""
        settings, data, (mean, sd) = self.settings, self.data, pixel_mean_and_sd(self.data)
        training = Training(
            epochs=self.experiment.pick(1, settings.notebook_cpu_epochs, settings.full_epochs),
            batch=settings.notebook_batch,
            optimiser=Adam(rate=5e-3),
            schedule=Constant(),
            clip_norm=1e6,
        )
        return self.experiment.network(
            f"{self.name}-coded",
            data,
            lambda: make_notebook_vae(settings.model, data),
            (data.train.without_labels(), data.validation.without_labels()),
            NotebookLoss(beta=self.effective_beta, mean=mean, sd=sd),
            training,
            0,
            {"model": settings.model.model_dump(), "variant": "as coded"},
        )

    def _count_active(self, vae: TrainedModel) -> int:
        """Latents whose mean has a variance above 0.01 over the test images."""

        def measure() -> dict[str, Any]:
            return {"variance": vae.features.test.mean.var(0).tolist()}

        variances = self.experiment.step(f"{self.name}/alive", {"trial": vae.key}, measure)["variance"]
        return sum(variance > 0.01 for variance in variances)

    @cached_property
    def cnn(self) -> dict[str, Any]:
        """Result of the supervised baseline, the paper's encoder trained from pixels."""
        head = Head(
            name="cnn",
            network=self.settings.model.network,
            epochs=self.experiment.pick(1, self.settings.cnn_cpu_epochs, 10),
            optimiser=Adam(rate=4e-3, beta2=0.99, weight_decay=0.01),
            schedule=OneCycle(),
        )
        return self.experiment.curves(f"{self.name}/cnn", head, self.experiment.images(self.data), self.classes)

    @cached_property
    def our_vae(self) -> TrainedModel:
        """The VAE of our recipe."""
        settings = self.settings
        training = make_training(self.experiment, settings.our_cpu_epochs, settings.full_epochs)
        objective = Elbo(beta=settings.our_beta)
        return self.experiment.vae(f"{self.name}-own", self.data, settings.our_model, objective, training)

    @cached_property
    def our_result(self) -> tuple[dict[str, Any], str]:
        """Result and explanation of our recipe: lower beta, posterior means, the better classifier on validation."""
        vae, pick = self.our_vae, self.experiment.pick
        wide = Head(
            name="wide",
            network=MLP(hidden=(512, 512), batch_norm="before", dropout=0.4),
            epochs=pick(2, 12, 30),
            least_steps=pick(0, 1800, 1800),
            batch=256,
            optimiser=Adam(rate=5e-3, beta2=0.99, weight_decay=0.01),
            schedule=OneCycle(),
        )
        noisy = ProbeInput(f"{vae.key}/noisy", lambda: replace(vae.means.split, train=vae.sampled.split.train))
        results = {}
        for title, name, probe, probe_input in (
            ("a 512-512 head trained on sampled z", "wide", wide, noisy),
            ("kNN", "knn", KNN(), vae.means),
        ):
            results[title] = self.experiment.probe(f"{self.name}/own/{name}", probe, probe_input, self.classes)
        best, other = sorted(results, key=lambda title: -results[title]["validation_accuracy"])
        chosen, rejected = (f"{results[title]['validation_accuracy']:.4f}" for title in (best, other))
        explanation = f"means classified by {best}, chosen on validation: {chosen} against {rejected} of {other}"
        return results[best], explanation


def per_seed(results: list[dict[str, Any]], score: str = "accuracy") -> list[float]:
    """One score of each result."""
    return [float(result[score]) for result in results]
