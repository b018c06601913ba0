"""predict(): apply a saved classifier to new images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vaebench.classification.classifier import load_classifier
from vaebench.classification.collection import MAX_DEPTH
from vaebench.classification.outliers import THRESHOLD, load_outlier_detector
from vaebench.classification.results import write_predictions
from vaebench.core.errors import VaebenchError
from vaebench.core.progress import ProgressCallback, ProgressEvent
from vaebench.data.blocks import read_pixels, write_pixels
from vaebench.data.images import HIDDEN, Images
from vaebench.data.listing import open_files
from vaebench.deprecated import renamed_arguments, renamed_attribute

BLOCK = 10_000
"""Images that are classified at a time."""


@dataclass(frozen=True)
class PredictionResult:
    """Class probabilities and outlier scores of new images."""

    names: tuple[str, ...]
    classes: tuple[str, ...]
    probabilities: Float[Tensor, "N Y"]
    outlier_scores: Float[np.ndarray, " N"]
    """Robust standard deviations above the median of the images that the classifier was trained with."""
    skipped: dict[str, str]
    """Reason by name for each image file that cannot be read."""

    def __repr__(self) -> str:
        return f"PredictionResult({len(self.names):,} images, {int(self.outliers.sum()):,} outliers)"

    @property
    def outliers(self) -> Bool[np.ndarray, " N"]:
        """Whether each image is an outlier."""
        return self.outlier_scores > THRESHOLD

    unlike = renamed_attribute("unlike", "outliers")


@renamed_arguments(watch="callback")
def predict(model: str | Path, path: str | Path, callback: ProgressCallback = lambda event: None) -> PredictionResult:
    """Classify all images of a folder or zip.

    Args:
        model: the model folder that :func:`classify` wrote.
        path: a folder or zip of images of any size.
        callback: receives progress events.

    Raises:
        VaebenchError: the model or the path does not exist, or no image can be read.
    """
    folder, path = Path(model), Path(path).expanduser()
    classifier = load_classifier(folder)
    description = classifier.description
    detector = load_outlier_detector(description.model.build(description.shape), folder)
    with TemporaryDirectory() as temporary, open_files(path, MAX_DEPTH) as files:
        file = Path(temporary) / "pixels.npy"
        names, skipped = write_pixels(
            files, description.rule, file, lambda task, done: callback(ProgressEvent(task, done))
        )
        if not names:
            raise VaebenchError(f"{path}: none of its {len(files.images):,} images can be read")
        probabilities, scores = [], []
        for pixels in torch.from_numpy(read_pixels(file)).split(BLOCK):
            images = Images(pixels, torch.full((len(pixels),), HIDDEN))
            probabilities.append(classifier.probabilities(images))
            scores.append(detector.scores(images))
            callback(ProgressEvent("classifying", sum(map(len, scores)) / len(names)))
    return PredictionResult(tuple(names), classifier.classes, torch.cat(probabilities), np.concatenate(scores), skipped)


def write_predicted(path: Path, result: PredictionResult) -> None:
    """Write the result of :func:`predict` as a CSV file: file, label, probability, outlier, outlier_score."""
    write_predictions(path, result.names, result.classes, result.probabilities, result.outlier_scores)
