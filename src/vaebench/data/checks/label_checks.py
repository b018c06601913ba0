"""Checks of labels, classes and parts."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from vaebench.data.checks.evidence import LISTED, Evidence, ImageWarning, images_in_words
from vaebench.data.printing import printable

SPLIT = 3
"""Sets that ``run`` splits images without parts into."""
FEWEST_LABELS = 5
"""Labels of a class with which methods are compared by cross-validation."""
IMBALANCE = 10
"""Number of labels of the largest class per label of the smallest that is reported."""
MANY = 10
"""Classes from which it is reported that there are more than one for two labels."""
ABSENT = ("nan", "none", "null", "n/a", "na", "-1", "?", "unlabelled", "unlabeled")
"""Class names, in lower case, that look like missing labels."""
REMARKS = ("labels are those of",)
"""Beginnings of sentences of the reader that are no warnings."""
ADVICE = (
    ("not among the images read", "Compare the names in the table with those of the files, folders included"),
    ("lie deeper than", "If the inner folders are the classes, give the path of the folder that holds them"),
    ("contain no image", "Check that their images were copied, or remove the folders"),
    ("not used without --labels", "If a table has the labels, name it: --labels FILE"),
    ("the option masks", "If 0 in them marks pixels that are not known, give the same path again: --masks PATH"),
)
"""What to do, by words in a sentence of the reader."""
OTHERWISE = "Check that this is what you expect"


ALIKE = "look like one class"
"""In a sentence of the reader that the check of class names says more fully."""


def is_remark(sentence: str) -> bool:
    """Whether a sentence of the reader is no warning."""
    return sentence.startswith(REMARKS)


def sentences_of_reader(evidence: Evidence) -> Iterator[ImageWarning]:
    for sentence in evidence.images.warnings:
        if not is_remark(sentence) and ALIKE not in sentence:
            advice = next((advice for phrase, advice in ADVICE if phrase in sentence), OTHERWISE)
            yield ImageWarning("reading", sentence, advice)


def classes_of_parts(evidence: Evidence) -> Iterator[ImageWarning]:
    labelled = evidence.readable & (evidence.label_codes >= 0)
    present = {
        name: set(np.unique(evidence.label_codes[labelled & (evidence.part_codes == code)]).tolist())
        for code, name in enumerate(evidence.part_names)
    }
    every = set().union(*present.values())
    for part, codes in present.items():
        if len(present) > 1 and codes and (lacking := sorted(every - codes)):
            names = tuple(evidence.class_names[code] for code in lacking)
            sentence = f"part {part} has no image of {_classes(names)}"
            yield ImageWarning("parts-differ", sentence, "Add images of them, or leave the classes out", names[:LISTED])


def _classes(names: Sequence[str]) -> str:
    listed = ", ".join(map(printable, names[:LISTED]))
    more = f" and {len(names) - LISTED:,} more" if len(names) > LISTED else ""
    return f"{'class' if len(names) == 1 else f'{len(names):,} classes:'} {listed}{more}"


def written_alike(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the names that differ only in case, spaces, underscores, hyphens, Unicode form or zeros of a number.

    Between digits a space, underscore or hyphen counts: "1-2" is not "12".
    """
    groups = defaultdict(list)
    for name in names:
        key = re.sub(r"(?<=\w)[\s_\-]+(?=\w)|^[\s_]+|[\s_]+$", " ", unicodedata.normalize("NFKC", name).casefold())
        key = key.replace("_", " ").strip() if re.search(r"\d", key) else re.sub(r"[\s_\-]", "", key)
        number = re.fullmatch(r"0*(\d+)(\.0*)?", key)
        groups[number[1] if number else key or name].append(name)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def alike_classes(evidence: Evidence) -> Iterator[ImageWarning]:
    labelled = evidence.label_codes[evidence.label_codes >= 0]
    counts = np.bincount(labelled, minlength=len(evidence.class_names)).tolist()
    numbers = dict(zip(evidence.class_names, counts, strict=True))
    for group in written_alike(evidence.class_names):
        listed = " and ".join(f"{printable(name)!r} ({images_in_words(numbers[name])})" for name in group)
        sentence = f"classes {listed} look like one class written in {len(group)} ways"
        yield ImageWarning("written-alike", sentence, "If they are one class, give it one name", group[:LISTED])


def rare_classes(evidence: Evidence) -> Iterator[ImageWarning]:
    counts = evidence.learnable
    rare = tuple(name for name, count in zip(evidence.class_names, counts, strict=True) if count < FEWEST_LABELS)
    if rare:
        verb = "has" if len(rare) == 1 else "have"
        sentence = f"{_classes(rare)} {verb} fewer than {FEWEST_LABELS} labelled images"
        advice = "Label more of them: methods cannot be compared on classes with so few"
        if min(counts) < SPLIT and not evidence.images.parts:
            advice += f"; vaebench run splits the images into {SPLIT} sets and needs {SPLIT} images of each class"
        yield ImageWarning("few-labels", sentence, advice, rare[:LISTED])


def imbalance(evidence: Evidence) -> Iterator[ImageWarning]:
    counts = dict(zip(evidence.class_names, evidence.learnable.tolist(), strict=True))
    used = sorted((name for name in counts if counts[name]), key=counts.__getitem__)
    if used and counts[used[-1]] >= IMBALANCE * counts[used[0]]:
        low, high = used[0], used[-1]
        sentence = (
            f"classes are of very different sizes: {printable(high)} has {images_in_words(counts[high])}, "
            f"{printable(low)} has {counts[low]:,}"
        )
        advice = "Add images of the small classes; compare accuracies with that of always predicting the largest class"
        yield ImageWarning("imbalance", sentence, advice, (high, low))


def doubtful_classes(evidence: Evidence) -> Iterator[ImageWarning]:
    names, labelled = evidence.class_names, int((evidence.label_codes >= 0).sum())
    if len(names) >= MANY and 2 * len(names) > labelled:
        sentence = (
            f"{len(names):,} classes for {labelled:,} labelled images: {', '.join(map(printable, names[:5]))} and so on"
        )
        advice = "Check that the labels are the names of classes, and not numbers or names of images"
        yield ImageWarning("many-classes", sentence, advice, names[:LISTED])
    if absent := tuple(name for name in names if name.strip().casefold() in ABSENT):
        sentence = f"{_classes(absent)} {'looks' if len(absent) == 1 else 'look'} like missing labels"
        advice = "If they are, leave the label empty, or put the images into a folder called unlabelled"
        yield ImageWarning("missing-labels", sentence, advice, absent[:LISTED])
    if garbled := tuple(name for name in names if re.search(r"\w\?+\w|\ufffd", name)):
        verb = "has" if len(garbled) == 1 else "have"
        sentence = f"{_classes(garbled)} {verb} characters that could not be read"
        yield ImageWarning(
            "garbled", sentence, "Save the table of labels, or rename the folders, as UTF-8", garbled[:LISTED]
        )


def unlabelled_images(evidence: Evidence) -> Iterator[ImageWarning]:
    rows = np.flatnonzero(evidence.readable & (evidence.label_codes < 0))
    if evidence.class_names and len(rows):
        sentence = f"{images_in_words(len(rows), 'has')} no label"
        advice = "vaebench classify learns from them and predicts their classes; vaebench run leaves them out"
        yield evidence.about("unlabelled", sentence, advice, rows)._replace(rows=())
