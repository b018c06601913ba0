"""classify(): from a folder of images, some of them labelled, to predictions, a report and a trained classifier."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from vaebench.classification.active_learning import select_to_label_next
from vaebench.classification.classifier import Description, ImageClassifier
from vaebench.classification.collection import Collection, collect
from vaebench.classification.methods import METHODS, MIN_LABELS, MethodContext, cross_validate, selected_method
from vaebench.classification.outliers import THRESHOLD, OutlierDetector
from vaebench.classification.results import ClassificationResult, write_results
from vaebench.classification.settings import Settings, estimate_minutes, settings_for
from vaebench.core.errors import VaebenchError
from vaebench.core.files import read_json, write_json
from vaebench.core.locks import lock_folder
from vaebench.core.progress import ProgressCallback, ProgressEvent
from vaebench.data.blocks import Blocks
from vaebench.data.images import Dataset, Images, Source
from vaebench.deprecated import renamed_arguments
from vaebench.evaluation.features import encode
from vaebench.experiments.experiment import Experiment
from vaebench.experiments.info import Budget
from vaebench.experiments.trained import TrainedModel
from vaebench.models.vae import VAE
from vaebench.training.compute import Compute

TO_LABEL_NEXT = 50
"""Images that are suggested for labelling."""
POOL = 100_000
"""Images that methods are fitted with, the labelled ones among them; the VAE is trained on all."""
IN_MEMORY = 1 << 30
"""Bytes of pixels up to which training reads them in any order; more are read from the disk in shuffled blocks."""


@renamed_arguments(watch="callback", tell="message_callback")
def classify(
    path: str | Path,
    labels: str | Path | Sequence[str | Path] = (),
    out: str | Path | None = None,
    *,
    side: int | None = None,
    compute: Compute | None = None,
    callback: ProgressCallback = lambda event: None,
    message_callback: Callable[[str], None] = lambda message: None,
    settings: Settings | None = None,
) -> ClassificationResult:
    """Classify a collection of images of which some are labelled.

    A VAE is trained on all images, the best of several methods is selected by cross-validation on the labelled
    images, and all images are classified. An interrupted call can be repeated and continues; a call with more labels
    reuses the VAE.

    Args:
        path: a folder or zip of images of any size, or an npz of ``x_train`` and ``y_train`` with -1 for no label.
        labels: one or several CSV files of file and label; without any, labels are the names of class folders beside
            ``unlabelled``.
        out: output folder, by default ``runs/classify-NAME``.
        side: side in pixels of the square that images are scaled to.
        compute: device, precision and threads; chosen for the machine by default.
        callback: receives progress events.
        message_callback: receives sentences: how many images were read, the estimated time.
        settings: chosen by the shape and number of the images by default.

    Raises:
        VaebenchError: nothing can be read, labels are invalid, or the output folder is in use, not writable or of
            other images.
        KeyboardInterrupt: Ctrl-C; completed steps are kept.
    """
    path = Path(path).expanduser()
    label_files = [Path(file) for file in ([labels] if isinstance(labels, str | Path) else labels)]
    folder = Path(out) if out is not None else Path("runs") / f"classify-{path.resolve().stem}"
    with lock_folder(folder):
        _claim(folder, path)
        collection = collect(
            path, label_files, side, folder / "work", lambda task, done: callback(ProgressEvent(task, done))
        )
        settings = settings or settings_for(
            collection.images.shape, len(collection.names), len(collection.labelled_rows)
        )
        compute = (compute or Compute()).resolve()
        message_callback(_describe(collection))
        cross_validated = min(collection.label_counts) >= MIN_LABELS
        minutes = estimate_minutes(settings, collection.images, len(collection.classes), compute, cross_validated)
        message_callback(
            f"Estimated time: {max(1, round(minutes))} minutes on this machine, less if an earlier call was interrupted"
        )
        info = ClassificationInfo({"cpu": minutes})
        experiment = Experiment(info, "cpu", folder / "work", compute, callback)
        return _run(folder, Steps(experiment, collection, settings))


def _run(folder: Path, steps: Steps) -> ClassificationResult:
    """Run all steps and write the results."""
    collection, experiment, settings = steps.collection, steps.experiment, steps.settings
    context, rows = steps.method_context()
    selection = cross_validate(context, rows, collection.labels, steps.fold_probabilities, settings.seed)
    classifier = steps.fit_classifier(context, rows, *selected_method(selection))
    probabilities = steps.probabilities(classifier)
    means = steps.latent_means()
    detector, outlier_scores = steps.fit_outlier_detector(means)
    experiment.report("selecting images to label next")
    to_label_next = select_to_label_next(
        means, probabilities.numpy(), collection.labelled_rows.numpy(), TO_LABEL_NEXT, outlier_scores > THRESHOLD
    )
    onnx = classifier.save(folder / "model")
    detector.save(folder / "model")
    predicted = probabilities, outlier_scores, to_label_next
    result = ClassificationResult(
        folder, collection, settings, selection, classifier, *predicted, onnx, experiment.seconds
    )
    write_results(result)
    experiment.finish()
    return result


def _claim(folder: Path, path: Path) -> None:
    """Record the source of the images in the output folder, or check that it is the recorded one."""
    note, source = folder / "work" / "source.json", str(path.resolve())
    if not note.exists():
        write_json(note, {"source": source})
    elif (other := read_json(note)["source"]) != source:
        raise VaebenchError(f"{folder} holds the classification of {other}; choose another folder (--out)")


def _describe(collection: Collection) -> str:
    labelled, skipped = len(collection.labelled_rows), len(collection.skipped)
    text = f"{len(collection.names):,} images read, {labelled:,} of them labelled in {len(collection.classes)} classes"
    return text + (f"; {skipped:,} skipped" if skipped else "")


@dataclass(frozen=True)
class ClassificationInfo:
    """Description of the job for :class:`Experiment`."""

    minutes: Mapping[Budget, float | int]
    title_in_short: str = "classify"
    captions: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Steps:
    """Steps of one classification, each computed once and stored, identified by everything that decides its result."""

    experiment: Experiment
    collection: Collection
    settings: Settings

    @cached_property
    def trained(self) -> TrainedModel:
        """The VAE, trained on all images without labels."""
        images, settings = self.collection.images, self.settings
        empty, file = images.take(slice(0, 0)), self.collection.pixel_file
        source: Source = images if file is None or images.pixels.nbytes <= IN_MEMORY else Blocks(file)
        return self.experiment.network(
            "vae",
            Dataset(self.collection.title, images, empty, empty),
            lambda: settings.model.build(images.shape),
            (source, None),
            settings.objective,
            settings.training,
            settings.seed,
            {"model": settings.model.model_dump()} | ({} if source is images else {"order": "blocks"}),
        )

    @cached_property
    def vae(self) -> VAE:
        """The trained VAE on the CPU."""
        return self.trained.vae.cpu()

    def method_context(self) -> tuple[MethodContext, Int[Tensor, " M"]]:
        """Return what methods are fitted with, and the rows of the labelled images in it.

        That is all images, or the labelled ones and a random sample.
        """
        images, settings, rows = self.collection.images, self.settings, self.collection.labelled_rows
        if len(images) > POOL:
            sample = torch.from_numpy(np.random.default_rng(settings.seed).permutation(len(images))[:POOL])
            pool = torch.cat([sample, rows]).unique()
            images, rows = images.take(pool), torch.searchsorted(pool, rows)
        training = settings.semi_supervised, settings.supervised, self.experiment.compute
        return MethodContext(images, len(self.collection.classes), settings.model, self.vae, *training), rows

    def _identity(self) -> dict[str, Any]:
        """Everything that decides a fit except its method and fold."""
        return {
            "vae": self.trained.key,
            "rows": self.collection.labelled_rows.tolist(),
            "labels": self.collection.labels.tolist(),
            "settings": self.settings.model_dump(mode="json", include={"semi_supervised", "supervised", "seed"}),
        }

    def _array(self, name: str, identity: dict[str, Any], compute: Callable[[], np.ndarray]) -> np.ndarray:
        """The only array of a step, by whatever name it is stored."""
        (array,) = self.experiment.arrays(name, identity, lambda: {"values": compute()}).values()
        return array

    def _array_of_all(
        self, name: str, task: str, compute: Callable[..., np.ndarray], identity: dict[str, Any] | None = None
    ) -> np.ndarray:
        """The result of ``compute(images, callback)`` for all images; without ``identity``, the VAE's decides it."""
        identity, callback = identity or {"vae": self.trained.key}, self.experiment.progress_callback(task)
        return self._array(f"all/{name}", identity, lambda: compute(self.collection.images, callback))

    def fold_probabilities(self, method: str, fold: int, compute: Callable[[], np.ndarray]) -> np.ndarray:
        """Return the held-out probabilities of a method on a fold."""
        return self._array(f"{method}/fold-{fold + 1}", {**self._identity(), "method": method, "fold": fold}, compute)

    def fit_classifier(
        self, context: MethodContext, rows: Int[Tensor, " M"], method: str, temperature: float
    ) -> ImageClassifier:
        """Fit a method to all labelled images."""
        title, kind, fit_method = METHODS[method]
        rule, classes, model = self.collection.rule, self.collection.classes, self.settings.model
        description = Description(
            kind=kind, method=title, rule=rule, classes=classes, model=model, temperature=temperature
        )

        def fit() -> dict[str, np.ndarray]:
            network = fit_method(context, rows, self.collection.labels, self.settings.seed).cpu()
            return {name: value.numpy() for name, value in network.state_dict().items()}

        weights = self.experiment.arrays("chosen", {**self._identity(), "method": method}, fit)
        network = description.load({name: torch.from_numpy(value) for name, value in weights.items()})
        return ImageClassifier(description, network)

    def probabilities(self, classifier: ImageClassifier) -> Float[Tensor, "N Y"]:
        """Return the class probabilities of all images."""
        description = classifier.description
        identity = {**self._identity(), "method": description.method, "temperature": description.temperature}

        def compute(images: Images, callback: Callable[[float], None]) -> np.ndarray:
            return classifier.probabilities(images, callback).numpy()

        return torch.from_numpy(self._array_of_all("answers", "classifying all images", compute, identity))

    def latent_means(self) -> Float[np.ndarray, "N D"]:
        """Return the latent means of all images."""
        return self._array_of_all("codes", "encoding all images", lambda *args: encode(self.vae, *args).mean.numpy())

    def fit_outlier_detector(self, means: Float[np.ndarray, "N D"]) -> tuple[OutlierDetector, Float[np.ndarray, " N"]]:
        """Return the outlier detector and the outlier scores of all images."""

        def compute_statistics(detector: OutlierDetector) -> np.ndarray:
            return self._array_of_all("outliers", "computing outlier scores", detector.statistics)

        return OutlierDetector.fit(self.vae, self.collection.images, means, compute_statistics=compute_statistics)
