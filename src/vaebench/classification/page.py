"""write_page(): the report of a classification as one self-contained HTML page."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from vaebench import __version__
from vaebench.classification import figures
from vaebench.classification.encoder_methods import ALL_METHODS
from vaebench.classification.encoder_methods import WITHOUT_VAE as ENCODER_WITHOUT_VAE
from vaebench.classification.encoder_report import encoder_sentences
from vaebench.classification.label_page import write_label_page
from vaebench.classification.methods import DEFAULT, METHODS
from vaebench.classification.results import ClassificationResult, summary
from vaebench.classification.selection import MIN_LABELS, MethodSelection
from vaebench.core.files import write_bytes, write_text
from vaebench.plotting.channels import is_composite
from vaebench.plotting.palette import clean
from vaebench.plotting.style import class_names, png, signed
from vaebench.plotting.templates import template

MAX_CLASSES = 20
"""Classes whose images are shown."""
IMAGES_PER_CLASS = 6
MAX_OUTLIERS = MAX_SUSPECTS = 24
MAX_SKIPPED = 50
IMBALANCED = 3
"""Ratio of the largest to the smallest number of labels of a class from which balanced accuracy is stated."""
MAX_CLASSES_DRAWN = 40
"""Classes up to which a confusion matrix and bars can be read."""
WITHOUT_VAE = ("pca-line", "pixel-line", "supervised", *ENCODER_WITHOUT_VAE)


FIGURES: dict[str, tuple[str, str, figures.Draw]] = {
    "methods": (
        "Methods",
        "Cross-validated accuracy of each method that was fitted on all folds, the selected one in orange. In each of "
        "three folds, the same for all methods, a method is fitted to two thirds of the labels and tested on the rest.",
        figures.methods,
    ),
    "reliability": (
        "Calibration",
        "Reliability diagram: accuracy by confidence, with the number of held-out labels in each bin. On the dashed "
        "line, probabilities are calibrated: of predictions with 80 % confidence, 80 % are correct. The temperature of "
        "each fold is fitted on the other folds.",
        figures.reliability_diagram,
    ),
    "confusion": ("Confusion matrix", "Held-out labels by given class and predicted class.", figures.confusion_matrix),
    "channels": (
        "Channels alone",
        "Some of the images as they were preprocessed, first as the composite that all other pictures of this report "
        "show, then each channel alone in grey.",
        figures.channels,
    ),
    "class-frequencies": (
        "Class frequencies",
        "Frequency of each class among the labels and among the predictions for all images. A large difference means "
        "that the labelled images are not a random sample; the expected accuracy then holds only for images like the "
        "labelled ones.",
        figures.class_frequencies,
    ),
}
"""Title, caption and drawing function of each figure."""


class Picture(NamedTuple):
    """An image of the page with the lines of its caption."""

    base64: str
    lines: tuple[str, ...]


class PageFigure(NamedTuple):
    """A figure of the page."""

    title: str
    caption: str
    base64: str
    width: int


def write_page(result: ClassificationResult) -> Path:
    """Write report.html, its figures as PNG files, and the images to label next: a contact sheet, and label.html.

    Raises:
        VaebenchError: the folder is not writable.
    """
    if len(result.to_label_next):
        _write_to_label_next(result)
    else:  # those of an earlier call ask for images that have labels by now
        for name in ("label.html", "to-label-next.png"):
            result.folder.joinpath(name).unlink(missing_ok=True)
    path = result.folder / "report.html"
    write_text(path, render(result))
    return path


def _write_to_label_next(result: ClassificationResult) -> None:
    collection, rows, guesses = result.collection, result.to_label_next.tolist(), result.guesses
    shown = dict(zip(collection.classes, class_names(collection.classes, length=11), strict=True))
    captions = [f"{shown[each.label]}\n{_percent(each.probability)}" for each in guesses]
    write_bytes(result.folder / "to-label-next.png", png(figures.contact_sheet(collection, rows, captions)))
    write_label_page(result.folder, collection, rows, guesses)


def render(result: ClassificationResult) -> str:
    """Return the report as HTML, with all names escaped."""
    page = template(
        "page.html.j2",
        "vaebench.classification",
        thousands=lambda value: f"{value:,}",
        percent=lambda value: f"{100 * value:.1f} %",
        points=lambda value: signed(100 * value, ".1f"),
    )
    collection, selection = result.collection, result.selection
    few_classes = len(collection.classes) <= MAX_CLASSES_DRAWN
    validation = ["methods", "reliability", *(["confusion"] if few_classes else [])] if selection else []
    return page.render(
        title=clean(collection.title),
        result=result,
        collection=collection,
        summary=summary(result),
        verdict=verdict(result),
        validation=[_page_figure(result, name) for name in validation],
        frequencies=_page_figure(result, "class-frequencies") if few_classes else None,
        channels=_page_figure(result, "channels") if _has_composites(result) else None,
        examples=class_examples(result),
        few_classes=few_classes,
        suspects=suspect_pictures(result),
        suspect_count=len(selection.label_suspects()) if selection else 0,
        outliers=outlier_pictures(result),
        to_label_next=_pictures(result, result.to_label_next.tolist()),
        reasons=Counter(collection.skipped.values()).most_common(),
        skipped=[(clean(name), reason) for name, reason in list(collection.skipped.items())[:MAX_SKIPPED]],
        version=__version__,
    )


def verdict(result: ClassificationResult) -> list[str]:
    """Return the main results in sentences: expected accuracy, selected method, calibration."""
    selection, collection = result.selection, result.collection
    counts = sorted(zip(collection.label_counts, map(clean, collection.classes), strict=True))
    rare = [f"{name} ({count})" for count, name in counts if count < MIN_LABELS]
    if selection is None:
        return [
            f"The accuracy cannot be estimated: a cross-validation needs at least {MIN_LABELS} labels of two classes "
            f"or more, and these have fewer: {', '.join(rare[:5])}{', ...' if len(rare) > 5 else ''}.",
            f"The default method was used: {METHODS[DEFAULT].title}. The temperature of its probabilities was chosen "
            "on other data sets and not checked on these images.",
            *encoder_sentences(result.encoder, selection),
            *_test_sentence(result),
        ]
    expected, scores = selection.expected_accuracy, selection.scores
    sentences = [
        f"Expected accuracy: {100 * expected.accuracy:.0f} % (95 % confidence interval: {100 * expected.low:.0f} to "
        f"{100 * expected.high:.0f} %).",
        *_test_sentence(result),
        _selected_method_sentence(selection),
        *encoder_sentences(result.encoder, selection),
    ]
    sentences += _imbalance_sentence(result)
    if rare:
        sentences.append(
            f"The estimate leaves out the classes with fewer than {MIN_LABELS} labels: {', '.join(rare[:5])}"
            f"{', ...' if len(rare) > 5 else ''}. Label more of their images."
        )
    if scores["brier_score"] >= scores["brier_score_of_class_frequencies"]:
        sentences.append(
            "Do not rely on the probabilities: by the Brier score they are no better than class frequencies."
        )
    return sentences


def _test_sentence(result: ClassificationResult) -> list[str]:
    """The accuracy on the part "test", if the images have one."""
    if (measured := result.test_accuracy) is None:
        return []
    return [
        f"Accuracy on the {len(result.collection.test_rows):,} labelled images of the part test, which nothing was "
        f"fitted to: {100 * measured.accuracy:.1f} % (95 % confidence interval: {100 * measured.low:.1f} to "
        f"{100 * measured.high:.1f} %)."
    ]


def _imbalance_sentence(result: ClassificationResult) -> list[str]:
    """Balanced accuracy and the class with the lowest recall, where the classes have different numbers of labels."""
    selection, counts = result.selection, result.collection.label_counts
    if selection is None or max(counts) < IMBALANCED * max(min(counts), 1):
        return []
    worst = min(selection.recalls, key=selection.recalls.__getitem__)
    return [
        f"The classes have {min(counts):,} to {max(counts):,} labels. Balanced accuracy (mean of the classes' recalls, "
        f"cross-validated): {100 * selection.balanced_accuracy:.0f} %; lowest recall: "
        f"{100 * selection.recalls[worst]:.0f} % of {clean(result.collection.classes[worst])}."
    ]


def _selected_method_sentence(selection: MethodSelection) -> str:
    selected, accuracies = selection.method, selection.accuracies
    second = max((name for name in accuracies if name != selected), key=lambda name: accuracies[name])
    gap = selection.difference_to(second)
    significant = gap.low > 0
    text = (
        f"Selected method: {ALL_METHODS[selected].title}, cross-validated accuracy {100 * accuracies[selected]:.1f} %. "
        f"The second best, {ALL_METHODS[second].title}, is {100 * gap.mean:.1f} points lower (95 % interval: "
        f"{signed(100 * gap.low, '.1f')} to {signed(100 * gap.high, '.1f')})"
    )
    text += "." if significant else "; the difference is not significant."
    return text + (" The selected method does not use the VAE." if selected in WITHOUT_VAE and significant else "")


def _has_composites(result: ClassificationResult) -> bool:
    rule = result.collection.rule
    return is_composite(rule.channels, rule.channel_names)


def _page_figure(result: ClassificationResult, name: str) -> PageFigure:
    title, caption, draw = FIGURES[name]
    figure = draw(result)
    image = png(figure)
    write_bytes(result.folder / "figures" / f"{name}.png", image)
    return PageFigure(title, caption, base64.b64encode(image).decode(), round(figure.get_figwidth() * 100))


def class_examples(result: ClassificationResult) -> list[tuple[str, list[Picture], list[Picture]]]:
    """Title of each predicted class, its unlabelled images with the highest and those with the lowest probability."""
    best, predicted = result.probabilities.max(1)
    unlabelled = torch.zeros(len(best), dtype=torch.bool)
    unlabelled[result.collection.unlabelled_rows] = True
    examples = []
    for label, name in enumerate(result.collection.classes[:MAX_CLASSES]):
        rows = torch.nonzero(unlabelled & (predicted == label))[:, 0]
        rows = rows[best[rows].argsort(descending=True, stable=True)]
        first, last = rows[:IMAGES_PER_CLASS], rows[IMAGES_PER_CLASS:].flip(0)[:IMAGES_PER_CLASS]
        title = f"{clean(name)}: {len(rows):,} images"
        examples.append((title, _pictures(result, first.tolist()), _pictures(result, last.tolist())))
    return examples


def suspect_pictures(result: ClassificationResult) -> list[Picture]:
    """Images whose labels are probably wrong."""
    if result.selection is None:
        return []
    collection, captions = result.collection, {}
    for position, predicted, probability in result.selection.label_suspects()[:MAX_SUSPECTS]:
        label, other = (clean(collection.classes[index]) for index in (int(collection.labels[position]), predicted))
        caption = f"label: {label}", f"predicted: {other}, {_percent(probability)}"
        captions[int(collection.labelled_rows[position])] = caption
    return _pictures(result, list(captions), captions.__getitem__)


def outlier_pictures(result: ClassificationResult) -> list[Picture]:
    """The outliers with the highest scores, highest first."""
    count = min(MAX_OUTLIERS, int(result.outliers.sum()))
    rows = (-result.outlier_scores).argsort(kind="stable")[:count].tolist()
    return _pictures(result, rows)


def _pictures(
    result: ClassificationResult, rows: Sequence[int], caption: Callable[[int], tuple[str, ...]] | None = None
) -> list[Picture]:
    """Thumbnails with caption and file name; the default caption is the predicted class with its probability."""

    def prediction(row: int) -> tuple[str, ...]:
        probability, label = result.probabilities[row].max(0)
        return (f"{clean(result.collection.classes[int(label)])}, {_percent(float(probability))}",)

    pictures = []
    for row, image in zip(rows, result.collection.thumbnails(rows, figures.THUMBNAIL), strict=True):
        data = io.BytesIO()
        image.save(data, "PNG")
        lines = (*(caption or prediction)(row), clean(result.collection.names[row]))
        pictures.append(Picture(base64.b64encode(data.getvalue()).decode(), lines))
    return pictures


def _percent(probability: float) -> str:
    return f"{100 * probability:.0f}\N{NO-BREAK SPACE}%"
