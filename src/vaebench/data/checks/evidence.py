"""Evidence: all that is known of a set of images, and the warnings that checks draw from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int

from vaebench.data.checks.duplicates import Groups
from vaebench.data.checks.measures import Measures
from vaebench.data.image_set import ImageSet
from vaebench.data.preprocessing import PreprocessingRule
from vaebench.data.printing import printable
from vaebench.data.survey import Survey

LISTED = 10
"""Names that a warning lists at most."""
PICTURED = 12
"""Images that a warning shows at most."""


class ImageWarning(NamedTuple):
    """One thing about a set of images that may spoil a training, and what to do about it."""

    kind: str
    """Stable name, such as "equal-across-parts"."""
    sentence: str
    advice: str
    names: tuple[str, ...] = ()
    """Images or classes that it is about, at most 10."""
    rows: tuple[int, ...] = ()
    """Rows of images that show it, at most 12."""

    def __str__(self) -> str:
        return f"{self.sentence}. {self.advice}"

    def to_json(self) -> dict[str, Any]:
        """Return kind, sentence, advice and names."""
        return {
            "kind": self.kind,
            "sentence": self.sentence,
            "advice": self.advice,
            "names": list(map(printable, self.names)),
        }


@dataclass(frozen=True)
class Evidence:
    """All that is known of a set of images."""

    images: ImageSet
    seen: Survey
    rule: PreprocessingRule
    measures: Measures
    unreadable: dict[str, str]
    equal: Groups
    near: Int[np.ndarray, "Q 2"]
    values: Float32[np.ndarray, "M C"]
    """Stored values of the sampled images, in the units of the rule."""
    near_not_compared: int = 0
    """Pairs that look alike at 8 x 9 pixels but were too many to compare all pixels."""

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.images.classes if self.images.labels else ()

    @cached_property
    def label_codes(self) -> Int[np.ndarray, " N"]:
        """Class number of each image, -1 without a label."""
        return _codes(self.images.labels, self.class_names, len(self.images))

    @cached_property
    def part_names(self) -> tuple[str, ...]:
        """Names of the parts in their usual order; one empty name where there are none."""
        used = set(self.images.parts) or {""}
        return tuple(name for name in ("train", "", "validation", "test") if name in used)

    @cached_property
    def part_codes(self) -> Int[np.ndarray, " N"]:
        """Number of the part of each image."""
        return _codes(self.images.parts, self.part_names, len(self.images)).clip(0)

    @cached_property
    def readable(self) -> Bool[np.ndarray, " N"]:
        """Whether an image can be read, even if it was not measured."""
        if not self.unreadable:
            return np.ones(len(self.images), bool)
        return np.fromiter((name not in self.unreadable for name in self.images.names), bool, len(self.images))

    @property
    def learnable(self) -> Int[np.ndarray, " Y"]:
        """Readable labelled images of each class, those of the test part not counted."""
        parts = np.array([name != "test" for name in self.part_names])[self.part_codes]
        codes = self.label_codes[self.readable & parts]
        return np.bincount(codes[codes >= 0], minlength=len(self.class_names))

    def names(self, rows: Sequence[int] | np.ndarray) -> tuple[str, ...]:
        """Names of at most ten images."""
        return tuple(self.images.names[row] for row in rows[:LISTED])

    def about(self, kind: str, sentence: str, advice: str, rows: np.ndarray) -> ImageWarning:
        """Return a warning about some images, which follow the sentence."""
        listed = ", ".join(map(printable, self.names(rows[:3])))
        listed += f" and {len(rows) - 3:,} more" if len(rows) > 3 else ""
        pictured = tuple(int(row) for row in rows[:PICTURED])
        return ImageWarning(kind, f"{sentence}: {listed}", advice, self.names(rows), pictured)


Check = Callable[[Evidence], Iterator[ImageWarning]]


def images_in_words(count: int, verb: str = "") -> str:
    """Return "1 image is" or "3 images are" for the verb "is" or "has"; without a verb only the number."""
    plural = {"is": " are", "has": " have", "": ""}[verb]
    return f"{count:,} image {verb}".rstrip() if count == 1 else f"{count:,} images{plural}"


def _codes(labels: Sequence[str], names: Sequence[str], count: int) -> Int[np.ndarray, " N"]:
    if not labels:
        return np.full(count, -1)
    numbers = {name: number for number, name in enumerate(names)}
    return np.fromiter((numbers.get(word, -1) for word in labels), int, count)
