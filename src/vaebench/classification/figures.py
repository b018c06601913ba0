"""Figures of a classification, as matplotlib figures."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure

from vaebench.classification.methods import METHODS
from vaebench.classification.results import ClassificationResult
from vaebench.classification.selection import MethodSelection
from vaebench.core.errors import VaebenchError
from vaebench.core.statistics import wilson_interval
from vaebench.evaluation.calibration import reliability
from vaebench.evaluation.panels import confusion
from vaebench.plotting import plots
from vaebench.plotting.palette import shortened
from vaebench.plotting.style import FAINT, INK, STYLE, class_names

OURS, OTHERS = "#d55e00", "#0072b2"
SHEET_COLUMNS = 10
THUMBNAIL = 96
Draw = Callable[[ClassificationResult], Figure]


def styled(draw: Draw) -> Draw:
    """The same figure in the house style, wherever it is drawn."""

    @wraps(draw)
    def drawn(found: ClassificationResult) -> Figure:
        with matplotlib.rc_context(STYLE):
            return draw(found)

    return drawn


@styled
def methods(found: ClassificationResult) -> Figure:
    """Accuracy of every method on held-out labels, with its 95 % interval.

    Raises:
        VaebenchError: labels were too few for a cross-validation.
    """
    choice = _choice(found)
    names = sorted(choice.accuracies, key=lambda name: choice.accuracies[name])
    figure = Figure(figsize=(6.4, 0.42 * len(names) + 0.9), layout="constrained")
    ax = figure.add_subplot()
    for place, name in enumerate(names):
        share, colour = choice.accuracies[name], OURS if name == choice.method else OTHERS
        low, high = wilson_interval(share, len(choice.labels))
        ax.plot([100 * low, 100 * high], [place, place], color=colour, linewidth=2)
        ax.plot(100 * share, place, "o", color=colour, markersize=7)
    ax.set_yticks(range(len(names)), [METHODS[name].words for name in names])
    ax.set_ylim(-0.6, len(names) - 0.4)
    ax.set_xlabel(f"accuracy on {len(choice.labels):,} held-out labels (%), 95 % interval")
    ax.grid(axis="x")
    return figure


@styled
def reliability_diagram(found: ClassificationResult) -> Figure:
    """How often answers of each confidence are right, on held-out labels.

    Raises:
        VaebenchError: labels were too few for a cross-validation.
    """
    choice = _choice(found)
    bins = reliability(choice.calibrated(choice.method), choice.labels)
    figure = Figure(figsize=(4.4, 4.2), layout="constrained")
    ax = figure.add_subplot()
    ax.plot([0, 100], [0, 100], color=FAINT, linestyle=(0, (4, 3)), linewidth=1, label="perfect calibration")
    x, y = 100 * np.array(bins.confidence), 100 * np.array(bins.accuracy)
    spans = np.abs(np.array([bins.low, bins.high]) * 100 - y)
    ax.errorbar(x, y, yerr=spans, fmt="o", color=OURS, capsize=2, label="held-out labels, 95 % interval")
    for across, up, count in zip(x, y, bins.images, strict=True):
        ax.annotate(str(count), (across, up), (5, -9), textcoords="offset points", fontsize=7, color=INK)
    ax.set_xlim(0, 102)
    ax.set_ylim(0, 102)
    ax.set_aspect("equal")
    ax.set_xlabel("confidence: mean probability of the answer (%)")
    ax.set_ylabel("answers that are right (%)")
    ax.legend(loc="lower right", fontsize=8)
    ax.grid()
    return figure


@styled
def confusion_matrix(found: ClassificationResult) -> Figure:
    """Held-out labels by given class (rows) and predicted class (columns).

    Raises:
        VaebenchError: labels were too few for a cross-validation.
    """
    choice = _choice(found)
    counts = confusion(choice.answers[choice.method], choice.labels)
    accuracy = 100 * float(np.trace(counts)) / max(int(counts.sum()), 1)
    return plots.confusion(counts, found.collection.classes, f"held-out labels: {accuracy:.1f} % right")


@styled
def class_shares(found: ClassificationResult) -> Figure:
    """Images of each class, as they were labelled and as they are predicted."""
    names, many = found.collection.classes, len(found.collection.names)
    guessed = torch.bincount(found.probabilities.argmax(1), minlength=len(names)).double() / many
    given = torch.tensor(found.collection.counts).double() / len(found.collection.labels)
    groups = {"of the labels": (100 * given).tolist(), "of all images, predicted": (100 * guessed).tolist()}
    return plots.bars(class_names(names, length=12), groups, "share (%)")


@styled
def contact_sheet(found: ClassificationResult) -> Figure:
    """The images to label next, each with its rank and the classifier's guess."""
    rows = found.asked.tolist()
    shares, best = found.probabilities.max(1)
    names = class_names(found.collection.classes, length=11)
    across, down = SHEET_COLUMNS, max(1, math.ceil(len(rows) / SHEET_COLUMNS))
    figure = Figure(figsize=(1.05 * across, 1.38 * down + 0.1))
    thumbnails = found.collection.thumbnails(rows, THUMBNAIL)
    for place, (row, image) in enumerate(zip(rows, thumbnails, strict=True)):
        line, column = divmod(place, across)
        box = (column + 0.04) / across, 1 - (line + 1 - 0.24) / down, 0.92 / across, 0.74 / down
        ax = figure.add_axes(box)
        ax.imshow(image, interpolation="nearest")
        ax.set_axis_off()
        words = f"{place + 1}. {shortened(names[int(best[row])], 11)}\n{100 * float(shares[row]):.0f} %"
        ax.text(0.5, -0.04, words, transform=ax.transAxes, ha="center", va="top", fontsize=7.5)
    return figure


def _choice(found: ClassificationResult) -> MethodSelection:
    if found.choice is None:
        raise VaebenchError("there are no held-out answers: a class has fewer than 5 labels; label more images")
    return found.choice
