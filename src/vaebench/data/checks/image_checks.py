"""Checks of the images themselves: whether they can be read, occur once, and show something after preprocessing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from vaebench.data.checks.duplicates import differing
from vaebench.data.checks.evidence import LISTED, PICTURED, Evidence, ImageWarning, images_in_words
from vaebench.data.image_set import ImageFormat
from vaebench.data.preprocessing import PreprocessingRule
from vaebench.data.printing import printable

FEWEST_IMAGES = 10
"""Images that ``run`` and ``classify`` need."""
DARK = 0.01
"""Mean brightness of an image that is almost black; almost white images are as near to white."""
SHIFTED, LEAST_SHIFT = 1.5, 0.05
"""Difference of the mean brightness of a part from that of train that is reported: in standard deviations over the
images of train, and at least."""
CLIPPED = 0.01
"""Fraction of clipped values that is reported."""
FILLED = 0.5
"""Fraction of the preprocessed pixels that an image fills, unless its shape is far from theirs."""
ENLARGED = 2
"""Factor above which it is reported that images are enlarged."""
GREY = 0.01
"""Fraction of grey images that is reported among colour images."""
UNKNOWN = 0.01
"""Fraction of unknown pixels that is reported."""
LEAK = "Remove them from all parts but one: what was learned from an image must not be tested on it"
CONFLICT = "Correct the labels, or remove the images"
REPEATED = "Remove the copies, unless they are meant: each counts like another image"
LOOK = "Look at them; if they are copies, "


def too_few(evidence: Evidence) -> Iterator[ImageWarning]:
    count = int(evidence.readable.sum())
    if count < FEWEST_IMAGES:
        sentence = f"only {images_in_words(count)} can be read; vaebench run and classify need at least {FEWEST_IMAGES}"
        yield ImageWarning("few-images", sentence, "Add images")


def equal_images(evidence: Evidence) -> Iterator[ImageWarning]:
    groups, parts, labels = evidence.equal, evidence.part_codes, evidence.label_codes
    several_parts, several_labels = groups.mixed(parts), groups.mixed(labels)
    for kind, chosen, codes, place, advice in (
        ("equal-across-parts", several_parts, parts, "in several parts of the data set", LEAK),
        ("equal-with-other-labels", several_labels, labels, "with different labels", CONFLICT),
        ("equal", ~several_parts & ~several_labels, labels, "several times", REPEATED),
    ):
        if len(which := np.flatnonzero(chosen)):
            pairs = [differing(groups.members(group), codes) for group in which[: PICTURED // 2].tolist()]
            occurs = "image occurs" if len(which) == 1 else "images occur"
            sentence = f"{len(which):,} {occurs} {place}, {_pair(evidence, pairs[0], ' = ')}"
            yield _with_pairs(evidence, ImageWarning(kind, sentence, advice), np.concatenate(pairs))


def near_duplicates(evidence: Evidence) -> Iterator[ImageWarning]:
    if not len(pairs := evidence.near):
        return
    parts, labels = evidence.part_codes[pairs], evidence.label_codes[pairs]
    several_parts = parts[:, 0] != parts[:, 1]
    several_labels = (labels[:, 0] != labels[:, 1]) & (labels.min(1) >= 0)
    for kind, chosen, place, advice in (
        ("near-across-parts", several_parts, " and lie in different parts of the data set", LEAK),
        ("near-with-other-labels", several_labels, " and have different labels", CONFLICT),
        ("near", ~several_parts & ~several_labels, "", REPEATED),
    ):
        if len(some := pairs[chosen]):
            count = "1 pair of images is" if len(some) == 1 else f"{len(some):,} pairs of images are"
            sentence = f"{count} nearly equal{place}, {_pair(evidence, some[0], ' and ')}"
            warning = ImageWarning(kind, sentence, LOOK + advice[0].lower() + advice[1:])
            yield _with_pairs(evidence, warning, some[: PICTURED // 2].ravel())


def _pair(evidence: Evidence, rows: np.ndarray, between: str) -> str:
    """Names of two images, with their labels where they differ."""
    labels = [evidence.images.labels[row] if evidence.images.labels else "" for row in rows]
    differ = all(labels) and labels[0] != labels[1]
    names = [
        f"{evidence.images.names[row]} ({label})" if differ else evidence.images.names[row]
        for row, label in zip(rows, labels, strict=True)
    ]
    return "for example " + between.join(map(printable, names))


def _with_pairs(evidence: Evidence, warning: ImageWarning, rows: np.ndarray) -> ImageWarning:
    return warning._replace(names=evidence.names(rows), rows=tuple(rows.tolist()))


def unreadable_images(evidence: Evidence) -> Iterator[ImageWarning]:
    if names := tuple(evidence.unreadable)[:LISTED]:
        count = len(evidence.unreadable)
        listed = "; ".join(f"{printable(name)} {evidence.unreadable[name]}" for name in names)
        more = f"; and {count - len(names):,} more" if count > len(names) else ""
        sentence = f"{images_in_words(count)} cannot be read and will be left out: {listed}{more}"
        yield ImageWarning("unreadable", sentence, "Mend, convert or remove them", names)


def flat_images(evidence: Evidence) -> Iterator[ImageWarning]:
    measures = evidence.measures
    if len(rows := np.flatnonzero(measures.constant & measures.known)):
        sentence = f"{images_in_words(len(rows), 'is')} of one colour"
        yield evidence.about("constant", sentence, "Remove them if nothing is to be seen in them", rows)
    rest = measures.known & ~measures.constant
    median = float(np.median(measures.mean[rest])) if rest.any() else 0.5
    for word, brightness, usual in (("black", measures.mean, median), ("white", 1 - measures.mean, 1 - median)):
        rows = np.flatnonzero(rest & (brightness < DARK))
        if len(rows) and usual >= DARK:
            sentence = f"{images_in_words(len(rows), 'is')} almost {word}"
            advice = "Look at them: they may be failed exposures, or be stored in another range of values"
            yield evidence.about(f"almost-{word}", sentence, advice, rows)


def parts_of_other_brightness(evidence: Evidence) -> Iterator[ImageWarning]:
    means, parts, names = evidence.measures.mean, evidence.part_codes, evidence.part_names
    if names[0] != "train" or len(names) == 1:
        return
    known = evidence.measures.known
    trained = means[known & (parts == 0)]
    for number, name in enumerate(names[1:], start=1):
        rows = np.flatnonzero(known & (parts == number))
        if not name or not len(rows) or not len(trained):
            continue
        gap = float(means[rows].mean() - trained.mean())
        if abs(gap) > max(SHIFTED * float(trained.std()), LEAST_SHIFT):
            than = f"{'brighter' if gap > 0 else 'darker'} than those of train"
            sentence = (
                f"the images of {name} are much {than}: mean brightness {means[rows].mean():.2f} and "
                f"{trained.mean():.2f} of the range of the images"
            )
            advice = (
                "Check that all parts have the same units and exposure: values beyond the range of train are clipped"
            )
            yield ImageWarning("brightness-of-parts", sentence, advice, evidence.names(rows), tuple(rows[:PICTURED]))


def stored_values(evidence: Evidence) -> Iterator[ImageWarning]:
    rule, values = evidence.rule, evidence.values
    names = rule.channel_names or (("red", "green", "blue") if rule.channels == 3 else ("the images",))
    known = [column[np.isfinite(column)] for column in values.T]
    flat = [name for name, column in zip(names, known, strict=True) if len(column) and column.min() == column.max()]
    if flat and not evidence.measures.constant[evidence.measures.known].all():
        sentence = f"one value in all sampled images: {', '.join(map(printable, flat))}"
        yield ImageWarning(
            "constant-channel", sentence, "Leave the channel out: nothing can be learned from it", tuple(flat)
        )
    clipped = [
        f"{printable(name)} {((column < low) | (column > high)).mean():.1%}"
        for name, column, low, high in zip(
            names, known, rule.low or [0] * len(names), rule.high or [255] * len(names), strict=True
        )
        if len(column) and ((column < low) | (column > high)).mean() > CLIPPED
    ]
    if clipped:
        sentence = f"many values lie beyond the range that is kept and are clipped: {', '.join(clipped)}"
        yield ImageWarning("clipped", sentence, "Check that all images have the same units and exposure")


def unknown_pixels(evidence: Evidence) -> Iterator[ImageWarning]:
    unknown = evidence.measures.unknown
    fraction = float(unknown[evidence.measures.known].mean()) if evidence.measures.known.any() else 0.0
    if fraction > UNKNOWN:
        rows = np.argsort(-unknown, kind="stable")[: int((unknown > 0).sum())]
        sentence = f"{fraction:.1%} of the pixels are not known, in {images_in_words(len(rows))}"
        yield evidence.about(
            "unknown-pixels", sentence, "They count in no likelihood; remove images of which little is known", rows
        )


def filled(info: ImageFormat, rule: PreprocessingRule) -> float:
    """Fraction of the preprocessed pixels that an image fills; the rest is padding."""
    scale = min(rule.width / info.width, rule.height / info.height)
    return info.width * scale * info.height * scale / (rule.width * rule.height)


def sizes(evidence: Evidence) -> Iterator[ImageWarning]:
    rule, sizes = evidence.rule, Counter[tuple[int, int]]()
    narrow = enlarged = 0
    for info, count in evidence.seen.formats.items():
        sizes[info.width, info.height] += count
        narrow += count * (filled(info, rule) < FILLED)
        enlarged += count * (ENLARGED * max(info.width, info.height) < max(rule.width, rule.height))
    if narrow:
        sentence = (
            f"{images_in_words(narrow, 'is')} at least twice as long as wide, or as wide as long: over half of the "
            f"{rule.width} x {rule.height} pixels are black padding"
        )
        yield ImageWarning("padding", sentence, "Crop them to what matters, near to a square, or give a larger --size")
    if enlarged:
        (width, height) = min(sizes, key=max)
        sentence = (
            f"{images_in_words(enlarged, 'is')} enlarged to more than twice the stored size; the smallest has "
            f"{width} x {height} pixels"
        )
        yield ImageWarning(
            "enlarged", sentence, "Remove them if they are no more than icons, or choose a smaller --size"
        )


def grey_images(evidence: Evidence) -> Iterator[ImageWarning]:
    rows = np.flatnonzero(evidence.measures.grey & ~evidence.measures.constant)
    count = int(evidence.measures.known.sum())
    if len(rows) > GREY * count:
        sentence = f"{len(rows):,} of {count:,} images are grey, among images in colour"
        advice = "Make sure that colour does not give the class away; or convert all images to grey"
        yield evidence.about("grey", sentence, advice, rows)
