"""Claims of paper C across its architectures, and its future work."""

from __future__ import annotations

from typing import Any

import numpy as np

from vaebench.core.frozen import stable_key
from vaebench.data.images import MixedSource, UnlabelledSource
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
from vaebench.models.networks import MLP
from vaebench.models.objectives import Elbo
from vaebench.models.vae import Model
from vaebench.papers.disentangling.comparison import BAD_RECONSTRUCTION, CIFAR, FEW, MODELS, Comparison
from vaebench.papers.experiment import PaperExperiment
from vaebench.papers.text import format_epochs, format_values
from vaebench.plotting.plots import bars
from vaebench.training.loop import Training
from vaebench.training.prediction import LabelledSource, predict_with
from vaebench.training.schedules import SGD, Adam, Constant, OneCycle, WarmUpCosine


def compare_architectures(experiment: PaperExperiment, comparisons: dict[str, Comparison]) -> None:
    """Record the claims that compare the two architectures."""
    gaps = {name: float(np.mean([each.gap(count) for count in FEW])) for name, each in comparisons.items()}
    listing = f"CNN {gaps['cnn']:+.1f}, MLP {gaps['mlp']:+.1f} points"
    explanation = f"disentangled minus supervised, mean over 1, 3, 5: {listing}"
    experiment.record("gap-cnn", gaps["cnn"] - gaps["mlp"], explanation, agrees=gaps["cnn"] > gaps["mlp"])
    sharpness, bad = {}, {}
    for name, each in comparisons.items():
        for model in each.vaes:
            result = each.reconstruction(model)
            sharpness[name, model], bad[f"{name} {model}"] = result["sharpness"], result["bad"]
    disentangled, standard = (sharpness["cnn", model] / sharpness["mlp", model] for model in comparisons["cnn"].vaes)
    experiment.record("crisp", standard, f"the disentangled ones: {disentangled:.2f}", agrees=standard > 1.02)
    listing = format_values(bad, ".1%", " ")
    explanation = f"test images with a reconstruction loss above {BAD_RECONSTRUCTION:g} nats: {listing}"
    agrees = min(bad, key=lambda name: bad[name]) == "mlp standard"
    experiment.record("bad", bad["mlp standard"], explanation, agrees=agrees)


def compare_optimisers(experiment: PaperExperiment, comparison: Comparison) -> None:
    """Record other optimisers and schedules for the linear layer on the disentangled latents, and SGD for the VAE."""
    base = comparison.head("disentangled", 10)
    variants: dict[str, dict[str, Any]] = {
        "decay": {"schedule": WarmUpCosine()},
        "weight-decay": {"optimiser": Adam(rate=1e-2, weight_decay=1e-2)},
        "sgd": {"optimiser": SGD(rate=0.1)},
    }
    probe_input = comparison.vaes["disentangled"].means
    before = comparison.results["disentangled", 10]["accuracy"]
    sd = 100 * float(np.std(before, ddof=1))
    for key, update in variants.items():
        head = base.model_copy(update=update)

        def fit(head: Head = head) -> dict[str, Any]:
            return {"accuracy": comparison.fit_draws(head, probe_input, 10)["accuracy"]}

        identity = {"head": stable_key(head), "reading": probe_input.key}
        after = experiment.step(f"rules/{key}", identity, fit)["accuracy"]
        points = [100 * (a - b) for a, b in zip(after, before, strict=True)]
        explanation = f"mean over {len(after)} draws, whose own standard deviation is {sd:.1f} points"
        experiment.record(key, points, explanation, agrees=abs(float(np.mean(points))) < max(sd, 1.0))
    _record_sgd_vae(experiment, comparison)


def _record_sgd_vae(experiment: PaperExperiment, comparison: Comparison) -> None:
    epochs = experiment.pick(1, 3, comparison.architecture.full_epochs)
    model = Model(latent=10, network=comparison.architecture.network)
    losses = {}
    for name, optimiser in {"adam": Adam(rate=1e-3), "sgd": SGD(rate=1e-4)}.items():
        training = Training(epochs=epochs, batch=100, optimiser=optimiser, schedule=Constant(), clip_norm=100.0)
        vae = experiment.vae(f"rule-{name}", comparison.data, model, Elbo(beta=1.0), training)
        losses[name] = min(record["validation_loss"] for record in vae.history)
    explanation = f"validation loss after {format_epochs(epochs)}: Adam at 1e-3 {losses['adam']:.1f}, SGD with momentum at 1e-4 {losses['sgd']:.1f} nats"
    experiment.record("future-sgd", losses["sgd"] - losses["adam"], explanation)


def analyse_errors(experiment: PaperExperiment, comparison: Comparison) -> None:
    """Record which errors the three models make at 100 labels per class, first draw."""
    rows = comparison.rows(100)[0]

    def measure() -> Arrays:
        arrays = {}
        for model in MODELS:
            split = comparison.probe_input(model).split
            train: LabelledSource = split.train.take(rows)
            predict = comparison.head(model, 100).fit(train, 10, 0, experiment.compute)
            probabilities = predict(split.test)
            arrays[model] = probabilities.argmax(1).numpy()
            arrays[f"{model}-counts"] = confusion(probabilities, split.test.labels)
        return arrays

    identity = {model: [comparison.probe_input(model).key, stable_key(comparison.head(model, 100))] for model in MODELS}
    arrays = experiment.arrays("kinds", identity, measure)
    labels = comparison.data.test.labels.numpy()
    first = arrays["disentangled"]
    for key, other in (("kinds-agreement", "standard"), ("kinds-supervised", "supervised")):
        second = arrays[other]
        explanation = f"{expected_shared(first, second, labels):.2f} if errors were independent; they agree on {agreement(first, second):.1%} of images"
        experiment.record(key, shared_errors(first, second, labels), explanation)
    counts = {model: arrays[f"{model}-counts"] for model in MODELS}
    distance = confusion_distance(counts["disentangled"], counts["supervised"])
    to_standard = confusion_distance(counts["disentangled"], counts["standard"])
    experiment.record("kinds-distance", distance, f"disentangled and standard: {to_standard:.2f}")
    unique = unique_errors({model: arrays[model] for model in MODELS}, labels)
    by_model = ", ".join(f"only {model}: {count}" for model, count in unique.items())
    experiment.record("kinds-unique", unique["disentangled"], f"of {len(labels):,} test images, {by_model}")
    groups = {model: (100 * (1 - np.diag(c) / np.maximum(c.sum(1), 1))).tolist() for model, c in counts.items()}
    title = "CNN, 100 labels per class: errors by class"
    experiment.figure("kinds-of-errors", lambda: bars(list(comparison.data.classes), groups, "error (%)", title))


def run_rotated_cifar(experiment: PaperExperiment) -> None:
    """Record the comparison on rotated CIFAR-10."""
    per_class = experiment.pick(None, 1500, None)
    data = experiment.data(cifar10().model_copy(update={"rotation": 45.0, "per_class": per_class}))
    comparison = Comparison(experiment, CIFAR, data, counts=(10,))
    note = f"{data.note}; " if data.note else ""
    experiment.record("future-cifar", comparison.gap(10), note + comparison.summary())


def run_semi_supervised(experiment: PaperExperiment, comparison: Comparison) -> None:
    """Record M2 with both betas on images, and on the disentangled VAE's latents (M1+M2), with 10 labels per class."""
    data, m1 = comparison.data, comparison.vaes["disentangled"]
    model = M2Model(latent=10, network=MLP(hidden=(500,)), classifier=MLP(hidden=(500,)))
    images = Split(data.train, data.validation, data.test)
    codes = m1.features.sampled("sampled").train, m1.features.validation, m1.features.test
    latents = Split(*(Grid(part, 1) for part in codes))
    on_latents = model.model_copy(update={"likelihood": GaussianPixelScale(floor=0.01)})
    labels, linear = len(comparison.rows(10)[0]), comparison.results["disentangled", 10]["accuracy"][0]
    explanation = f"{labels} labels, one draw; M1, linear probe on the means: {linear:.3f}; published for M2 0.880, for M1+M2 0.967"
    for key, m2, beta, parts, encoder in (
        ("future-m2", model, 1.0, images, ""),
        ("future-m2-beta", model, comparison.architecture.beta, images, ""),
        ("future-m1-m2", on_latents, 1.0, latents, m1.key),
    ):
        experiment.record(key, _m2_accuracy(comparison, key, m2, beta, parts, encoder), explanation)


def _m2_accuracy(
    comparison: Comparison, name: str, model: M2Model, beta: float, parts: Split, encoder: str = ""
) -> float:
    """Test accuracy of q(y|x) after training on all of ``parts.train`` with the first draw of 10 labels per class.

    Args:
        encoder: key of the VAE that encoded ``parts``; empty for images.
    """
    experiment, rows = comparison.experiment, comparison.rows(10)[0]
    training = Training(
        epochs=experiment.pick(1, 8, 75),
        batch=experiment.pick(100, 256, 200),
        optimiser=Adam(rate=experiment.pick(1e-3, 2e-3, 3e-4), beta2=0.99),
        schedule=experiment.pick(OneCycle(), OneCycle(), Constant()),
    )
    sources = (
        MixedSource(parts.train.take(rows), UnlabelledSource(parts.train), labelled_per_batch=training.batch // 4),
        UnlabelledSource(parts.validation),
    )
    identity = {"model": model.model_dump(), "labelled": rows.tolist(), "of": encoder}

    def build() -> M2:
        return model.build(parts.train.shape, len(comparison.data.classes))

    trained = experiment.network(name, comparison.data, build, sources, M2Elbo(beta=beta), training, 0, identity)

    def test() -> dict[str, Any]:
        m2 = trained.model
        assert isinstance(m2, M2)
        predict = predict_with(m2.classifier, 0, experiment.compute)
        return classification_scores(predict(parts.test), parts.test.labels)

    return float(experiment.step(f"{name}-test", {"trial": trained.key}, test)["accuracy"])
