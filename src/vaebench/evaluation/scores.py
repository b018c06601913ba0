"""Scores of classifiers on a train, validation and test split, and their learning curves by epoch."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vaebench.evaluation.batched_linear import fit_each
from vaebench.evaluation.calibration import log_loss
from vaebench.evaluation.panels import confusion
from vaebench.evaluation.probes import Head, Probe
from vaebench.models.objectives import CrossEntropy
from vaebench.training.compute import Compute
from vaebench.training.loop import TrainingEvent, train
from vaebench.training.metrics import validate
from vaebench.training.prediction import LabelledSource, predict_with

CURVES = {"loss": "cross_entropy", "accuracy": "accuracy"}
"""Name in the curves by epoch -> name in the history of training."""
CURVE_IMAGES = 5000
"""Test images, evenly spaced, of the curve by epoch; the final test uses all images."""


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
    validation = classification_scores(predict(split.validation), split.validation.labels)["accuracy"]
    return {
        **classification_scores(predict(split.test), split.test.labels),
        "validation_accuracy": validation,
        "seconds": seconds,
    }


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

    def callback(event: TrainingEvent) -> None:
        nonlocal test_seconds
        if event.epoch is not None:
            start = time.monotonic()
            test_records.append(validate(model, CrossEntropy(), curve_part))
            test_seconds += time.monotonic() - start

    training = head.training(len(split.train), seed)
    trained = train(
        model,
        CrossEntropy(),
        split.train,
        training,
        compute=compute,
        seed=seed,
        validation=split.validation,
        callback=callback,
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
