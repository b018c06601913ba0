"""Classified: what a classification found, and the tables that it writes."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vaebench.classification.classifier import ImageClassifier
from vaebench.classification.collection import Collection
from vaebench.classification.methods import METHODS
from vaebench.classification.selection import MethodSelection
from vaebench.classification.settings import Settings
from vaebench.core.files import atomic, write_json
from vaebench.core.provenance import commit
from vaebench.training.compute import machine

SCHEMA = 1


@dataclass(frozen=True)
class ClassificationResult:
    """What :func:`classify` found; the same is in its folder."""

    folder: Path
    collection: Collection
    settings: Settings
    choice: MethodSelection | None
    """None where labels were too few to choose by."""
    classifier: ImageClassifier
    probabilities: Float[Tensor, "N Y"]
    """Of all images, calibrated where there was a choice."""
    unlike: Bool[np.ndarray, " N"]
    """Images unlike the rest."""
    rarities: Float[np.ndarray, " N"]
    asked: Int[np.ndarray, " K"]
    """Rows of the images to label next."""
    onnx: Path | None
    seconds: float

    def __repr__(self) -> str:
        found = self.choice.expected if self.choice else None
        trust = f"{found.low:.0%} to {found.high:.0%} right" if found else "accuracy cannot be estimated"
        return f"Classified({self.collection!r} by {self.method!r}: {trust}; in {self.folder})"

    @property
    def method(self) -> str:
        """The method that was used, in words."""
        return self.classifier.description.method

    @property
    def labels(self) -> list[str]:
        """The most probable class of every image, by its name; what was given is not repeated here."""
        return [self.collection.classes[index] for index in self.probabilities.argmax(1).tolist()]


def write_results(found: ClassificationResult) -> None:
    """predictions.csv, to-label-next.csv and summary.json."""
    collection = found.collection
    given = dict(zip(collection.rows.tolist(), collection.labels.tolist(), strict=True))
    shown = [collection.classes[given[row]] if row in given else "" for row in range(len(collection.names))]
    write_predictions(
        found.folder / "predictions.csv", collection.names, collection.classes, found.probabilities, found.unlike, shown
    )
    shares, best = found.probabilities.max(1)
    asked = (
        (place + 1, collection.names[row], collection.classes[int(best[row])], f"{shares[row]:.4f}", "")
        for place, row in enumerate(found.asked.tolist())
    )
    _write_csv(found.folder / "to-label-next.csv", ("rank", "file", "guess", "probability", "label"), asked)
    write_json(found.folder / "summary.json", summary(found))


def write_predictions(
    path: Path,
    names: Sequence[str],
    classes: Sequence[str],
    probabilities: Float[Tensor, "N Y"],
    unlike: Bool[np.ndarray, " N"],
    given: Sequence[str] | None = None,
) -> None:
    """A row an image: file, label, probability, whether it is unlike the rest, and the label that was given."""
    shares, best = probabilities.max(1)
    rows = zip(
        names,
        (classes[label] for label in best.tolist()),
        (f"{share:.4f}" for share in shares.tolist()),
        ("yes" if strange else "no" for strange in unlike.tolist()),
        *([given] if given is not None else []),
        strict=True,
    )
    header = ("file", "label", "probability", "unlike_the_rest", "given")
    _write_csv(path, header if given is not None else header[:-1], rows)


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Whole or not at all; names that are no Unicode keep their bytes."""
    with atomic(path) as temporary, temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def summary(found: ClassificationResult) -> dict[str, Any]:
    """Every number of the report, as JSON values."""
    collection, choice = found.collection, found.choice
    guessed = torch.bincount(found.probabilities.argmax(1), minlength=len(collection.classes)).tolist()
    return {
        "schema": SCHEMA,
        "images": len(collection.names),
        "skipped": len(collection.skipped),
        "labels": dict(zip(collection.classes, collection.counts, strict=True)),
        "predicted": dict(zip(collection.classes, guessed, strict=True)),
        "unlike_the_rest": int(found.unlike.sum()),
        "method": found.classifier.description.method,
        "temperature": found.classifier.description.temperature,
        "expected_accuracy": None if choice is None else choice.expected._asdict(),
        "methods": None if choice is None else _methods(choice),
        "scores": None if choice is None else choice.scores,
        "rule": collection.rule.description,
        "settings": found.settings.model_dump(mode="json"),
        "seconds": round(found.seconds, 1),
        "machine": machine(),
        "commit": commit(),
    }


def _methods(choice: MethodSelection) -> list[dict[str, Any]]:
    """Accuracy of each method on the held-out labels, and how far the chosen one is ahead."""
    return [
        {
            "method": name,
            "words": METHODS[name].words,
            "accuracy": accuracy,
            "chosen": name == choice.method,
            "ahead_of_it": None if name == choice.method else choice.ahead(name)._asdict(),
        }
        for name, accuracy in choice.accuracies.items()
    ]
