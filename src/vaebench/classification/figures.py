"""Matplotlib figures of a classification."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from matplotlib import rc_context
from matplotlib.figure import Figure

from vaebench.classification.collection import Collection
from vaebench.classification.encoder_methods import ALL_METHODS
from vaebench.classification.results import ClassificationResult
from vaebench.classification.selection import MIN_LABELS, MethodSelection
from vaebench.core.errors import VaebenchError
from vaebench.core.statistics import wilson_interval
from vaebench.data.pixels import to_8_bits
from vaebench.evaluation.calibration import reliability
from vaebench.evaluation.panels import confusion
from vaebench.plotting import plots
from vaebench.plotting.sheets import COLUMNS, channels_alone
from vaebench.plotting.style import FAINT, INK, STYLE, class_names

SELECTED, OTHERS = "#d55e00", "#0072b2"
SHEET_COLUMNS = 10
THUMBNAIL = 96
Draw = Callable[[ClassificationResult], Figure]


@rc_context(STYLE)
def methods(result: ClassificationResult) -> Figure:
    """Cross-validated accuracy of every method with its 95 % interval.

    Raises:
        VaebenchError: there was no cross-validation.
    """
    selection = _selection(result)
    names = sorted(selection.accuracies, key=lambda name: selection.accuracies[name])
    figure = Figure(figsize=(6.4, 0.42 * len(names) + 0.9), layout="constrained")
    ax = figure.add_subplot()
    for y, name in enumerate(names):
        accuracy, colour = selection.accuracies[name], SELECTED if name == selection.method else OTHERS
        low, high = wilson_interval(accuracy, len(selection.labels))
        ax.plot([100 * low, 100 * high], [y, y], color=colour, linewidth=2)
        ax.plot(100 * accuracy, y, "o", color=colour, markersize=7)
    ax.set_yticks(range(len(names)), [ALL_METHODS[name].title for name in names])
    ax.set_ylim(-0.6, len(names) - 0.4)
    ax.set_xlabel(f"cross-validated accuracy on {len(selection.labels):,} labels (%), 95 % interval")
    ax.grid(axis="x")
    return figure


@rc_context(STYLE)
def reliability_diagram(result: ClassificationResult) -> Figure:
    """Reliability diagram of the selected method on held-out labels: accuracy by confidence.

    Raises:
        VaebenchError: there was no cross-validation.
    """
    selection = _selection(result)
    bins = reliability(selection.calibrated_probabilities(selection.method), selection.labels)
    figure = Figure(figsize=(4.4, 4.7), layout="constrained")
    ax = figure.add_subplot()
    ax.plot([0, 100], [0, 100], color=FAINT, linestyle=(0, (4, 3)), linewidth=1, label="perfect calibration")
    x, y = 100 * np.array(bins.confidence), 100 * np.array(bins.accuracy)
    errors = np.abs(np.array([bins.low, bins.high]) * 100 - y)
    ax.errorbar(x, y, yerr=errors, fmt="o", color=SELECTED, capsize=2, label="held-out labels, 95 % interval")
    for confidence, accuracy, count in zip(x, y, bins.images, strict=True):
        ax.annotate(str(count), (confidence, accuracy), (5, -9), textcoords="offset points", fontsize=7, color=INK)
    ax.set_xlim(0, 102)
    ax.set_ylim(0, 102)
    ax.set_aspect("equal")
    ax.set_xlabel("confidence: mean probability of the predicted class (%)")
    ax.set_ylabel("accuracy (%)")
    figure.legend(loc="outside lower center", fontsize=8, borderaxespad=0.2)
    ax.grid()
    return figure


@rc_context(STYLE)
def confusion_matrix(result: ClassificationResult) -> Figure:
    """Confusion matrix of held-out labels: given class (rows), predicted class (columns).

    Raises:
        VaebenchError: there was no cross-validation.
    """
    selection = _selection(result)
    counts = confusion(selection.probabilities[selection.method], selection.labels)
    accuracy = 100 * float(np.trace(counts)) / max(int(counts.sum()), 1)
    return plots.confusion(counts, result.collection.classes, f"held-out labels: accuracy {accuracy:.1f} %")


@rc_context(STYLE)
def channels(result: ClassificationResult) -> Figure:
    """Some images as composites, and below them each channel alone, after preprocessing."""
    images = result.collection.images
    rows = np.linspace(0, len(images) - 1, min(len(images), COLUMNS)).astype(int).tolist()
    titles = class_names((result.collection.names[row] for row in rows), length=12)
    return channels_alone(to_8_bits(images.pixels[rows]), images.channel_names, titles)


@rc_context(STYLE)
def class_frequencies(result: ClassificationResult) -> Figure:
    """Frequency of each class among the labels and among the predictions."""
    names, count = result.collection.classes, len(result.collection.names)
    predicted = torch.bincount(result.probabilities.argmax(1), minlength=len(names)).double() / count
    labelled = torch.tensor(result.collection.label_counts).double() / len(result.collection.labels)
    groups = {"labels": (100 * labelled).tolist(), "predictions for all images": (100 * predicted).tolist()}
    return plots.bars(class_names(names, length=12), groups, "frequency (%)")


@rc_context(STYLE)
def contact_sheet(collection: Collection, rows: Sequence[int], captions: Sequence[str]) -> Figure:
    """Images with rank and caption, in rows of ten."""
    columns, lines = SHEET_COLUMNS, max(1, math.ceil(len(rows) / SHEET_COLUMNS))
    figure = Figure(figsize=(1.05 * columns, 1.38 * lines + 0.1))
    thumbnails = collection.thumbnails(rows, THUMBNAIL)
    for index, (caption, image) in enumerate(zip(captions, thumbnails, strict=True)):
        line, column = divmod(index, columns)
        box = (column + 0.04) / columns, 1 - (line + 1 - 0.24) / lines, 0.92 / columns, 0.74 / lines
        ax = figure.add_axes(box)
        ax.imshow(image, interpolation="nearest")
        ax.set_axis_off()
        ax.text(0.5, -0.04, f"{index + 1}. {caption}", transform=ax.transAxes, ha="center", va="top", fontsize=7.5)
    return figure


def _selection(result: ClassificationResult) -> MethodSelection:
    if result.selection is None:
        raise VaebenchError(
            f"there is no cross-validation: a class has fewer than {MIN_LABELS} labels; label more images"
        )
    return result.selection
