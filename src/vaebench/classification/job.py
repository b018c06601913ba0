"""classify(): from images of any source, some of them labelled, to predictions, a report and a trained classifier."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from vaebench.classification.active_learning import select_to_label_next
from vaebench.classification.cold_start import LabelProposal, propose_labels
from vaebench.classification.collection import Collection, collect, default_folder
from vaebench.classification.cross_validation import can_cross_validate, selected_method
from vaebench.classification.encoder import EncoderFile
from vaebench.classification.encoder_file import CheckedEncoder, read_encoder
from vaebench.classification.encoder_steps import EncoderSteps
from vaebench.classification.outliers import THRESHOLD
from vaebench.classification.pilots import Pilots, candidates, choose_augmentation
from vaebench.classification.results import ClassificationResult, write_results
from vaebench.classification.selection import MethodSelection
from vaebench.classification.settings import Settings, settings_for
from vaebench.classification.shared_work import divide_fits
from vaebench.classification.steps import Steps
from vaebench.classification.time_estimate import FIRST_RESULTS, ClassificationInfo, TimeEstimate, estimate_time
from vaebench.core.errors import VaebenchError
from vaebench.core.files import read_json, write_json
from vaebench.core.locks import lock_folder
from vaebench.core.progress import ProgressCallback, ProgressEvent
from vaebench.core.workers import Executor
from vaebench.data.augment import PRESETS
from vaebench.data.preprocessing import Projection
from vaebench.data.reading import Reading
from vaebench.deprecated import renamed_arguments
from vaebench.experiments.experiment import Experiment
from vaebench.training.compute import Compute
from vaebench.training.sharing import Division

TO_LABEL_NEXT = 50
"""Images that are suggested for labelling."""
RENEWED_RESULTS = 120.0
"""Seconds of further training from which results are written before it, where first results have been written."""
MessageCallback = Callable[[str], None]
ResultCallback = Callable[[ClassificationResult], object]


@renamed_arguments(watch="callback", tell="message_callback")
def classify(
    path: str | Path,
    labels: str | Path | Sequence[str | Path] = (),
    out: str | Path | None = None,
    *,
    side: int | None = None,
    projection: Projection | None = None,
    masks: str | Path | None = None,
    augmentation: str | None = None,
    encoder: EncoderFile | str | Path | None = None,
    compute: Compute | None = None,
    callback: ProgressCallback = lambda event: None,
    message_callback: MessageCallback = lambda message: None,
    result_callback: ResultCallback = lambda result: None,
    settings: Settings | None = None,
    executor: Executor | None = None,
) -> ClassificationResult | LabelProposal:
    """Classify a collection of images of which some are labelled.

    A VAE is trained on all images, the best of several methods is selected by cross-validation on the labelled
    images, and all images are classified. Predictions, report and model are written after the fast methods, and again
    where a method that trains a network is better. An interrupted call can be repeated and continues; a call with more
    labels reuses augmentation and VAE. Where fewer than two classes have labels, nothing is classified: the images to
    label first are selected by the latents of the VAE.

    Args:
        path: a folder, an archive or a file of images in any format that is read.
        labels: one or several tables of file and label; without any, labels are those of the source: the names of class
            folders beside ``unlabelled``, or labels in the file itself.
        out: output folder, by default ``runs/classify-NAME``.
        side: side in pixels of the square that images are scaled to.
        projection: how the planes of a stack become one image; None leaves stacks out.
        masks: a folder, an archive or a file of masks of two values: where one is 0, the pixel of the image of its name
            is not known.
        augmentation: name in :data:`vaebench.data.augment.PRESETS` of changes that keep the class; by default chosen by
            cross-validation.
        encoder: a frozen encoder as an ONNX file, whose features compete with the other methods; see
            :func:`vaebench.classification.encoder_file.read_encoder`.
        compute: device, precision and threads; chosen for the machine by default.
        callback: receives progress events.
        message_callback: receives sentences: how many images were read, the estimated time.
        result_callback: receives the results when they have been written: the first ones, where networks are trained
            after them, and the final ones.
        settings: chosen by the shape and number of the images by default.
        executor: the workers that share the fits of the cross-validation; see
            :func:`vaebench.classification.shared_work.divide_fits`.

    Raises:
        VaebenchError: nothing can be read, labels are invalid, the encoder cannot be used, the output folder is in use,
            not writable or of other images, or the executor is a cluster that does not answer.
        KeyboardInterrupt: Ctrl-C; completed steps are kept.
    """
    path = Path(path).expanduser()
    _check_augmentation(augmentation)
    label_files = [Path(file) for file in ([labels] if isinstance(labels, str | Path) else labels)]
    folder = Path(out) if out is not None else default_folder(path)
    with lock_folder(folder):
        _claim(folder, path)
        _check_tables(folder, label_files)
        checked = _checked(encoder, folder)
        reading = Reading(side, tuple(map(str, label_files)), projection, None if masks is None else str(masks))
        collection = collect(path, reading, folder / "work", lambda task, done: callback(ProgressEvent(task, done)))
        checked = checked and _for_collection(checked, collection)
        for sentence in (_describe(collection), *collection.warnings, *(checked.sentences if checked else ())):
            message_callback(sentence)
        job = _Job(folder, collection, checked, callback, message_callback, result_callback)
        return job.run(augmentation, settings, compute or Compute(), executor)


@dataclass
class _Job:
    """One classification of a collection."""

    folder: Path
    collection: Collection
    checked: CheckedEncoder | None
    """The user's encoder."""
    callback: ProgressCallback
    message_callback: MessageCallback
    result_callback: ResultCallback

    def run(
        self, augmentation: str | None, settings: Settings | None, compute: Compute, executor: Executor | None
    ) -> ClassificationResult | LabelProposal:
        """Choose what is not given, run all steps and write the results."""
        own, images, classes = compute.resolve(), self.collection.images, max(2, len(self.collection.classes))
        chosen = settings or self._settings(augmentation or "gentle")
        names = [] if settings or augmentation or not can_cross_validate(self.collection.labels) else self._candidates
        estimate = estimate_time(chosen, images, classes, len(names), own)
        division, minutes = self._plan(estimate, compute, executor)
        experiment = Experiment(ClassificationInfo({"cpu": minutes}), "cpu", self.folder / "work", own, self.callback)
        pilots = None
        if names:
            settings_of = {name: self._settings(name) for name in names}
            pilots = Pilots.of(self.collection, settings_of, experiment.folder, division.compute)
            chosen = settings_of[self._choose_augmentation(experiment, pilots, division, estimate)]
        encoding = self.checked and EncoderSteps(self.checked, experiment, self.collection, chosen, executor)
        steps = Steps(experiment, self.collection, chosen, division, estimate if executor is None else None, encoding)
        with threadpool_limits(own.threads):
            if len(self.collection.classes) < 2:
                return propose_labels(self.folder, steps, TO_LABEL_NEXT)
            if pilots is not None and estimate.short_training_first:
                self._write_first_results(steps, pilots)
                return self._write_results(steps, RENEWED_RESULTS)
            return self._write_results(steps, FIRST_RESULTS)

    def _settings(self, augmentation: str) -> Settings:
        collection = self.collection
        return settings_for(collection.images.shape, len(collection.names), len(collection.labelled_rows), augmentation)

    @property
    def _candidates(self) -> list[str]:
        return candidates(self.collection.images.shape[0])

    def _plan(self, estimate: TimeEstimate, compute: Compute, executor: Executor | None) -> tuple[Division, float]:
        """Division of the fits of the cross-validation, if there is one, and the estimated minutes of the whole."""
        if not can_cross_validate(self.collection.labels):
            few = len(self.collection.classes) < 2
            minutes = (estimate.vae + estimate.rest) / 60 if few else estimate.minutes(False)
            self.message_callback(f"Estimated time: {_minutes(minutes)} on this machine")
            return Division(None, 1, compute.resolve()), minutes
        division = divide_fits(compute, executor, estimate.seconds_of_fits)
        encoding = self.checked.seconds_for(len(self.collection.names)) / 60 if self.checked else 0.0
        first = estimate.minutes_to_first(division.workers) + encoding
        minutes = estimate.minutes(True, division.workers) + encoding
        self.message_callback(
            f"Estimated time on this machine: {_minutes(first)} to the first results, {_minutes(minutes)} where a "
            "network is worth training; less if an earlier call was interrupted"
        )
        return division, minutes

    def _choose_augmentation(
        self, experiment: Experiment, pilots: Pilots, division: Division, estimate: TimeEstimate
    ) -> str:
        """Choose the augmentation by cross-validation, or keep the earlier choice for these images, and say so."""
        file, names = experiment.folder / "augmentation.json", list(pilots.settings)
        kept = read_json(file) if file.exists() else {}
        if kept.get("identity") == pilots.identity and kept["augmentation"] in names:
            name = str(kept["augmentation"])
            self.message_callback(f"Augmentation chosen by an earlier call: {name}; --augment NAME changes it")
            return name
        best, accuracies = choose_augmentation(experiment, pilots, division, estimate.pilots)
        write_json(file, {"identity": pilots.identity, "augmentation": best})
        compared = ", ".join(f"{name} {100 * accuracies[name]:.0f} %" for name in names)
        self.message_callback(f"Augmentation chosen by cross-validation after short trainings: {best} (of {compared})")
        return best

    def _write_first_results(self, steps: Steps, pilots: Pilots) -> None:
        """Write the results of the VAE of a short training, unless they are kept or the full training is done."""
        experiment, name = steps.experiment, steps.settings.augmentation
        if (experiment.folder / "networks" / "vae.json").exists():
            return
        folder = experiment.folder / "first"
        pilot = pilots.trained(experiment, name, self.collection.dataset)
        first = replace(steps, experiment=replace(experiment, folder=folder), pilot=pilot)
        first.experiment.cache.add(experiment.cache.report)  # whose seconds were spent, too

        def write() -> dict[str, Any]:
            result = self._write(first, next(first.cross_validate()), preliminary=True)
            self.message_callback(_describe_first(result))
            return {"method": result.method}

        experiment.step("first-results", first.identity(), write)
        shutil.rmtree(folder, ignore_errors=True)

    def _write_results(self, steps: Steps, least: float) -> ClassificationResult:
        """Write the results of all methods; first those of the fast ones, where the others take ``least`` seconds."""
        selection = None
        for selection in steps.cross_validate():
            if steps.seconds_of_networks(selection) >= least:
                self.message_callback(_describe_first(self._write(steps, selection, preliminary=True)))
        result = self._write(steps, selection)
        steps.experiment.finish()
        return result

    def _write(
        self, steps: Steps, selection: MethodSelection | None, preliminary: bool = False
    ) -> ClassificationResult:
        """Fit the selected method, classify all images and write everything."""
        collection, folder = self.collection, self.folder
        classifier = steps.fit_classifier(*selected_method(selection))
        probabilities = steps.probabilities(classifier)
        detector, outlier_scores = steps.fit_outlier_detector()
        steps.experiment.report("selecting images to label next")
        outside = outlier_scores > THRESHOLD
        outside[collection.test_rows.numpy()] = True  # they are labelled, too
        given = collection.labelled_rows.numpy(), collection.labels.numpy()
        to_label_next = select_to_label_next(steps.latents.means, *given, TO_LABEL_NEXT, outside)
        detector.save(folder / "model")  # first, as model.json makes the folder look complete
        onnx = classifier.save(folder / "model")
        predicted = probabilities, outlier_scores, to_label_next
        rest = onnx, steps.seconds, None if steps.encoder is None else steps.encoder.cost
        result = ClassificationResult(
            folder, collection, steps.settings, selection, classifier, *predicted, *rest, preliminary=preliminary
        )
        write_results(result)
        self.result_callback(result)
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


def _checked(encoder: EncoderFile | str | Path | None, folder: Path) -> CheckedEncoder | None:
    """The encoder, copied and run on a few images; before the images are read, which takes longer."""
    if encoder is None:
        return None
    given = encoder if isinstance(encoder, EncoderFile) else EncoderFile(encoder)
    return read_encoder(given, folder / "work" / "encoder")


def _for_collection(checked: CheckedEncoder, collection: Collection) -> CheckedEncoder:
    """The encoder for these images, with a sentence where it cannot be compared with other methods."""
    checked = checked.for_images(collection.rule)
    if can_cross_validate(collection.labels):
        return checked
    unused = "the encoder is not used: too few images have labels to compare methods"
    return checked._replace(sentences=(*checked.sentences, unused))


def _check_augmentation(name: str | None) -> None:
    if name is not None and name not in PRESETS:
        raise VaebenchError(f"augmentation is {name!r}; expected one of {', '.join(PRESETS)}")


def _minutes(minutes: float) -> str:
    count = max(1, round(minutes))
    return f"{count} minute{'s' if count > 1 else ''}"


def _describe_first(result: ClassificationResult) -> str:
    assert result.selection is not None
    expected = result.selection.expected_accuracy
    return (
        f"First results in {result.folder / 'report.html'}: {result.method}, expected accuracy "
        f"{100 * expected.accuracy:.0f} % ({100 * expected.low:.0f} to {100 * expected.high:.0f} %); training goes "
        "on, and renews them"
    )
