"""Reliability of `vaebench classify`: `python benchmarks/trust.py [--minutes N] [--out DIR]`.

Coverage: 20 draws of 10 labels per class from five data sets, one VAE for all draws of a set; how often the interval
in the report contains the true accuracy on the hidden labels; the same for 5 and 30 labels in five draws. Active
learning: accuracy after labelling the images in `to-label-next`, and after labelling as many random ones. Resumes where
it was stopped; writes trust.json, trust.md and trust/*.png.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import torch
from benchmark_script import BenchmarkScript, Report, Row, Tasks
from torch import Tensor
from trust_page import CAPTIONS, draw_intervals, draw_queries, render_page, true_accuracy

from vaebench.classification.active_learning import select_to_label_next
from vaebench.classification.cross_validation import CrossValidation, Fit, cross_validate, selected_method
from vaebench.classification.methods import METHODS, MethodContext
from vaebench.classification.pilots import Pilots, best_augmentation, candidates, pilot_sample
from vaebench.classification.settings import Settings, settings_for
from vaebench.core.statistics import mean_interval
from vaebench.data.datasets import Data
from vaebench.data.draws import balanced_draw
from vaebench.data.images import Dataset, Images
from vaebench.evaluation.calibration import apply_temperature, brier_score
from vaebench.experiments.experiment import Experiment, cifar10
from vaebench.training.prediction import predict_with

COVERAGE_DATA = ("mnist", "fashion-mnist", "quickdraw", "cifar10", "digits")
QUERY_DATA = ("mnist", "fashion-mnist")
STRATEGIES = ("asked", "random")
DRAWS = {10: 20, 5: 5, 30: 5}
"""Draws of labels by their number per class."""
FIRST, MORE, ROUNDS, QUERY_DRAWS = 20, 30, 2, 5
"""Random labels at the start of active learning; labels per round; rounds; draws."""
MINUTES = 160


@dataclass
class Subject:
    """A data set with its labels hidden, the true labels apart, and one VAE of its images."""

    name: str
    images: Images
    truth: Tensor
    settings: Settings
    context: MethodContext
    key: str
    """Key of the VAE."""
    augmentation: str
    """Chosen by the first draw of labels, as classify does."""
    note: str = ""
    """Remark on the images, for the page."""


SUBJECTS: dict[str, Subject] = {}


def load_subject(experiment: Experiment, name: str) -> Subject:
    """Training images of a data set with one VAE for all draws."""
    if name not in SUBJECTS:
        SUBJECTS[name] = make_subject(experiment, name)
    return SUBJECTS[name]


def make_subject(experiment: Experiment, name: str) -> Subject:
    """Subject with a VAE trained on all images, or read from the experiment."""
    data = experiment.data(cifar10() if name == "cifar10" else Data(source=name))
    parts = data.train, data.validation
    pixels, truth = (torch.cat([getattr(part, key) for part in parts]) for key in ("pixels", "labels"))
    images = Images(pixels, torch.full_like(truth, -1), data.classes)
    augmentation = choose_augmentation(experiment, name, images, truth)
    settings = settings_for(images.shape, len(images), 10 * len(data.classes), augmentation)
    empty = images.take(slice(0, 0))
    trained = experiment.network(
        f"{name}/vae",
        Dataset(name, images, empty, empty),
        lambda: settings.model.build(images.shape),
        (images, None),
        settings.objective,
        settings.training,
        settings.seed,
        {"model": settings.model.model_dump()},
    )
    context = MethodContext.from_vae(images, len(data.classes), trained.vae, settings, experiment.compute)
    return Subject(name, images, truth, settings, context, trained.key, augmentation, data.note)


def choose_augmentation(experiment: Experiment, name: str, images: Images, truth: Tensor) -> str:
    """Augmentation that `classify` chooses by the first draw of labels."""
    pixels = experiment.folder / "pixels" / f"{name}.npy"
    if not pixels.exists():
        pixels.parent.mkdir(parents=True, exist_ok=True)
        np.save(pixels, images.pixels.numpy())
    rows = balanced_draw(truth, 10, (0, 0)).numpy()
    sample = pilot_sample(len(images), rows, 0)
    pilots = Pilots(
        settings={
            each: settings_for(images.shape, len(images), len(rows), each) for each in candidates(images.shape[0])
        },
        folder=experiment.folder,
        pixels=pixels,
        sample=sample,
        rows=np.searchsorted(sample, rows),
        labels=truth[rows].numpy(),
        classes=len(images.classes),
        compute=experiment.compute,
        identity={"data": name},
    )
    return best_augmentation({each: pilots.correct(experiment, each) for each in pilots.settings})


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


def measure_queries(experiment: Experiment, name: str, draw: int, strategy: str) -> list[float]:
    """Accuracy on the images without labels after each round of labels; all strategies share the first labels."""
    subject = load_subject(experiment, name)
    generator = np.random.default_rng((1, draw))
    rows, accuracies = first_labels(subject.truth, generator), []
    for index in range(ROUNDS + 1):
        rows = rows.sort().values
        step = f"{strategy}-{draw}/{index}" if index else f"first-{draw}"
        result = fit_and_query(experiment, subject, step, rows, draw)
        accuracies.append(float(result["accuracy"]))
        more = torch.tensor(result["ask"])
        if strategy == "random":
            unlabelled = np.setdiff1d(np.arange(len(subject.truth)), rows.numpy())
            more = torch.from_numpy(generator.permutation(unlabelled)[:MORE])
        rows = torch.cat([rows, more])
    return accuracies


def fit_and_query(experiment: Experiment, subject: Subject, step: str, rows: Tensor, draw: int) -> dict[str, Any]:
    """Accuracy on the other images when ``rows`` are labelled, and the images to label next."""
    settings = subject.settings.model_dump(mode="json")
    identity = {"vae": subject.key, "settings": settings, "draw": draw, "rows": rows.tolist(), "rule": "coverage"}

    def make() -> dict[str, Any]:
        network = METHODS["self-trained"].fit(subject.context, rows, subject.truth[rows], draw)
        probabilities = predict_with(network, 0, experiment.compute)(subject.images)
        hidden = torch.ones(len(subject.truth), dtype=torch.bool)
        hidden[rows] = False
        ask = select_to_label_next(subject.context.means, rows.numpy(), subject.truth[rows].numpy(), MORE)
        accuracy = float((probabilities.argmax(1) == subject.truth)[hidden].double().mean())
        return {"accuracy": accuracy, "ask": ask.tolist()}

    return experiment.step(f"{subject.name}/{step}", identity, make)


def first_labels(truth: Tensor, generator: np.random.Generator) -> Tensor:
    """Random rows to label, with at least one of each class, as the methods require."""
    while True:
        rows = torch.from_numpy(generator.permutation(len(truth))[:FIRST])
        if len(truth[rows].unique()) == len(truth.unique()):
            return rows


def coverage_row(name: str, count: int, note: str, draws: list[dict[str, Any]]) -> dict[str, Any]:
    """Row that summarises the draws of ``count`` labels per class of a data set."""
    true = [true_accuracy(draw) for draw in draws]
    intervals = [(draw["expected"]["low"], draw["expected"]["high"]) for draw in draws]
    medians = {method: float(np.median([draw["true"][method] for draw in draws])) for method in METHODS}
    best = max(medians, key=lambda method: medians[method])
    return {
        "data": name,
        "note": note,
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


def query_rows(name: str, curves: dict[str, list[list[float]]]) -> Iterator[dict[str, Any]]:
    """Rows of accuracy by number of labels for both strategies, and their difference with its interval.

    Args:
        name: data set.
        curves: by strategy and draw, the accuracy after each round.
    """
    for index in range(1, ROUNDS + 1):
        values = {strategy: [curve[index] for curve in each] for strategy, each in curves.items()}
        gaps = [a - b for a, b in zip(values["asked"], values["random"], strict=True)]
        yield {
            "data": name,
            "measure": "asking",
            "labels": FIRST + index * MORE,
            "draws": len(gaps),
            "asked": float(np.mean(values["asked"])),
            "random": float(np.mean(values["random"])),
            "difference": float(np.mean(gaps)),
            "interval": list(mean_interval(gaps)),
            "values": values,
        }


def tasks(experiment: Experiment) -> Tasks:
    """Training of the VAEs, then the measurement of every draw."""
    tasks: dict[str, Callable[[], object]] = {
        f"{name}/vae": partial(load_subject, experiment, name) for name in dict.fromkeys(COVERAGE_DATA + QUERY_DATA)
    }
    for name, (count, draws) in product(COVERAGE_DATA, DRAWS.items()):
        for draw in range(draws):
            tasks[f"{name}/covered-{count}-{draw}"] = partial(measure_coverage, experiment, name, count, draw)
    for name, draw, strategy in product(QUERY_DATA, range(QUERY_DRAWS), STRATEGIES):
        tasks[f"{name}/{strategy}-{draw}"] = partial(measure_queries, experiment, name, draw, strategy)
    return tasks


def rows(experiment: Experiment) -> list[Row]:
    """Rows of both measurements."""
    coverage: list[Row] = []
    for (count, number), name in product(DRAWS.items(), COVERAGE_DATA):
        draws = [measure_coverage(experiment, name, count, draw) for draw in range(number)]
        subject = load_subject(experiment, name)
        coverage.append(coverage_row(name, count, subject.note, draws) | {"augmentation": subject.augmentation})
    queries: list[Row] = []
    for name in QUERY_DATA:
        curves = {
            strategy: [measure_queries(experiment, name, draw, strategy) for draw in range(QUERY_DRAWS)]
            for strategy in STRATEGIES
        }
        queries += query_rows(name, curves)
    experiment.figure("intervals", lambda: draw_intervals([row for row in coverage if row["labels_per_class"] == 10]))
    experiment.figure("asking", lambda: draw_queries(queries))
    return coverage + queries


def render(report: Report) -> str:
    return render_page(report, FIRST, MORE, QUERY_DRAWS)


BENCHMARK = BenchmarkScript("trust", MINUTES, tasks, rows, render, CAPTIONS)

if __name__ == "__main__":
    BENCHMARK.run(__doc__)
