"""Bench: paper C's three models of one architecture, at every count of labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaebench.core.frozen import stable_key
from vaebench.data.images import Dataset
from vaebench.evaluation.batched_linear import fit_each
from vaebench.evaluation.bounds import bounds
from vaebench.evaluation.image_statistics import ink, sharpness, slant
from vaebench.evaluation.learning_curves import label_draws
from vaebench.evaluation.probes import Head, Logistic
from vaebench.evaluation.scores import classification_scores
from vaebench.experiments.measurements import (
    bounds_step,
    evaluation_probabilities,
    pixels,
    reconstructions,
    train_evaluation_classifier,
)
from vaebench.experiments.trained import ProbeInput, TrainedModel
from vaebench.models.objectives import Elbo
from vaebench.models.vae import Model
from vaebench.papers.disentangling.reported import COUNTS, FEW, MODELS, Family
from vaebench.papers.experiment import PaperExperiment
from vaebench.training.loop import Training
from vaebench.training.prediction import LabelledSource
from vaebench.training.schedules import Adam, Constant, OneCycle

WORST = 150.0
"""Nats per image from which a reconstruction counts as bad."""
WIDE = 0.03
"""Accuracy that counts as a wide margin."""


class DatasetExperiment:
    """One family's three models at every count of labels, all reading the same draws."""

    def __init__(
        self, experiment: PaperExperiment, family: Family, data: Dataset, counts: Sequence[int | str] = COUNTS
    ) -> None:
        self.experiment, self.family, self.data, self.counts = experiment, family, data, counts
        self.shown = {count: self.scaled(count) for count in counts}
        self.vaes = {"disentangled": self.vae(family.beta), "standard": self.vae(1.0)}
        rows = label_draws(
            data.train.labels, [c for c in self.shown.values() if c != "all"], experiment.pick(2, 5, 5), seed=0
        )
        self.draws = {str(count): drawn[:1] if count == 1000 else drawn for count, drawn in rows.items()}
        self.draws["all"] = [torch.arange(len(data.train))]
        self.cells = {(model, count): self.cell(model, count) for model in MODELS for count in counts}
        self.meaning: dict[int, str] = {}

    def scaled(self, count: int | str) -> Any:
        """The count itself; in quick, one that the few images can give."""
        smaller: dict[Any, int] = {10: 8, 100: 12, 1000: 20} if self.experiment.budget == "quick" else {}
        return smaller.get(count, count)

    def vae(self, beta: float) -> TrainedModel:
        """One VAE of this family."""
        family, experiment = self.family, self.experiment
        if experiment.budget == "full":
            training = Training(epochs=family.full_epochs, batch=100, optimiser=Adam(rate=1e-3), schedule=Constant())
        else:
            epochs = experiment.pick(1, family.cpu_epochs, 0)
            optimiser, schedule = Adam(rate=family.rate, beta2=0.99), OneCycle(rise=0.1)
            training = Training(
                epochs=epochs, batch=experiment.pick(100, 256, 0), optimiser=optimiser, schedule=schedule
            )
        model = Model(latent=10, network=family.network, decoder=family.decoder)
        return experiment.vae(f"{family.name}-beta-{beta:g}", self.data, model, Elbo(beta=beta), training)

    def reading(self, model: str) -> ProbeInput:
        """What the model's classifier reads: means, or the images themselves."""
        return self.experiment.images(self.data) if model == "supervised" else self.vaes[model].means

    def head(self, model: str, count: int | str) -> Head:
        """The paper's classifier; in cpu the large counts get fewer epochs at a larger batch."""
        pick, large = self.experiment.pick, count in (1000, "all")
        if model == "supervised":
            epochs = pick(1, {1000: 4, "all": 2}.get(count, 20), 100)
            steps = pick(3, 100, 0)
            optimiser = Adam(rate=1e-3) if self.experiment.budget == "full" else Adam(rate=2e-3, beta2=0.99)
            schedule = Constant() if self.experiment.budget == "full" else OneCycle()
            return Head(
                name="supervised",
                network=self.family.network,
                epochs=epochs,
                batch=100 if self.experiment.budget == "full" else 128,
                optimiser=optimiser,
                schedule=schedule,
                least_steps=steps,
            )
        epochs = pick(10, {"all": 10, 1000: 40}.get(count, 100), 100)
        return Head(epochs=epochs, batch=pick(100, 512 if large else 100, 100), optimiser=Adam(rate=1e-2))

    def cell(self, model: str, count: int | str) -> dict[str, Any]:
        """Test accuracies over the draws of labels, and the last draw's training cross-entropy."""
        head, reading = self.head(model, count), self.reading(model)
        drawn = self.draws[str(self.shown[count])]

        def fit() -> dict[str, Any]:
            accuracies, loss = [], 0.0
            few: list[LabelledSource] = [reading.split.train.take(rows) for rows in drawn]
            fitted = fit_each(head, few, len(self.data.classes), range(len(few)), self.experiment.compute)
            test = reading.split.test
            for predict, train in zip(fitted, few, strict=True):
                accuracies.append(classification_scores(predict(test), test.labels)["accuracy"])
                loss = classification_scores(predict(train), train.labels)["cross_entropy"]
            return {"accuracy": accuracies, "loss": loss}

        identity = {"head": stable_key(head), "reading": reading.key, "draws": [len(rows) for rows in drawn], "seed": 0}
        return self.experiment.step(f"{self.family.name}/{model}-{count}", identity, fit)

    def mean(self, model: str, count: int | str) -> float:
        """Mean test accuracy over the draws."""
        return float(np.mean(self.cells[model, count]["accuracy"]))

    def gap(self, count: int | str) -> float:
        """Disentangled minus supervised, in points."""
        return 100 * (self.mean("disentangled", count) - self.mean("supervised", count))

    def in_words(self) -> str:
        """Accuracies of the three models at every count."""
        return "; ".join(
            f"{count} a class: " + ", ".join(f"{model} {self.mean(model, count):.3f}" for model in MODELS)
            for count in self.counts
        )

    def fill(self) -> None:
        """The rows of this architecture."""
        name, experiment = self.family.name, self.experiment
        for (model, count), cell in self.cells.items():
            why = "read figure-4; n counts draws of labels" if len(cell["accuracy"]) > 1 else "one draw"
            experiment.found(f"{name}-{model}-{count}", cell["accuracy"], holds=None, why=why)
        self._order()
        self._converged_lines()
        self._converge()
        self._fallen()
        self._meaning()
        self._pictures()

    def _order(self) -> None:
        name, experiment = self.family.name, self.experiment
        margins = [
            min(self.mean("disentangled", n) - self.mean("standard", n), self.mean("standard", n) - self.mean("supervised", n))
            for n in FEW
        ]  # fmt: skip
        words = "; ".join(f"{n}: " + " / ".join(f"{self.mean(m, n):.3f}" for m in MODELS) for n in FEW)
        steps = f"the smallest step down is {100 * min(margins):+.1f} points"
        why = f"disentangled, standard, supervised at {words}; {steps}; a line trained to convergence is a row of ours"
        experiment.found(f"wide-{name}", self.gap(1), holds=min(margins) >= WIDE, why=why)
        gaps = {n: self.gap(n) for n in (1, 10, 100, "all")}
        words = ", ".join(f"{n}: {gap:+.1f}" for n, gap in gaps.items())
        holds = abs(gaps["all"]) < abs(gaps[1]) / 2 or gaps[1] > 0 > gaps["all"]
        experiment.found(
            f"closes-{name}", gaps["all"], holds=holds, why=f"disentangled minus supervised in points, {words}"
        )
        losses = {model: self.cells[model, "all"]["loss"] for model in MODELS}
        words = ", ".join(f"{model} {loss:.3f}" for model, loss in losses.items())
        holds = losses["supervised"] < losses["standard"] < losses["disentangled"]
        experiment.found(f"loss-{name}", losses["disentangled"], holds=holds, why=f"all labels, nats: {words}")

    def _converged_lines(self) -> None:
        """Logistic regression on the same latents and draws: 100 epochs of a few labels are few steps."""
        found = {model: [self._line(model, count) for count in FEW] for model in self.vaes}
        words = "; ".join(
            f"{model} {' / '.join(f'{value:.3f}' for value in values)}" for model, values in found.items()
        )
        trained = " / ".join(f"{self.mean('disentangled', count):.3f}" for count in FEW)
        rival = " / ".join(f"{self.mean('supervised', count):.3f}" for count in FEW)
        why = f"logistic regression at 1 / 3 / 5: {words}; the paper's line, disentangled {trained}; supervised {rival}"
        self.experiment.found(
            f"converged-{self.family.name}", float(np.mean(found["disentangled"])), holds=None, why=why
        )

    def _line(self, model: str, count: int) -> float:
        """Mean test accuracy of logistic regression over the draws."""
        probe, reading, drawn = Logistic(), self.vaes[model].means, self.draws[str(self.shown[count])]

        def fit() -> dict[str, Any]:
            test, found = reading.split.test, []
            for draw, rows in enumerate(drawn):
                predict = probe.fit(
                    reading.split.train.take(rows), len(self.data.classes), draw, self.experiment.compute
                )
                found.append(classification_scores(predict(test), test.labels)["accuracy"])
            return {"accuracy": found}

        identity = {"probe": stable_key(probe), "reading": reading.key, "draws": [len(rows) for rows in drawn]}
        return float(
            np.mean(self.experiment.step(f"{self.family.name}/line-{model}-{count}", identity, fit)["accuracy"])
        )

    def _converge(self) -> None:
        rows = self.draws[str(self.scaled(100))][0]
        epochs = {}
        for model in MODELS:
            head = self.head(model, 100).model_copy(
                update={"epochs": self.experiment.pick(3, 30, 100), "least_steps": 0}
            )
            whole = self.reading(model)
            reading = ProbeInput(f"{whole.key}/100", lambda whole=whole: _few(whole, rows))  # type: ignore[misc]
            found = self.experiment.curves(f"{self.family.name}/converge-{model}", head, reading, 10)
            best = max(record["validation_accuracy"] for record in found["epochs"])
            epochs[model] = next(r["epoch"] for r in found["epochs"] if r["validation_accuracy"] >= best - 0.01)
        ratio = max(epochs.values()) / min(epochs.values())
        words = ", ".join(f"{model} {count}" for model, count in epochs.items())
        why = f"epochs to within a point of the best validation accuracy at 100 labels a class: {words}"
        self.experiment.found(f"epochs-{self.family.name}", ratio, holds=ratio <= 1.5, why=why)

    def _fallen(self) -> None:
        for model, vae in self.vaes.items():
            found = bounds_step(self.experiment, f"{self.family.name}-{model}", vae)["test"]
            share = found["dead"] / 10
            words = f"{found['dead']} of 10 below 0.05 nats, {found['active']} active; KL {found['kl']:.1f} nats"
            if model == "standard":
                self.experiment.found(f"fallen-standard-{self.family.name}", share, holds=share == 0, why=words)
            else:
                self.experiment.found(f"fallen-{self.family.name}", share, holds=0.35 < share < 0.55, why=words)

    def _meaning(self) -> None:
        """Which latent goes with slant, and which with ink."""
        vae = self.vaes["disentangled"]

        def measure() -> dict[str, Any]:
            x = pixels(self.data.test)
            mean = vae.features.test.mean.double().numpy()
            against = {"slant": slant(x).numpy(), "ink": ink(x).double().numpy()}
            return {
                what: [_correlation(mean[:, d], values) for d in range(mean.shape[1])]
                for what, values in against.items()
            }

        found = self.experiment.step(f"{self.family.name}/meaning", {"trial": vae.key}, measure)
        for key, what, words in (("rotation", "slant", "slant"), ("thickness", "ink", "ink")):
            strengths = np.abs(found[what])
            best = int(strengths.argmax())
            rest = float(np.sort(strengths)[-2])
            why = f"z{best} correlates {found[what][best]:+.2f} with {words} over the test images, the next latent {rest:.2f}"
            holds = bool(strengths[best] > 0.5)
            self.experiment.found(f"{key}-{self.family.name}", float(strengths[best]), holds=holds, why=why)
            self.meaning[best] = " and ".join([*filter(None, [self.meaning.get(best)]), words])

    def reconstruction(self, model: str) -> dict[str, Any]:
        """Sharpness, bad reconstructions, and what the judge reads."""
        vae, reader = self.vaes[model], train_evaluation_classifier(self.experiment, self.data)

        def measure() -> dict[str, Any]:
            x, labels = reconstructions(vae), self.data.test.labels
            read = evaluation_probabilities(reader, x).argmax(1)
            right = evaluation_probabilities(reader, pixels(self.data.test)).argmax(1) == labels
            turned = {str(d): _share(read[(labels == d) & right] == 8) for d in (3, 5, 9)}
            loss = bounds(vae.vae, self.data.test).reconstruction
            return {
                "sharpness": sharpness(x),
                "eight": turned,
                "eight_all": _share(read[torch.isin(labels, torch.tensor([3, 5, 9])) & right] == 8),
                "bad": float((loss > WORST).double().mean()),
                "loss": float(loss.mean()),
            }

        identity = {"trial": vae.key, "judge": reader.key, "worst": WORST}
        return self.experiment.step(f"{self.family.name}/reconstruction-{model}", identity, measure)

    def _pictures(self) -> None:
        found = {model: self.reconstruction(model) for model in self.vaes}
        dis, std = found["disentangled"], found["standard"]
        ratio = dis["sharpness"] / std["sharpness"]
        why = f"root mean squared gradient {dis['sharpness']:.3f} against {std['sharpness']:.3f}; {dis['loss']:.1f} against {std['loss']:.1f} nats"
        self.experiment.found(f"blur-{self.family.name}", ratio, holds=ratio < 0.98, why=why)
        words = ", ".join(f"{d}s {dis['eight'][d]:.1%} ({std['eight'][d]:.1%})" for d in ("3", "5", "9"))
        why = f"read as 8 by a CNN after reconstruction, in brackets the standard VAE: {words}"
        holds = dis["eight_all"] > 0.05 and dis["eight_all"] > 2 * std["eight_all"]
        self.experiment.found(f"eight-{self.family.name}", dis["eight_all"], holds=holds, why=why)


def _share(flags: Tensor) -> float:
    return float(flags.double().mean()) if len(flags) else 0.0


def _few(whole: ProbeInput, rows: Tensor) -> Any:
    split = whole.split
    return replace(split, train=split.train.take(rows))


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    spread = a.std() * b.std()
    return float(np.mean((a - a.mean()) * (b - b.mean())) / spread) if spread > 1e-12 else 0.0
