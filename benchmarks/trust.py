"""Reliability of `vaebench classify`: `python benchmarks/trust.py --data NAME [--labels N ...] [--out DIR]`.

Coverage: 20 draws of 10 labels per class from a data set, one VAE for all draws; how often the interval in the report
contains the true accuracy on the hidden labels; the same for 5 and 30 labels in five draws. Active learning: accuracy
after labelling the images that `classify` asks for, and after labelling as many random ones. Resumes where it was
stopped; writes NAME.json and NAME.md. `python benchmarks/trust_page.py` puts the data sets onto one page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import torch
from benchmark_script import BenchmarkScript, Row, Tasks, arguments, import_script
from torch import Tensor
from trust_page import COVERAGE_DATA, render, true_accuracy
from trust_queries import FIRST, QUERY_DRAWS, STRATEGIES, measure_queries, query_rows
from trust_subjects import load_subject

from vaebench.classification.cross_validation import CrossValidation, Fit, cross_validate, selected_method
from vaebench.classification.methods import METHODS, MethodContext
from vaebench.classification.settings import settings_for
from vaebench.data.draws import balanced_draw
from vaebench.evaluation.calibration import apply_temperature, brier_score
from vaebench.experiments.experiment import Experiment
from vaebench.training.prediction import predict_with

QUERY_DATA = ("mnist", "fashion-mnist", "quickdraw", "digits")
DRAWS = {10: 20, 5: 5, 30: 5}
"""Draws of labels by their number per class."""
STARTS = (FIRST, 0)
"""Random labels at the start of active learning."""
MINUTES = 60


def measure_coverage(experiment: Experiment, name: str, count: int, draw: int) -> dict[str, Any]:
    """Expected accuracy of the report for one draw of labels, and the true accuracy of every method."""
    subject = load_subject(experiment, name)
    rows = balanced_draw(subject.truth, count, (0, draw))
    labels, hidden = subject.truth[rows], torch.ones(len(subject.truth), dtype=torch.bool)
    hidden[rows] = False
    settings = settings_for(subject.images.shape, len(subject.images), len(rows), subject.augmentation)
    context = replace(subject.context, settings=settings)
    identity = {"vae": subject.key, "rows": rows.tolist(), "settings": settings.model_dump(mode="json")}
    folder = f"{name}/{count}-{draw}"
    validation = CrossValidation(context, rows, labels)

    def run_fit(fit: Fit) -> np.ndarray:
        name = f"{folder}/{fit.name}"
        return experiment.arrays(name, identity, lambda: {"values": validation.probabilities(fit)})["values"]

    def run_fits(fits: Sequence[Fit], final: Sequence[str]) -> dict[Fit, np.ndarray]:
        return {fit: run_fit(fit) for fit in fits}

    *_, selection = cross_validate(validation, run_fits)
    selected, temperature = selected_method(selection)

    def measure() -> dict[str, Any]:
        return true_scores(context, (rows, labels), subject.truth, selected, temperature)

    return {
        "draw": draw,
        "method": selected,
        "expected": selection.expected_accuracy._asdict(),
        "cross_validated": selection.accuracies,
        "slope": None if selection.slope is None else selection.slope._asdict(),
        **experiment.step(f"{folder}/truth", {**identity, "method": selected}, measure),
    }


def true_scores(
    context: MethodContext, labelled: tuple[Tensor, Tensor], truth: Tensor, selected: str, temperature: float
) -> dict[str, Any]:
    """True accuracy of every method, fitted to all labels, and Brier scores of the selected one and of frequencies."""
    rows, labels = labelled
    hidden = torch.ones(len(truth), dtype=torch.bool)
    hidden[rows] = False
    others, accuracies, scores = truth[hidden], {}, {}
    for key, method in METHODS.items():
        network = method.fit(context, rows, labels, context.settings.seed)
        probabilities = predict_with(network, 0, context.compute)(context.images)[hidden]
        accuracies[key] = float((probabilities.argmax(1) == others).double().mean())
        if key == selected:
            scores = {"brier": brier_score(apply_temperature(probabilities, temperature), others)}
    frequencies = torch.bincount(others).double() / len(others)
    scores["brier_by_frequencies"] = brier_score(frequencies.expand(len(others), -1), others)
    return {"true": accuracies, **scores}


def coverage_row(name: str, count: int, draws: list[dict[str, Any]]) -> Row:
    """Row that summarises the draws of ``count`` labels per class of a data set."""
    true = [true_accuracy(draw) for draw in draws]
    intervals = [(draw["expected"]["low"], draw["expected"]["high"]) for draw in draws]
    medians = {method: float(np.median([draw["true"][method] for draw in draws])) for method in METHODS}
    best = max(medians, key=lambda method: medians[method])
    return {
        "data": name,
        "measure": "coverage",
        "labels_per_class": count,
        "draws": len(draws),
        "covered": sum(low <= accuracy <= high for accuracy, (low, high) in zip(true, intervals, strict=True)),
        "mean_width": float(np.mean([high - low for low, high in intervals])),
        "median_accuracy": float(np.median(true)),
        "best_single": best,
        "median_accuracy_of_best_single": medians[best],
        "medians": medians,
        "brier": float(np.mean([draw["brier"] for draw in draws])),
        "brier_by_frequencies": float(np.mean([draw["brier_by_frequencies"] for draw in draws])),
        "values": draws,
    }


def tasks(name: str, counts: Sequence[int], experiment: Experiment) -> Tasks:
    """Training of the VAE, then the measurement of every draw."""
    tasks: dict[str, Callable[[], object]] = {f"{name}/vae": partial(load_subject, experiment, name)}
    if name in QUERY_DATA:
        for start, draw, strategy in product(STARTS, range(QUERY_DRAWS), STRATEGIES):
            task = partial(measure_queries, experiment, name, start, draw, strategy)
            tasks[f"{name}/{strategy}-{start}-{draw}"] = task
    for count in counts:
        for draw in range(DRAWS[count]):
            tasks[f"{name}/covered-{count}-{draw}"] = partial(measure_coverage, experiment, name, count, draw)
    return tasks


def rows(name: str, counts: Sequence[int], experiment: Experiment) -> list[Row]:
    """Rows of both measurements."""
    found: list[Row] = []
    subject = load_subject(experiment, name)
    for count in counts:
        draws = [measure_coverage(experiment, name, count, draw) for draw in range(DRAWS[count])]
        row = coverage_row(name, count, draws)
        found.append(row | {"note": subject.note, "augmentation": subject.augmentation})
    for start in STARTS if name in QUERY_DATA else ():
        results = {
            strategy: [measure_queries(experiment, name, start, draw, strategy) for draw in range(QUERY_DRAWS)]
            for strategy in STRATEGIES
        }
        found += query_rows(name, start, results)
    return found


def benchmark(name: str, counts: Sequence[int] = tuple(DRAWS)) -> BenchmarkScript:
    """The benchmark of one data set with these numbers of labels per class."""
    return BenchmarkScript(name, MINUTES, partial(tasks, name, counts), partial(rows, name, counts), render)


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--data", choices=COVERAGE_DATA, required=True, help="data set to measure")
    about = "labels per class to measure (default: all)"
    parser.add_argument("--labels", type=int, nargs="+", choices=DRAWS, default=list(DRAWS), help=about)
    options = parser.parse_args()
    import_script("trust").benchmark(options.data, options.labels).execute(options)
