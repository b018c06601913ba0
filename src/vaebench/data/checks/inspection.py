"""Inspection: what a set of images contains, how it would be read, and what of it deserves a warning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32

from vaebench.data.checks.duplicates import Groups
from vaebench.data.checks.evidence import Evidence, ImageWarning
from vaebench.data.checks.gathering import Preprocessed, evidence_of_files, evidence_of_pixels
from vaebench.data.checks.label_checks import is_remark
from vaebench.data.checks.warnings import image_warnings
from vaebench.data.image_set import ImageSet
from vaebench.data.images import Progress, ignore_progress
from vaebench.data.preprocessing import PreprocessingRule
from vaebench.data.printing import printable
from vaebench.data.reading import describe_reading
from vaebench.data.survey import Survey

BINS = 64
"""Bins of the histogram of stored values."""
EXAMPLES, UNGROUPED = 12, 48
"""Images of a class that are shown, and of a set without labels."""
CLASSES_SHOWN = 30
PAIRS_LISTED = 100
SCHEMA = 1
SAID_BY_READER = (
    "reading",
    "unreadable",
    "clipped",
    "constant-channel",
    "few-images",
    "unlabelled",
    "padding",
    "enlarged",
)
"""Kinds of warnings of which the sentences about the reading say the same."""


class ChannelValues(NamedTuple):
    """Stored values of one channel in the sampled images, in the units of the rule."""

    name: str
    lowest: float
    highest: float
    low: float
    """Value that becomes 0, or black."""
    high: float
    """Value that becomes 1, or white."""
    clipped: float
    """Fraction of the values below ``low`` or above ``high``."""
    counts: tuple[int, ...]
    """Histogram: number of values in equal bins from ``lowest`` to ``highest``."""


@dataclass(frozen=True)
class Inspection:
    """What a set of images contains and how it would be read."""

    path: str
    title: str
    images: int
    """Number of images, unreadable ones included."""
    unreadable: dict[str, str]
    """Reason by name."""
    warnings: tuple[ImageWarning, ...]
    """Worst first."""
    rule: PreprocessingRule
    reading: tuple[str, ...]
    """Sentences about what is left out, converted or scaled, which are no warnings."""
    parts: tuple[str, ...]
    """Names of the parts; empty where there are none."""
    counts: dict[str, dict[str, int]]
    """Readable images by class and part; the class "" has those without a label, the part is "" without parts."""
    sizes: tuple[tuple[int, int, int], ...]
    """Width, height and number of images of each size, most frequent first."""
    types: dict[str, int]
    """Number of images by type and channels: "uint8 grey"."""
    channels: tuple[ChannelValues, ...]
    equal: tuple[tuple[str, ...], ...]
    """Names of images with equal pixels, at most 100 groups of at most 10."""
    equal_groups: int
    equal_images: int
    """Number of images with equal pixels, one of each group not counted."""
    near: tuple[tuple[str, str], ...]
    """Names of pairs that are nearly equal, at most 100."""
    near_pairs: int
    near_not_compared: int
    """Pairs that look alike at 8 x 9 pixels but were too many to compare all pixels."""
    examples: dict[str, tuple[int, ...]]
    """Rows of images to show, by class."""
    factors: tuple[int, ...] = ()
    """Number of distinct values of each known factor of variation; empty where none is known."""

    def __repr__(self) -> str:
        return (
            f"Inspection({self.title!r}: {self.images:,} images, {len(self.unreadable):,} unreadable, "
            f"{len(self.classes)} classes, {len(self.warnings)} warnings)"
        )

    @property
    def further_warnings(self) -> tuple[str, ...]:
        """Warnings beside those that :func:`vaebench.data.reading.describe_reading` gives, each with what to do."""
        return further_sentences(self.warnings)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return tuple(name for name in self.counts if name)

    @property
    def labelled(self) -> int:
        """Number of readable images with a label."""
        return sum(sum(each.values()) for name, each in self.counts.items() if name)

    def to_json(self) -> dict[str, Any]:
        """Return the inspection as values of JSON; docs/your-images.md has the schema."""
        return {
            "schema": SCHEMA,
            "path": printable(self.path),
            "title": printable(self.title),
            "images": self.images,
            "labelled": self.labelled,
            "warnings": [each.to_json() for each in self.warnings],
            "unreadable": {printable(name): reason for name, reason in self.unreadable.items()},
            "parts": list(self.parts),
            "counts": self.counts,
            "sizes": [{"width": width, "height": height, "images": count} for width, height, count in self.sizes],
            "types": self.types,
            "channels": [each._asdict() | {"counts": list(each.counts)} for each in self.channels],
            "duplicates": {
                "equal_groups": self.equal_groups,
                "equal_images": self.equal_images,
                "equal": [list(map(printable, each)) for each in self.equal],
                "near_pairs": self.near_pairs,
                "near_not_compared": self.near_not_compared,
                "near": [list(map(printable, each)) for each in self.near],
            },
            "factors": list(self.factors),
            "rule": self.rule.model_dump(mode="json"),
            "rule_in_words": self.rule.description,
            "reading": list(self.reading),
        }


def further_sentences(warnings: Iterable[ImageWarning]) -> tuple[str, ...]:
    """Return the warnings that the sentences about the reading do not give, each with what to do."""
    return tuple(str(each) for each in warnings if each.kind not in SAID_BY_READER)


def inspect_images(
    images: ImageSet, rule: PreprocessingRule, seen: Survey, progress: Progress = ignore_progress
) -> Inspection:
    """Read each image once, and inspect the set.

    Args:
        images: the set, of which at least one image can be read.
        rule: how its images are preprocessed, as :func:`vaebench.data.survey.choose_rule` returns it.
        seen: the survey of the set.
        progress: receives the current task and the completed fraction in [0, 1].
    """
    return describe(evidence_of_files(images, rule, seen, progress))


def inspect_pixels(
    images: ImageSet,
    rule: PreprocessingRule,
    seen: Survey,
    done: Preprocessed,
    progress: Progress = ignore_progress,
) -> Inspection:
    """Inspect a set whose images are preprocessed already, without reading them again.

    Args:
        images: the set.
        rule: how its images were preprocessed.
        seen: the survey of the set.
        done: the pixels. Images that were left out though they can be read count, but are not compared.
        progress: receives the current task and the completed fraction in [0, 1].
    """
    return describe(evidence_of_pixels(images, rule, seen, done, progress))


def describe(evidence: Evidence) -> Inspection:
    """Return what the evidence says, with the warnings of all checks."""
    images, seen, rule, values = evidence.images, evidence.seen, evidence.rule, evidence.values
    names = [printable(name) for name in rule.channel_names] or _channel_names(rule)
    return Inspection(
        path=str(images.path),
        title=images.title,
        images=len(images),
        unreadable=evidence.unreadable,
        warnings=image_warnings(evidence),
        rule=rule,
        reading=_reading(images, seen, rule),
        parts=evidence.part_names if images.parts else (),
        counts=_counts(evidence),
        sizes=_sizes(seen),
        types=_types(seen),
        channels=tuple(
            _channel(name, column, rule, i) for i, (name, column) in enumerate(zip(names, values.T, strict=True))
        ),
        equal=_listed(evidence.equal, images),
        equal_groups=len(evidence.equal),
        equal_images=len(evidence.equal.rows) - len(evidence.equal),
        near=tuple((images.names[a], images.names[b]) for a, b in evidence.near[:PAIRS_LISTED]),
        near_pairs=len(evidence.near),
        near_not_compared=evidence.near_not_compared,
        examples=_examples(evidence),
        factors=_levels(images),
    )


def _levels(images: ImageSet) -> tuple[int, ...]:
    return () if images.factors is None else tuple(len(np.unique(column)) for column in images.factors.T)


def _reading(images: ImageSet, seen: Survey, rule: PreprocessingRule) -> tuple[str, ...]:
    """Sentences of the reader other than warnings and unreadable images."""
    remarks = tuple(sentence for sentence in images.warnings if is_remark(sentence))
    sentences = describe_reading(replace(images, warnings=remarks), seen._replace(skipped={}), rule)
    return tuple(each for each in sentences if not each.startswith((rule.scale, "one value in all")))


def _channel_names(rule: PreprocessingRule) -> list[str]:
    return ["red", "green", "blue"] if rule.channels == 3 else ["grey"]


def _channel(name: str, values: Float32[np.ndarray, " M"], rule: PreprocessingRule, index: int) -> ChannelValues:
    values = values[np.isfinite(values)]
    low, high = (rule.low[index], rule.high[index]) if rule.low else (0.0, 255.0)
    if not len(values):
        return ChannelValues(name, low, high, low, high, 0.0, ())
    ends = float(values.min()), float(values.max())
    bins = BINS if values.dtype.kind == "f" and ends[1] > ends[0] else 1
    counts, _ = np.histogram(values, bins, ends)
    clipped = float(((values < low) | (values > high)).mean())
    return ChannelValues(name, *ends, low, high, clipped, tuple(counts.tolist()))


def _counts(evidence: Evidence) -> dict[str, dict[str, int]]:
    readable, parts = evidence.readable, evidence.part_names
    table = np.zeros((len(evidence.class_names) + 1, len(parts)), int)  # the last row has those without a label
    np.add.at(table, (evidence.label_codes[readable], evidence.part_codes[readable]), 1)
    rows = dict(zip([*evidence.class_names, ""], table.tolist(), strict=True))
    if not any(rows[""]) and evidence.class_names:
        del rows[""]
    return {name: dict(zip(parts, numbers, strict=True)) for name, numbers in rows.items()}


def _sizes(seen: Survey) -> tuple[tuple[int, int, int], ...]:
    sizes: Counter[tuple[int, int]] = Counter()
    for info, count in seen.formats.items():
        sizes[info.width, info.height] += count
    return tuple((*size, count) for size, count in sizes.most_common())


def _types(seen: Survey) -> dict[str, int]:
    types: Counter[str] = Counter()
    for info, count in seen.formats.items():
        types[f"{info.dtype} {f'{info.channels} channels' if info.kind == 'channels' else info.kind}"] += count
    return dict(types.most_common())


def _listed(groups: Groups, images: ImageSet) -> tuple[tuple[str, ...], ...]:
    listed = range(min(PAIRS_LISTED, len(groups)))
    return tuple(tuple(images.names[row] for row in groups.members(group)[:10]) for group in listed)


def _examples(evidence: Evidence) -> dict[str, tuple[int, ...]]:
    """Rows of images to show, evenly spaced: of each class, and of those without a label."""
    examples = {}
    codes = [*range(len(evidence.class_names)), -1]
    for code in [*codes[: min(CLASSES_SHOWN, len(codes) - 1)], -1]:
        rows = np.flatnonzero(evidence.readable & (evidence.label_codes == code))
        number = min(len(rows), EXAMPLES if evidence.class_names else UNGROUPED)
        chosen = rows[np.linspace(0, len(rows) - 1, number).astype(int)] if number else rows
        if number:
            examples[evidence.class_names[code] if code >= 0 else ""] = tuple(chosen.tolist())
    return examples
