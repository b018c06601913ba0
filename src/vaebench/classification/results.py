"""ClassificationResult and the tables and summary that are written from it."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vaebench.classification.classifier import ImageClassifier
from vaebench.classification.collection import Collection
from vaebench.classification.encoder_methods import ALL_METHODS
from vaebench.classification.encoder_report import encoder_summary
from vaebench.classification.encoder_steps import EncoderCost
from vaebench.classification.outliers import THRESHOLD
from vaebench.classification.prediction import PredictionResult
from vaebench.classification.selection import ExpectedAccuracy, MethodSelection
from vaebench.classification.settings import Settings
from vaebench.core.files import atomic, write_json
from vaebench.core.provenance import commit
from vaebench.core.statistics import wilson_interval
from vaebench.deprecated import renamed_attribute
from vaebench.training.compute import machine

SCHEMA = 2
"""Of summary.json."""


class Prediction(NamedTuple):
    """What the classifier predicts for an image."""

    label: str
    probability: float


@dataclass(frozen=True)
class ClassificationResult:
    """Result of :func:`classify`; its folder holds the same."""

    folder: Path
    collection: Collection
    settings: Settings
    selection: MethodSelection | None
    """Cross-validation of the methods; None where a class has too few labels."""
    classifier: ImageClassifier
    probabilities: Float[Tensor, "N Y"]
    """Class probabilities of all images, calibrated where there is a cross-validation."""
    outlier_scores: Float[np.ndarray, " N"]
    """Robust standard deviations above the median."""
    to_label_next: Int[np.ndarray, " K"]
    """Rows of the images to label next."""
    onnx: Path | None
    seconds: float
    encoder: EncoderCost | None = None
    """Cost of the features of the user's encoder; None without one."""
    preliminary: bool = False
    """Whether better results may replace these: the training of the VAE or of networks goes on."""

    def __repr__(self) -> str:
        expected = self.selection.expected_accuracy if self.selection else None
        accuracy = f"{expected.low:.0%} to {expected.high:.0%}" if expected else "not estimated"
        return f"ClassificationResult({self.collection!r}, {self.method!r}, accuracy {accuracy}, in {self.folder})"

    @property
    def outliers(self) -> Bool[np.ndarray, " N"]:
        """Whether each image is an outlier."""
        return self.outlier_scores > THRESHOLD

    @property
    def method(self) -> str:
        """Title of the method that the classifier was fitted by."""
        return self.classifier.description.method

    @property
    def labels(self) -> list[str]:
        """Predicted class of every image, also of the labelled ones."""
        return [self.collection.classes[index] for index in self.probabilities.argmax(1).tolist()]

    @property
    def guesses(self) -> list[Prediction]:
        """The prediction for each of the images to label next."""
        best, predicted = self.probabilities[self.to_label_next].max(1)
        classes = [self.collection.classes[index] for index in predicted.tolist()]
        return [Prediction(*pair) for pair in zip(classes, best.tolist(), strict=True)]

    @property
    def test_accuracy(self) -> ExpectedAccuracy | None:
        """Accuracy on the labelled images of the part "test", which nothing was fitted to; None without any."""
        rows, labels = self.collection.test_rows, self.collection.test_labels
        if not len(rows):
            return None
        accuracy = float((self.probabilities[rows].argmax(1) == labels).double().mean())
        return ExpectedAccuracy(accuracy, *wilson_interval(accuracy, len(rows)))

    choice = renamed_attribute("choice", "selection")
    unlike = renamed_attribute("unlike", "outliers")
    rarities = renamed_attribute("rarities", "outlier_scores")
    asked = renamed_attribute("asked", "to_label_next")


def write_results(result: ClassificationResult) -> None:
    """Write predictions.csv, to-label-next.csv and summary.json."""
    collection, probabilities = result.collection, result.probabilities
    names, classes = collection.names, collection.classes
    given = dict(zip(collection.labelled_rows.tolist(), collection.labels.tolist(), strict=True))
    write_predictions(
        result.folder / "predictions.csv",
        PredictionResult(names, classes, probabilities, result.outlier_scores, collection.skipped),
        [classes[given[row]] if row in given else "" for row in range(len(names))],
    )
    write_to_label_next(result.folder, [names[row] for row in result.to_label_next], result.guesses)
    write_json(result.folder / "summary.json", summary(result))


def write_to_label_next(folder: Path, names: Sequence[str], guesses: Sequence[Prediction]) -> None:
    """Write ``to-label-next.csv``, whose last column is to be filled in; without guesses two more are empty."""
    predictions = [(each.label, f"{each.probability:.4f}") for each in guesses] or [("", "")] * len(names)
    rows = ((rank, name, *predictions[rank - 1], "") for rank, name in enumerate(names, start=1))
    _write_csv(folder / "to-label-next.csv", ("rank", "file", "guess", "probability", "label"), rows)


def write_predictions(path: Path, result: PredictionResult, given: Sequence[str] | None = None) -> None:
    """Write a CSV file with a row per image: file, label, probability, outlier, outlier_score and the given label."""
    best, predicted = result.probabilities.max(1)
    columns: dict[str, Iterable[str]] = {
        "file": result.names,
        "label": (result.classes[label] for label in predicted.tolist()),
        "probability": (f"{probability:.4f}" for probability in best.tolist()),
        "outlier": ("yes" if outlier else "no" for outlier in result.outliers.tolist()),
        "outlier_score": (f"{score:.2f}" for score in result.outlier_scores.tolist()),
    }
    columns |= {} if given is None else {"given": given}
    _write_csv(path, tuple(columns), zip(*columns.values(), strict=True))


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV file atomically; file names that are not valid Unicode keep their bytes."""
    with atomic(path) as temporary, temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def summary(result: ClassificationResult) -> dict[str, Any]:
    """Return every number of the report as JSON values."""
    collection, selection = result.collection, result.selection
    predicted = torch.bincount(result.probabilities.argmax(1), minlength=len(collection.classes)).tolist()
    return {
        "schema": SCHEMA,
        "images": len(collection.names),
        "skipped": len(collection.skipped),
        "label_counts": dict(zip(collection.classes, collection.label_counts, strict=True)),
        "predicted_counts": dict(zip(collection.classes, predicted, strict=True)),
        "outliers": int(result.outliers.sum()),
        "method": result.method,
        "temperature": result.classifier.description.temperature,
        "expected_accuracy": None if selection is None else selection.expected_accuracy._asdict(),
        "test_accuracy": None if result.test_accuracy is None else result.test_accuracy._asdict(),
        "test_images": len(collection.test_rows),
        "methods": None if selection is None else _method_rows(selection),
        "preliminary": result.preliminary,
        "trained_networks": selection is not None and _trained_networks(selection),
        "stopped_methods": None if selection is None else _stopped_rows(selection),
        "learning_slope": None if selection is None or selection.slope is None else selection.slope._asdict(),
        "balanced_accuracy": None if selection is None else selection.balanced_accuracy,
        "recalls": None if selection is None else _recalls(selection, collection.classes),
        "scores": None if selection is None else selection.scores,
        "encoder": encoder_summary(result.encoder, selection),
        "preprocessing": collection.rule.description,
        "settings": result.settings.model_dump(mode="json"),
        "seconds": round(result.seconds, 1),
        "machine": machine(),
        "commit": commit(),
    }


def _method_rows(selection: MethodSelection) -> list[dict[str, Any]]:
    """Cross-validated accuracy of each method and the difference of the selected method to it."""
    selected = selection.method
    return [
        {
            "method": name,
            "title": ALL_METHODS[name].title,
            "accuracy": accuracy,
            "selected": name == selected,
            "difference": None if name == selected else selection.difference_to(name)._asdict(),
        }
        for name, accuracy in selection.accuracies.items()
    ]


def _trained_networks(selection: MethodSelection) -> bool:
    return any(ALL_METHODS[name].trains_network for name in (*selection.probabilities, *selection.stopped))


def _stopped_rows(selection: MethodSelection) -> list[dict[str, Any]]:
    """Accuracy on the first folds of each method that was stopped there, and that of the selected one on the same."""
    return [
        {
            "method": name,
            "title": ALL_METHODS[name].title,
            "labels": len(stopped.correct),
            "accuracy": float(stopped.correct.mean()),
            "accuracy_of_selected": float(stopped.selected_correct.mean()),
        }
        for name, stopped in selection.stopped.items()
    ]


def _recalls(selection: MethodSelection, classes: Sequence[str]) -> dict[str, float | None]:
    """Recall of every class; None for one without held-out labels."""
    return {name: selection.recalls.get(label) for label, name in enumerate(classes)}
