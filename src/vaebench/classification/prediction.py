"""predict(): classes and outlier scores of new image files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vaebench.classification.classifier import ImageClassifier, load_classifier
from vaebench.classification.file_blocks import FileJob, FileResults, process_files
from vaebench.classification.outliers import THRESHOLD, OutlierDetector, load_outlier_detector
from vaebench.core.progress import ProgressCallback
from vaebench.core.workers import Executor
from vaebench.data.images import Images
from vaebench.data.preprocessing import PreprocessingRule
from vaebench.deprecated import renamed_arguments, renamed_attribute


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
    notes: tuple[str, ...] = ()
    """Sentences about images that were converted, and about the source."""

    def __repr__(self) -> str:
        return f"PredictionResult({len(self.names):,} images, {int(self.outliers.sum()):,} outliers)"

    @property
    def outliers(self) -> Bool[np.ndarray, " N"]:
        """Whether each image is an outlier."""
        return self.outlier_scores > THRESHOLD

    unlike = renamed_attribute("unlike", "outliers")


@renamed_arguments(watch="callback")
def predict(
    model: str | Path,
    path: str | Path,
    callback: ProgressCallback = lambda event: None,
    executor: Executor | None = None,
    masks: str | Path | None = None,
) -> PredictionResult:
    """Classify all images at a path.

    Args:
        model: the model folder that :func:`classify` wrote.
        path: images in any format that :func:`vaebench.data.opening.open_images` reads.
        callback: receives progress events.
        executor: the workers, on which the result does not depend; see
            :func:`vaebench.classification.file_blocks.process_files`.
        masks: a folder, an archive or a file of masks of two values: where one is 0, the pixel of the image of its name
            is not known.

    Raises:
        VaebenchError: the model or the path does not exist, no image can be read, the masks are of no image, or workers
            were lost.
    """
    given = None if masks is None else Path(masks).expanduser()
    job = FileJob("classifying", load_predictor, Path(model), Path(path).expanduser(), given)
    results, classifier = process_files(job, executor, callback), load_classifier(job.model)
    if classifier.encoder is not None:
        job = replace(job, task="encoding", load=load_encoder_classifier, call=uuid4().hex)
        results = _joined(results, process_files(job, executor, callback))
    probabilities = torch.from_numpy(results.arrays["probabilities"])
    scores = results.arrays["outlier_scores"]
    return PredictionResult(results.names, classifier.classes, probabilities, scores, results.skipped, results.notes)


def _joined(first: FileResults, second: FileResults) -> FileResults:
    """The arrays of both for the images that both could read."""
    skipped = first.skipped | second.skipped
    names = tuple(name for name in first.names if name not in skipped)
    arrays: dict[str, np.ndarray] = {}
    for results in (first, second):
        row_of = {name: row for row, name in enumerate(results.names)}
        rows = [row_of[name] for name in names]
        arrays |= {name: array[rows] for name, array in results.arrays.items()}
    return FileResults(names, arrays, skipped, tuple(dict.fromkeys(first.notes + second.notes)))


@dataclass(frozen=True)
class Predictor:
    """A classifier and its outlier detector, on images of the size of the VAE."""

    classifier: ImageClassifier
    detector: OutlierDetector

    @property
    def rule(self) -> PreprocessingRule:
        """The preprocessing of the VAE."""
        return self.classifier.description.rule

    def __call__(self, images: Images) -> dict[str, np.ndarray]:
        """``outlier_scores`` (N,) and, if the classifier reads the same images, ``probabilities`` (N, Y)."""
        scores = {"outlier_scores": self.detector.scores(images)}
        if self.classifier.encoder is not None:
            return scores
        return {"probabilities": self.classifier.probabilities(images).numpy(), **scores}


@dataclass(frozen=True)
class EncoderClassifier:
    """A classifier of the features of a user's encoder, on images of the encoder's size."""

    classifier: ImageClassifier

    @property
    def rule(self) -> PreprocessingRule:
        """The preprocessing of the encoder."""
        return self.classifier.rule

    def __call__(self, images: Images) -> dict[str, np.ndarray]:
        """``probabilities`` (N, Y)."""
        return {"probabilities": self.classifier.probabilities(images).numpy()}


def load_encoder_classifier(folder: Path) -> EncoderClassifier:
    """Load the classifier of a model folder.

    Raises:
        VaebenchError: a file is missing or damaged.
    """
    return EncoderClassifier(load_classifier(folder))


def load_predictor(folder: Path) -> Predictor:
    """Load the classifier and the outlier detector of a model folder.

    Raises:
        VaebenchError: a file is missing or damaged.
    """
    classifier = load_classifier(folder)
    description = classifier.description
    return Predictor(classifier, load_outlier_detector(description.model.build(description.shape), folder))
