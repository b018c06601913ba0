"""What a classifier got right: accuracy, cross-entropy, confusions, time, and its curves by epoch."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vaebench.evaluation.batched_linear import fit_each
from vaebench.evaluation.panels import confusion
from vaebench.evaluation.probes import Head, Probe
from vaebench.models.objectives import CrossEntropy
from vaebench.training.compute import Compute
from vaebench.training.loop import TrainingEvent, train
from vaebench.training.prediction import LabelledSource, predict_with
from vaebench.training.validation import validate

CURVE_IMAGES = 5000
"""The curve of the test part by epoch is drawn on so many of its images, evenly spaced; the final test on all."""


@dataclass(frozen=True)
class Split:
    """Labelled parts, codes or images: to train on, to choose by, to test on."""

    train: LabelledSource
    validation: LabelledSource
    test: LabelledSource


def classification_scores(probabilities: Float[Tensor, "N Y"], labels: Int[Tensor, " N"]) -> dict[str, Any]:
    """Accuracy, cross-entropy (nats per image) and confusion matrix (rows true, columns predicted) as JSON values.

    A probability of 0 counts as 1e-12 in the cross-entropy, which is infinite otherwise.
    """
    counts = confusion(probabilities, labels)
    own = probabilities.double().gather(1, labels[:, None]).clamp(min=1e-12)
    return {
        "accuracy": float(counts.trace() / counts.sum()),
        "cross_entropy": float(-own.log().mean()),
        "confusion": counts.tolist(),
    }


def score(probe: Probe, split: Split, classes: int, seed: int, compute: Compute) -> dict[str, Any]:
    """Fit on the training part and test on the test part.

    Returns :func:`classification_scores` with the seconds of the fit and the accuracy on the validation part.
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
    """A head with its curves: the epoch with the lowest *validation* loss is kept and tested.

    Returns :func:`classification_scores` with ``seconds`` of training, ``best_epoch``, ``parameters``, and
    ``epochs``: a record an epoch of loss (nats per image) and accuracy in training, validation and test.
    The test curve chooses nothing.
    """
    model = head.build(split.train.shape, classes, seed)
    rows = torch.linspace(0, len(split.test) - 1, min(CURVE_IMAGES, len(split.test))).long()
    some, tested = split.test.take(rows), []
    spent = 0.0

    def callback(at: TrainingEvent) -> None:
        nonlocal spent
        if at.epoch is not None:
            start = time.monotonic()
            tested.append(validate(model, CrossEntropy(), some))
            spent += time.monotonic() - start

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
    test = predict_with(trained.model, seed, compute)(split.test)
    return {
        **classification_scores(test, split.test.labels),
        "seconds": trained.seconds - spent,
        "best_epoch": trained.best_epoch,
        "parameters": parameters(model),
        "epochs": [_record(epoch, found) for epoch, found in zip(trained.history, tested, strict=True)],
    }


def parameters(model: nn.Module) -> int:
    """Weights that training may move."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def _record(epoch: dict[str, Any], tested: dict[str, float]) -> dict[str, Any]:
    return {
        "epoch": epoch["epoch"],
        "loss": epoch["cross_entropy"],
        "accuracy": epoch["accuracy"],
        "validation_loss": epoch["validation_cross_entropy"],
        "validation_accuracy": epoch["validation_accuracy"],
        "test_loss": tested["cross_entropy"],
        "test_accuracy": tested["accuracy"],
    }
