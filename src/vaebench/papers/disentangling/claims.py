"""Paper C's claims across its architectures, and its future work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from vaebench.core.frozen import stable_key
from vaebench.data.images import Dataset, MixedSource, UnlabelledSource
from vaebench.evaluation.batched_linear import fit_each
from vaebench.evaluation.error_analysis import (
    agreement,
    confusion_distance,
    expected_shared,
    shared_errors,
    unique_errors,
)
from vaebench.evaluation.features import Grid
from vaebench.evaluation.panels import Arrays, confusion
from vaebench.evaluation.probes import Head
from vaebench.evaluation.scores import Split, classification_scores
from vaebench.experiments.experiment import cifar10
from vaebench.models.likelihoods import GaussianPixelScale
from vaebench.models.m2 import M2, M2Elbo, M2Model
from vaebench.models.networks import MLP, Conv
from vaebench.models.objectives import Elbo
from vaebench.models.vae import Model
from vaebench.papers.disentangling.dataset import WORST, DatasetExperiment
from vaebench.papers.disentangling.reported import FEW, MODELS, Family
from vaebench.papers.experiment import PaperExperiment
from vaebench.papers.paper import in_epochs
from vaebench.plotting.plots import bars
from vaebench.training.loop import Training
from vaebench.training.prediction import LabelledSource, predict_with
from vaebench.training.schedules import SGD, Adam, Constant, OneCycle, WarmUpCosine


def across(experiment: PaperExperiment, benches: dict[str, DatasetExperiment]) -> None:
    """Claims that compare the two architectures."""
    gaps = {name: float(np.mean([bench.gap(n) for n in FEW])) for name, bench in benches.items()}
    why = f"disentangled minus supervised, mean over 1, 3, 5: CNN {gaps['cnn']:+.1f}, MLP {gaps['mlp']:+.1f} points"
    experiment.found("gap-cnn", gaps["cnn"] - gaps["mlp"], holds=gaps["cnn"] > gaps["mlp"], why=why)
    found = {(name, model): bench.reconstruction(model) for name, bench in benches.items() for model in bench.vaes}
    ratio = found["cnn", "standard"]["sharpness"] / found["mlp", "standard"]["sharpness"]
    dis = found["cnn", "disentangled"]["sharpness"] / found["mlp", "disentangled"]["sharpness"]
    experiment.found("crisp", ratio, holds=ratio > 1.02, why=f"the disentangled ones: {dis:.2f}")
    shares = {f"{name} {model}": value["bad"] for (name, model), value in found.items()}
    words = ", ".join(f"{name} {share:.1%}" for name, share in shares.items())
    why = f"test images above {WORST:g} nats of reconstruction: {words}"
    rarest = min(shares, key=lambda name: shares[name])
    experiment.found("bad", shares["mlp standard"], holds=rarest == "mlp standard", why=why)


def optimisers(experiment: PaperExperiment, bench: DatasetExperiment) -> None:
    """Other learning rules for the linear layer on the disentangled latents, and SGD for the VAE."""
    base = bench.head("disentangled", 10)
    rules: dict[str, dict[str, Any]] = {
        "decay": {"schedule": WarmUpCosine()},
        "weight-decay": {"optimiser": Adam(rate=1e-2, weight_decay=1e-2)},
        "sgd": {"optimiser": SGD(rate=0.1)},
    }
    reading, drawn = bench.vaes["disentangled"].means, bench.draws[str(bench.scaled(10))]
    before = bench.cells["disentangled", 10]["accuracy"]
    for key, change in rules.items():
        head = base.model_copy(update=change)

        def fit(head: Head = head) -> dict[str, Any]:
            split = reading.split
            few: list[LabelledSource] = [split.train.take(rows) for rows in drawn]
            fitted = fit_each(head, few, 10, range(len(few)), experiment.compute)
            return {
                "accuracy": [
                    classification_scores(predict(split.test), split.test.labels)["accuracy"] for predict in fitted
                ]
            }

        after = experiment.step(f"rules/{key}", {"head": stable_key(head), "reading": reading.key}, fit)["accuracy"]
        change_in_points = [100 * (a - b) for a, b in zip(after, before, strict=True)]
        spread = 100 * float(np.std(before, ddof=1))
        why = f"mean over {len(after)} draws, whose own standard deviation is {spread:.1f} points"
        experiment.found(key, change_in_points, holds=abs(float(np.mean(change_in_points))) < max(spread, 1.0), why=why)
    _sgd_vae(experiment, bench)


def _sgd_vae(experiment: PaperExperiment, bench: DatasetExperiment) -> None:
    family = bench.family
    epochs = experiment.pick(1, 3, family.full_epochs)
    model = Model(latent=10, network=family.network)
    rules = {"adam": Adam(rate=1e-3), "sgd": SGD(rate=1e-4)}
    found = {}
    for name, rule in rules.items():
        training = Training(epochs=epochs, batch=100, optimiser=rule, schedule=Constant(), clip_norm=100.0)
        trial = experiment.vae(f"rule-{name}", bench.data, model, Elbo(beta=1.0), training)
        found[name] = min(record["validation_loss"] for record in trial.history)
    why = f"validation loss after {in_epochs(epochs)}: Adam at 1e-3 {found['adam']:.1f}, SGD with momentum at 1e-4 {found['sgd']:.1f} nats"
    experiment.found("future-sgd", found["sgd"] - found["adam"], holds=None, why=why)


def kinds_of_errors(experiment: PaperExperiment, bench: DatasetExperiment) -> None:
    """What the three models of the CNN get wrong at 100 labels a class, first draw."""
    rows = bench.draws[str(bench.scaled(100))][0]

    def measure() -> Arrays:
        found = {}
        for model in MODELS:
            split = bench.reading(model).split
            train: LabelledSource = split.train.take(rows)
            predict = bench.head(model, 100).fit(train, 10, 0, experiment.compute)
            probabilities = predict(split.test)
            found[model] = probabilities.argmax(1).numpy()
            found[f"{model}-counts"] = confusion(probabilities, split.test.labels)
        return found

    identity = {model: [bench.reading(model).key, stable_key(bench.head(model, 100))] for model in MODELS}
    found = experiment.arrays("kinds", identity, measure)
    labels = bench.data.test.labels.numpy()
    dis, std, sup = (found[model] for model in MODELS)
    shared = shared_errors(dis, std, labels)
    why = f"{expected_shared(dis, std, labels):.2f} if they erred independently; they agree on {agreement(dis, std):.1%} of images"
    experiment.found("kinds-agreement", shared, holds=None, why=why)
    shared = shared_errors(dis, sup, labels)
    why = f"{expected_shared(dis, sup, labels):.2f} if they erred independently; they agree on {agreement(dis, sup):.1%} of images"
    experiment.found("kinds-supervised", shared, holds=None, why=why)
    counts = {model: found[f"{model}-counts"] for model in MODELS}
    distance = confusion_distance(counts["disentangled"], counts["supervised"])
    near = confusion_distance(counts["disentangled"], counts["standard"])
    experiment.found("kinds-distance", distance, holds=None, why=f"disentangled and standard: {near:.2f}")
    unique = unique_errors({model: found[model] for model in MODELS}, labels)
    words = ", ".join(f"only {model}: {count}" for model, count in unique.items())
    experiment.found("kinds-unique", unique["disentangled"], holds=None, why=f"of {len(labels):,} test images, {words}")
    experiment.figure("kinds-of-errors", lambda: _error_bars(counts, bench.data.classes))


def _error_bars(counts: dict[str, np.ndarray], classes: Sequence[str]) -> Figure:
    groups = {model: (100 * (1 - np.diag(c) / np.maximum(c.sum(1), 1))).tolist() for model, c in counts.items()}
    return bars(list(classes), groups, "error (%)", "CNN, 100 labels a class: errors by class")


def rotated_cifar(experiment: PaperExperiment) -> None:
    """The three models on rotated CIFAR-10."""
    per_class = experiment.pick(None, 1500, None)
    data = experiment.data(cifar10().model_copy(update={"rotation": 45.0, "per_class": per_class}))
    family = Family("cifar", "rotated CIFAR-10", Conv(), None, 6.0, 75, 2, 1e-2)
    bench = DatasetExperiment(experiment, family, data, counts=(10,))
    note = f"{data.note}; " if data.note else ""
    experiment.found("future-cifar", bench.gap(10), holds=None, why=note + bench.in_words())


def semi_supervised(experiment: PaperExperiment, bench: DatasetExperiment) -> None:
    """M2 at both betas on images, and on the disentangled VAE's latents (M1+M2), from the first draw of 10 a class."""
    rows, data = bench.draws[str(bench.scaled(10))][0], bench.data
    network = MLP(hidden=(500,))
    model = M2Model(latent=10, network=network, classifier=network)
    images = Split(data.train, data.validation, data.test)
    base = f"{len(rows)} labels, one draw; M1, a line on the means: {bench.cells['disentangled', 10]['accuracy'][0]:.3f}; published for M2 0.880, for M1+M2 0.967"
    for key, beta in (("future-m2", 1.0), ("future-m2-beta", bench.family.beta)):
        accuracy = _m2(experiment, key, data, model, beta, images, rows)
        experiment.found(key, accuracy, holds=None, why=base)
    codes = bench.vaes["disentangled"].features
    parts = codes.sampled("sampled").train, codes.validation, codes.test
    stacked = Split(*(Grid(part, 1) for part in parts))
    model = model.model_copy(update={"likelihood": GaussianPixelScale(floor=0.01)})
    accuracy = _m2(experiment, "future-m1-m2", data, model, 1.0, stacked, rows, bench.vaes["disentangled"].key)
    experiment.found("future-m1-m2", accuracy, holds=None, why=base)


def _m2(
    experiment: PaperExperiment,
    name: str,
    data: Dataset,
    model: M2Model,
    beta: float,
    parts: Split,
    rows: Tensor,
    of: str = "",
) -> float:
    """Test accuracy of q(y|x) after training on all images of ``parts`` and the labels of ``rows`` alone."""
    training = Training(
        epochs=experiment.pick(1, 8, 75),
        batch=experiment.pick(100, 256, 200),
        optimiser=Adam(rate=experiment.pick(1e-3, 2e-3, 3e-4), beta2=0.99),
        schedule=experiment.pick(OneCycle(), OneCycle(), Constant()),
    )
    few = parts.train.take(rows)
    source = MixedSource(few, UnlabelledSource(parts.train), labelled_per_batch=training.batch // 4)
    identity = {"model": model.model_dump(), "labelled": rows.tolist(), "of": of}

    def build() -> M2:
        return model.build(parts.train.shape, len(data.classes))

    trained = (source, UnlabelledSource(parts.validation))
    trial = experiment.network(name, data, build, trained, M2Elbo(beta=beta), training, 0, identity)

    def test() -> dict[str, Any]:
        net = trial.model
        assert isinstance(net, M2)
        predict = predict_with(net.classifier, 0, experiment.compute)
        return classification_scores(predict(parts.test), parts.test.labels)

    return float(experiment.step(f"{name}-test", {"trial": trial.key}, test)["accuracy"])
