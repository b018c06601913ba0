"""Scores of classifiers on a train, validation and test split, their curves by epoch, and class separation in codes."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vaebench.evaluation.batched_linear import fit_each
from vaebench.evaluation.calibration import log_loss
from vaebench.evaluation.features import Codes
from vaebench.evaluation.panels import confusion
from vaebench.evaluation.probes import KNN, Head, Logistic, Probe
from vaebench.models.objectives import CrossEntropy
from vaebench.training.compute import Compute
from vaebench.training.loop import TrainingEvent, train
from vaebench.training.metrics import validate
from vaebench.training.prediction import LabelledSource, predict_with

CURVES = {"loss": "cross_entropy", "accuracy": "accuracy"}
"""Name in the curves by epoch -> name in the history of training."""
CURVE_IMAGES = 5000
"""Test images, evenly spaced, of the curve by epoch; the final test uses all images."""
SILHOUETTE_POINTS = 2000


@dataclass(frozen=True)
class Split:
    """Labelled training, validation and test parts, of codes or of images."""

    train: LabelledSource
    validation: LabelledSource
    test: LabelledSource


def classification_scores(probabilities: Float[Tensor, "N Y"], labels: Int[Tensor, " N"]) -> dict[str, Any]:
    """Accuracy, cross-entropy (nats per image) and confusion matrix (rows true, columns predicted) as JSON values.

    Probabilities below 1e-12 count as 1e-12, so that the cross-entropy is finite.
    """
    counts = confusion(probabilities, labels)
    return {
        "accuracy": float(counts.trace() / counts.sum()),
        "cross_entropy": log_loss(probabilities, labels),
        "confusion": counts.tolist(),
    }


def score(probe: Probe, split: Split, classes: int, seed: int, compute: Compute) -> dict[str, Any]:
    """Fit on the training part and score on the test part.

    Returns:
        :func:`classification_scores` of the test part, ``validation_accuracy``, and ``seconds`` of the fit.
    """
    start = time.monotonic()
    predict = fit_each(probe, [split.train], classes, [seed], compute)[0]
    seconds = time.monotonic() - start
    validation, test = (classification_scores(predict(part), part.labels) for part in (split.validation, split.test))
    return {**test, "validation_accuracy": validation["accuracy"], "seconds": seconds}


def head_curves(head: Head, split: Split, classes: int, seed: int, compute: Compute) -> dict[str, Any]:
    """Train a head, record its curves, and score the epoch with the lowest validation loss on the test part.

    Returns:
        :func:`classification_scores` with ``seconds`` of training, ``best_epoch``, ``parameters``, and ``epochs``: loss
        (nats per image) and accuracy of training, validation and test part by epoch. The test curve selects nothing.
    """
    model = head.build(split.train.shape, classes, seed)
    rows = torch.linspace(0, len(split.test) - 1, min(CURVE_IMAGES, len(split.test))).long()
    curve_part, test_records = split.test.take(rows), []
    test_seconds = 0.0

    def record(event: TrainingEvent) -> None:
        nonlocal test_seconds
        if event.epoch is not None:
            start = time.monotonic()
            test_records.append(validate(model, CrossEntropy(), curve_part))
            test_seconds += time.monotonic() - start

    training, validation = head.training(len(split.train), seed), split.validation
    trained = train(
        model, CrossEntropy(), split.train, training, compute=compute, seed=seed, validation=validation, callback=record
    )
    probabilities = predict_with(trained.model, seed, compute)(split.test)
    return {
        **classification_scores(probabilities, split.test.labels),
        "seconds": trained.seconds - test_seconds,
        "best_epoch": trained.best_epoch,
        "parameters": count_parameters(model),
        "epochs": [
            {"epoch": epoch["epoch"], "loss": epoch["cross_entropy"], "accuracy": epoch["accuracy"]}
            | {f"validation_{new}": epoch[f"validation_{old}"] for new, old in CURVES.items()}
            | {f"test_{new}": test[old] for new, old in CURVES.items()}
            for epoch, test in zip(trained.history, test_records, strict=True)
        ],
    }


def count_parameters(model: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def separation(train: Codes, test: Codes, classes: int, compute: Compute) -> dict[str, Any]:
    """Class separation as JSON values.

    Returns:
        ``silhouette`` of 2,000 evenly spaced test codes (in [-1, 1], 0 if all codes are equal; Rousseeuw 1987), test
        accuracy of a ``knn`` and a ``linear`` probe of the training codes, and the kNN's ``confusion`` (rows true).
    """
    knn = classification_scores(KNN().fit(train, classes, 0, compute)(test), test.labels)
    scaled = train.standardised_by(train), test.standardised_by(train)
    linear = classification_scores(Logistic().fit(scaled[0], classes, 0, compute)(scaled[1]), test.labels)
    return {
        "silhouette": _silhouette(test),
        "knn": knn["accuracy"],
        "linear": linear["accuracy"],
        "confusion": knn["confusion"],
    }


def _silhouette(codes: Codes) -> float:
    rows = torch.linspace(0, len(codes) - 1, min(SILHOUETTE_POINTS, len(codes))).long()
    points, labels = codes.mean[rows].numpy(), codes.labels[rows].numpy()
    if len(np.unique(labels)) < 2 or len(np.unique(points, axis=0)) < 2:
        return 0.0
    from sklearn.metrics import silhouette_score

    return float(silhouette_score(points, labels))


def in_groups(codes: Codes, classes: Sequence[str], first: Collection[str]) -> Codes:
    """These codes with two labels: 0 for the classes named in ``first``, 1 for all others."""
    group: Int[Tensor, " Y"] = torch.tensor([0 if name in first else 1 for name in classes])
    return replace(codes, labels=group[codes.labels])
