"""predict(): apply a saved classifier to new images."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from vaebench.classification.classifier import load_classifier
from vaebench.classification.collection import MAX_DEPTH
from vaebench.classification.outliers import load_outlier_detector
from vaebench.classification.results import PredictionResult
from vaebench.core.errors import VaebenchError
from vaebench.core.progress import ProgressCallback, ProgressEvent
from vaebench.data.blocks import read_pixels, write_pixels
from vaebench.data.images import HIDDEN, Images
from vaebench.data.listing import open_files
from vaebench.deprecated import renamed_arguments

BLOCK = 10_000
"""Images that are classified at a time."""


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
