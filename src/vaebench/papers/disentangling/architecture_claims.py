"""Claims of paper C on each of its architectures."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from torch import Tensor

from vaebench.evaluation.image_statistics import ink, slant
from vaebench.evaluation.scores import Split
from vaebench.experiments.measurements import bounds_step, pixels
from vaebench.experiments.trained import ProbeInput
from vaebench.papers.disentangling.comparison import FEW, MODELS, Comparison
from vaebench.papers.text import format_values

WIDE_MARGIN = 0.03
"""Difference in accuracy that is a wide margin."""


def record_architecture(comparison: Comparison) -> dict[int, str]:
    """Record the results of one architecture; return the statistics, slant or ink, that a latent correlates with most."""
    experiment, name = comparison.experiment, comparison.name
    for (model, count), result in comparison.results.items():
        draws = len(result["accuracy"])
        explanation = "see figure-4; n is the number of label draws" if draws > 1 else "one draw"
        experiment.record(f"{name}-{model}-{count}", result["accuracy"], explanation)
    _record_order(comparison)
    _record_converged_probes(comparison)
    _record_convergence(comparison)
    _record_collapsed_latents(comparison)
    _record_reconstructions(comparison)
    return _record_correlations(comparison)


def _record_order(comparison: Comparison) -> None:
    experiment, name = comparison.experiment, comparison.name
    means = {count: [comparison.mean(model, count) for model in MODELS] for count in FEW}
    margin = min(better - worse for values in means.values() for better, worse in pairwise(values))
    by_count = "; ".join(f"{count}: {_in_a_row(values)}" for count, values in means.items())
    explanation = (
        f"disentangled, standard, supervised at {by_count}; the smallest difference is {100 * margin:+.1f} points; "
        "a linear probe trained to convergence is an additional row"
    )
    experiment.record(f"wide-{name}", comparison.gap(1), explanation, agrees=margin >= WIDE_MARGIN)
    gaps = {str(n): comparison.gap(n) for n in (1, 10, 100, "all")}
    agrees = abs(gaps["all"]) < abs(gaps["1"]) / 2 or gaps["1"] > 0 > gaps["all"]
    explanation = f"disentangled minus supervised in points, {format_values(gaps, '+.1f')}"
    experiment.record(f"closes-{name}", gaps["all"], explanation, agrees=agrees)
    losses = {model: comparison.results[model, "all"]["loss"] for model in MODELS}
    agrees = losses["supervised"] < losses["standard"] < losses["disentangled"]
    explanation = f"all labels, nats: {format_values(losses, '.3f', ' ')}"
    experiment.record(f"loss-{name}", losses["disentangled"], explanation, agrees=agrees)


def _record_converged_probes(comparison: Comparison) -> None:
    """Logistic regression on the same latents and draws: 100 epochs on few labels are few steps."""
    accuracies = {model: [comparison.logistic_accuracy(model, count) for count in FEW] for model in comparison.vaes}
    logistic = "; ".join(f"{model} {_in_a_row(values)}" for model, values in accuracies.items())
    disentangled, _, supervised = (_in_a_row([comparison.mean(model, count) for count in FEW]) for model in MODELS)
    linear = f"the paper's linear layer, disentangled {disentangled}; supervised {supervised}"
    explanation = f"logistic regression at 1 / 3 / 5: {logistic}; {linear}"
    mean = float(np.mean(accuracies["disentangled"]))
    comparison.experiment.record(f"converged-{comparison.name}", mean, explanation)


def _record_convergence(comparison: Comparison) -> None:
    experiment, name = comparison.experiment, comparison.name
    rows = comparison.rows(100)[0]
    epochs = {}
    for model in MODELS:
        head = comparison.head(model, 100)
        head = head.model_copy(update={"epochs": experiment.pick(3, 30, 100), "least_steps": 0})
        whole = comparison.probe_input(model)
        labelled = ProbeInput(f"{whole.key}/100", partial(_take_train, whole, rows))
        curves = experiment.curves(f"{name}/converge-{model}", head, labelled, 10)["epochs"]
        best = max(record["validation_accuracy"] for record in curves)
        epochs[model] = next(r["epoch"] for r in curves if r["validation_accuracy"] >= best - 0.01)
    ratio = max(epochs.values()) / min(epochs.values())
    listing = format_values(epochs, "d", " ")
    explanation = f"epochs to within a point of the best validation accuracy at 100 labels per class: {listing}"
    experiment.record(f"epochs-{name}", ratio, explanation, agrees=ratio <= 1.5)


def _record_collapsed_latents(comparison: Comparison) -> None:
    experiment, name = comparison.experiment, comparison.name
    for model, vae in comparison.vaes.items():
        result = bounds_step(experiment, f"{name}-{model}", vae)["test"]
        fraction = result["dead"] / 10
        explanation = f"{result['dead']} of 10 below 0.05 nats, {result['active']} active; KL {result['kl']:.1f} nats"
        agrees = fraction == 0 if model == "standard" else 0.35 < fraction < 0.55
        key = f"fallen-standard-{name}" if model == "standard" else f"fallen-{name}"
        experiment.record(key, fraction, explanation, agrees=agrees)


def _record_correlations(comparison: Comparison) -> dict[int, str]:
    experiment, name = comparison.experiment, comparison.name
    vae = comparison.vaes["disentangled"]

    def measure() -> dict[str, Any]:
        x = pixels(comparison.data.test)
        mean = vae.features.test.mean.double().numpy()
        statistics = {"slant": slant(x).numpy(), "ink": ink(x).double().numpy()}
        return {
            statistic: [_correlation(mean[:, latent], values) for latent in range(mean.shape[1])]
            for statistic, values in statistics.items()
        }

    correlations = experiment.step(f"{name}/meaning", {"trial": vae.key}, measure)
    correlated: dict[int, str] = {}
    for key, statistic in (("rotation", "slant"), ("thickness", "ink")):
        strengths = np.abs(correlations[statistic])
        best = int(strengths.argmax())
        strength, following = float(strengths[best]), float(np.sort(strengths)[-2])
        with_statistic = f"{correlations[statistic][best]:+.2f} with {statistic} over the test images"
        explanation = f"z{best} correlates {with_statistic}, the next latent {following:.2f}"
        experiment.record(f"{key}-{name}", strength, explanation, agrees=strength > 0.5)
        correlated[best] = f"{correlated[best]} and {statistic}" if best in correlated else statistic
    return correlated


def _record_reconstructions(comparison: Comparison) -> None:
    experiment, name = comparison.experiment, comparison.name
    disentangled, standard = (comparison.reconstruction(model) for model in comparison.vaes)
    ratio = disentangled["sharpness"] / standard["sharpness"]
    explanation = (
        f"root mean squared gradient {disentangled['sharpness']:.3f} against {standard['sharpness']:.3f}; "
        f"{disentangled['loss']:.1f} against {standard['loss']:.1f} nats"
    )
    experiment.record(f"blur-{name}", ratio, explanation, agrees=ratio < 0.98)
    eights, eight = standard["eight"], disentangled["eight_all"]
    by_digit = ", ".join(f"{digit}s {x:.1%} ({eights[digit]:.1%})" for digit, x in disentangled["eight"].items())
    explanation = f"reconstructions classified as 8 by a CNN (standard VAE in brackets): {by_digit}"
    agrees = eight > max(0.05, 2 * standard["eight_all"])
    experiment.record(f"eight-{name}", eight, explanation, agrees=agrees)


def _in_a_row(values: list[float]) -> str:
    return " / ".join(f"{value:.3f}" for value in values)


def _take_train(whole: ProbeInput, rows: Tensor) -> Split:
    return replace(whole.split, train=whole.split.train.take(rows))


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    scale = a.std() * b.std()
    return float(np.mean((a - a.mean()) * (b - b.mean())) / scale) if scale > 1e-12 else 0.0
