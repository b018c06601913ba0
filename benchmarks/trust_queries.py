"""Active learning in trust.py: accuracy with the images that `classify` asks for, and with as many random ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from benchmark_script import Row
from torch import Tensor
from trust_subjects import Subject, load_subject

from vaebench.classification.active_learning import select_to_label_next
from vaebench.classification.methods import METHODS
from vaebench.core.statistics import mean_interval
from vaebench.experiments.experiment import Experiment
from vaebench.training.prediction import predict_with

STRATEGIES = ("asked", "random")
QUERY_METHODS = ("propagation", "self-trained")
FIRST, MORE = 20, 30
"""Random labels at the start of active learning; further labels."""
COLD = 2
"""Labels per class, on average, where no image has a label at the start."""
QUERY_DRAWS = 5


def measure_queries(experiment: Experiment, name: str, start: int, draw: int, strategy: str) -> dict[str, float]:
    """Accuracy of each method after one round of labels, on the images without labels.

    Each draw hides a random half of the images from the selection, so that draws differ also where no image has a
    label at the start; both strategies select from the same half and share the first labels.

    Args:
        experiment: keeps the results.
        name: data set.
        start: random labels at the start: ``FIRST`` or 0.
        draw: number of the draw.
        strategy: one of ``STRATEGIES``.
    """
    subject = load_subject(experiment, name)
    generator = np.random.default_rng((1, draw, start))
    pool = generator.permutation(len(subject.truth))[: len(subject.truth) // 2]
    first = first_labels(subject.truth, pool, generator) if start else pool[:0]
    more = MORE if start else COLD * len(subject.images.classes)
    if strategy == "random":
        selected = generator.permutation(np.setdiff1d(pool, first))[:more]
    else:
        excluded = np.ones(len(subject.truth), dtype=bool)
        excluded[pool] = False
        known = subject.truth.numpy()[first]
        selected = select_to_label_next(subject.context.means, first, known, more, excluded)
    rows = torch.from_numpy(np.sort(np.concatenate([first, selected])))
    identity = {"vae": subject.key, "settings": subject.settings.model_dump(mode="json"), "rows": rows.tolist()}
    step = f"{name}/{strategy}-{start}-{draw}"
    result = experiment.step(step, identity, lambda: {"accuracies": accuracies(experiment, subject, rows, draw)})
    return dict(result["accuracies"])


def first_labels(truth: Tensor, pool: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Random rows of the pool, with at least one of each class."""
    while True:
        rows = generator.permutation(pool)[:FIRST]
        if len(truth[rows].unique()) == len(truth.unique()):
            return rows


def accuracies(experiment: Experiment, subject: Subject, rows: Tensor, seed: int) -> dict[str, float]:
    """Accuracy of each method, fitted to ``rows``, on the other images; classes without a label count as errors."""
    classes, labels = subject.truth[rows].unique(return_inverse=True)
    context = replace(subject.context, classes=len(classes))
    hidden = torch.ones(len(subject.truth), dtype=torch.bool)
    hidden[rows] = False
    found = {}
    for key in QUERY_METHODS:
        network = METHODS[key].fit(context, rows, labels, seed)
        predicted = classes[predict_with(network, 0, experiment.compute)(subject.images).argmax(1)]
        found[key] = float((predicted == subject.truth)[hidden].double().mean())
    return found


def query_rows(name: str, start: int, results: Mapping[str, list[dict[str, float]]]) -> Iterator[Row]:
    """Rows of the accuracy by both strategies and of its paired difference with its interval, one for each method.

    Args:
        name: data set.
        start: random labels at the start.
        results: by strategy, the accuracies of each draw by method.
    """
    for method in QUERY_METHODS:
        values: dict[str, Any] = {key: [draw[method] for draw in draws] for key, draws in results.items()}
        gaps = [asked - random for asked, random in zip(values["asked"], values["random"], strict=True)]
        yield {
            "data": name,
            "measure": "asking",
            "method": method,
            "start": start,
            "draws": len(gaps),
            "asked": float(np.mean(values["asked"])),
            "random": float(np.mean(values["random"])),
            "difference": float(np.mean(gaps)),
            "interval": list(mean_interval(gaps)),
            "values": values,
        }
