"""classify(): from a folder of images, some of them labelled, to predictions, a report and a trained classifier."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from threadpoolctl import threadpool_limits

from vaebench.classification.active_learning import select_to_label_next
from vaebench.classification.cold_start import LabelProposal, propose_labels
from vaebench.classification.collection import Collection, collect, default_folder
from vaebench.classification.cross_validation import can_cross_validate, selected_method
from vaebench.classification.fold_fits import (
    divide_fits,
)
from vaebench.classification.outliers import THRESHOLD
from vaebench.classification.results import ClassificationResult, write_results
from vaebench.classification.settings import (
    ClassificationInfo,
    Settings,
    TimeEstimate,
    estimate_time,
    settings_for,
)
from vaebench.classification.steps import Steps
from vaebench.core.errors import VaebenchError
from vaebench.core.files import read_json, write_json
from vaebench.core.locks import lock_folder
from vaebench.core.progress import ProgressCallback, ProgressEvent
from vaebench.core.workers import Executor
from vaebench.data.preprocessing import Projection
from vaebench.data.reading import Reading
from vaebench.deprecated import renamed_arguments
from vaebench.experiments.experiment import Experiment
from vaebench.training.compute import Compute
from vaebench.training.sharing import Division

TO_LABEL_NEXT = 50
"""Images that are suggested for labelling."""


@renamed_arguments(watch="callback", tell="message_callback")
def classify(
    path: str | Path,
    labels: str | Path | Sequence[str | Path] = (),
    out: str | Path | None = None,
    *,
    side: int | None = None,
    projection: Projection | None = None,
    compute: Compute | None = None,
    callback: ProgressCallback = lambda event: None,
    message_callback: Callable[[str], None] = lambda message: None,
    settings: Settings | None = None,
    executor: Executor | None = None,
) -> ClassificationResult | LabelProposal:
    """Classify a collection of images of which some are labelled.

    A VAE is trained on all images, the best of several methods is selected by cross-validation on the labelled
    images, and all images are classified. An interrupted call can be repeated and continues; a call with more labels
    reuses the VAE. Where fewer than two classes have labels, nothing is classified: the images to label first are
    selected by the latents of the VAE.

    Args:
        path: a folder, an archive or a file of images in any format that is read.
        labels: one or several tables of file and label; without any, labels are those of the source: the names of class
            folders beside ``unlabelled``, or labels in the file itself.
        out: output folder, by default ``runs/classify-NAME``.
        side: side in pixels of the square that images are scaled to.
        projection: how the planes of a stack become one image; None leaves stacks out.
        compute: device, precision and threads; chosen for the machine by default.
        callback: receives progress events.
        message_callback: receives sentences: how many images were read, the estimated time.
        settings: chosen by the shape and number of the images by default.
        executor: the workers that share the fits of the cross-validation; see
            :func:`vaebench.classification.fold_fits.divide_fits`.

    Raises:
        VaebenchError: nothing can be read, labels are invalid, the output folder is in use, not writable or of other
            images, or the executor is a cluster that does not answer.
        KeyboardInterrupt: Ctrl-C; completed steps are kept.
    """
    path = Path(path).expanduser()
    label_files = [Path(file) for file in ([labels] if isinstance(labels, str | Path) else labels)]
    folder = Path(out) if out is not None else default_folder(path)
    with lock_folder(folder):
        _claim(folder, path)
        _check_tables(folder, label_files)
        reading = Reading(side, tuple(map(str, label_files)), projection)
        collection = collect(path, reading, folder / "work", lambda task, done: callback(ProgressEvent(task, done)))
        settings = settings or settings_for(
            collection.images.shape, len(collection.names), len(collection.labelled_rows)
        )
        for sentence in (_describe(collection), *collection.warnings):
            message_callback(sentence)
        own = (compute or Compute()).resolve()
        estimate = estimate_time(settings, collection.images, max(2, len(collection.classes)), own)
        division, minutes = _plan(collection, estimate, compute or Compute(), executor)
        message_callback(
            f"Estimated time: {max(1, round(minutes))} minutes on this machine, less if an earlier call was interrupted"
        )
        experiment = Experiment(ClassificationInfo({"cpu": minutes}), "cpu", folder / "work", own, callback)
        steps = Steps(experiment, collection, settings, division, estimate if executor is None else None)
        with threadpool_limits(own.threads):
            if len(collection.classes) < 2:
                return propose_labels(folder, steps, TO_LABEL_NEXT)
            return _run(folder, steps)


def _plan(
    collection: Collection, estimate: TimeEstimate, compute: Compute, executor: Executor | None
) -> tuple[Division, float]:
    """Division of the fits of the cross-validation, if there is one, and the estimated minutes of the whole."""
    if len(collection.classes) < 2:
        return Division(None, 1, compute.resolve()), (estimate.vae + estimate.rest) / 60
    if can_cross_validate(collection.labels):
        division = divide_fits(compute, executor, estimate.seconds_of_folds)
        return division, estimate.minutes(True, division.workers)
    return Division(None, 1, compute.resolve()), estimate.minutes(False)


def _run(folder: Path, steps: Steps) -> ClassificationResult:
    """Run all steps and write the results."""
    collection, experiment, settings = steps.collection, steps.experiment, steps.settings
    context, rows = steps.method_context()
    selection = steps.cross_validate(context, rows)
    classifier = steps.fit_classifier(context, rows, *selected_method(selection))
    probabilities = steps.probabilities(classifier)
    means = steps.latent_means()
    detector, outlier_scores = steps.fit_outlier_detector(means)
    experiment.report("selecting images to label next")
    outside = outlier_scores > THRESHOLD
    outside[collection.test_rows.numpy()] = True  # they are labelled, too
    given = collection.labelled_rows.numpy(), collection.labels.numpy()
    to_label_next = select_to_label_next(means, *given, TO_LABEL_NEXT, outside)
    detector.save(folder / "model")  # first, as model.json makes the folder look complete
    onnx = classifier.save(folder / "model")
    predicted = probabilities, outlier_scores, to_label_next
    result = ClassificationResult(folder, collection, settings, selection, classifier, *predicted, onnx, steps.seconds)
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


def _check_tables(folder: Path, tables: Sequence[Path]) -> None:
    """Refuse to read labels from the table that the next images to label are written to."""
    written = (folder / "to-label-next.csv").resolve()
    if any(table.expanduser().resolve() == written for table in tables):
        raise VaebenchError(
            f"{folder / 'to-label-next.csv'} would be overwritten with the next images to label; copy it, for example "
            "to labels-2.csv, and give the copy"
        )


def _describe(collection: Collection) -> str:
    labelled, skipped, classes = len(collection.labelled_rows), len(collection.skipped), len(collection.classes)
    which = (
        f"{labelled:,} of them labelled in {classes} class{'es' if classes > 1 else ''}"
        if labelled
        else "none labelled"
    )
    text = f"{len(collection.names):,} images read, {which}"
    return text + (f"; {skipped:,} skipped" if skipped else "")
