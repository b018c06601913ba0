"""predict(): a kept classifier applied to new images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vaebench.classification.classifier import load_classifier
from vaebench.classification.collection import opened
from vaebench.classification.outliers import LIMIT, load_outlier_detector
from vaebench.classification.results import write_predictions
from vaebench.core.errors import VaebenchError
from vaebench.core.progress import ProgressCallback, ProgressEvent
from vaebench.data.images import HIDDEN, Images
from vaebench.data.pixel_store import read_pixels, write_pixels

BLOCK = 10_000
"""Images that are classified at a time."""


@dataclass(frozen=True)
class PredictionResult:
    """Class probabilities of new images, and which are unlike those that the classifier learned from."""

    names: tuple[str, ...]
    classes: tuple[str, ...]
    probabilities: Float[Tensor, "N Y"]
    unlike: Bool[np.ndarray, " N"]
    skipped: dict[str, str]
    """Why, by name."""

    def __repr__(self) -> str:
        return f"Predicted({len(self.names):,} images, {int(self.unlike.sum()):,} unlike the rest)"


def predict(model: str | Path, path: str | Path, callback: ProgressCallback = lambda tick: None) -> PredictionResult:
    """Classify all images of a folder or zip.

    Raises:
        VaebenchError: no such model or path, or no image that can be read.
    """
    folder, path = Path(model), Path(path).expanduser()
    classifier = load_classifier(folder)
    description = classifier.description
    rule = description.rule
    shape = (rule.channels, rule.height, rule.width)
    rarity = load_outlier_detector(description.model.build(shape), folder)
    with TemporaryDirectory() as temporary, opened(path) as files:
        pixels = Path(temporary) / "pixels.npy"
        names, skipped = write_pixels(
            files, files.images, rule, pixels, lambda what, done: callback(ProgressEvent(what, done))
        )
        if not names:
            raise VaebenchError(f"{path}: none of its {len(files.images):,} images can be read")
        found, unlike = [], []
        for share, images in _blocks(read_pixels(pixels)):
            found.append(classifier.probabilities(images))
            unlike.append(rarity.scores(images) > LIMIT)
            callback(ProgressEvent("classifying", share))
        return PredictionResult(tuple(names), classifier.classes, torch.cat(found), np.concatenate(unlike), skipped)


def write_predicted(path: Path, found: PredictionResult) -> None:
    """The CSV file of :func:`predict`'s answer: file, label, probability, whether it is unlike the rest."""
    write_predictions(path, found.names, found.classes, found.probabilities, found.unlike)


def _blocks(pixels: np.ndarray) -> Iterator[tuple[float, Images]]:
    for start in range(0, len(pixels), BLOCK):
        some = torch.from_numpy(pixels[start : start + BLOCK])
        yield (start + len(some)) / len(pixels), Images(some, torch.full((len(some),), HIDDEN))
