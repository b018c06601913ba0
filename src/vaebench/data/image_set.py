"""ImageSet: the images of a folder, archive or file of arrays, each with a name, a part and a label, read on demand."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Int, Shaped

from vaebench.core.steps import content_key

PARTS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
"""Parts of a data set by the names that people give them, in lower case."""
PART_ORDER = ("train", "validation", "test")
MAX_CHANNELS = 16
MASKED = "with a mask that states which pixels are known"
"""Note of images whose unknown pixels another image states."""
Kind = Literal["grey", "colour", "channels"]
"""What the channels of an image are: one brightness; red, green and blue; or measurements of other kinds."""


class UnreadableImageError(Exception):
    """Reason why an image is rejected, to be appended to the name of its file."""


class ImageFormat(NamedTuple):
    """What can be known of a stored image without its pixels."""

    width: int
    """As it is shown, after any rotation by EXIF."""
    height: int
    channels: int
    kind: Kind
    white: float
    """Stored value of full brightness: 255 for 8 bits, 65535 for 16; 0 where the type states none, as for floats."""
    dtype: str = "uint8"
    """numpy's name of the stored type."""
    notes: tuple[str, ...] = ()
    """What the reader did or left out, each in words that follow a number of images: "turned by EXIF"."""
    channel_names: tuple[str, ...] = ()
    lossy: bool = False
    """Whether it is stored in a format that may change values a little, as JPEG does."""


@dataclass(frozen=True)
class RawImage:
    """The pixels of an image as they are stored: in their own type and unscaled."""

    values: Shaped[np.ndarray, "H W C"]
    """uint8, uint16, or any other type of integers or floats; NaN where a pixel is not known."""
    format: ImageFormat


@dataclass(frozen=True)
class ImageSet:
    """Images that are listed but not yet read."""

    path: Path
    title: str
    """Printable name of the folder or file."""
    names: Sequence[str]
    """Unique names, in the order of the rows: paths below the folder, or row numbers."""
    describe: Callable[[int], ImageFormat]
    """Format of the image of a row; raises UnreadableImageError."""
    read: Callable[..., RawImage]
    """``read(row, at_least=None)`` returns the image of a row; raises UnreadableImageError. A JPEG file may be decoded
    at a lower resolution whose longest side is at least ``at_least``. Called by several threads if ``threads``."""
    fingerprint: Callable[[], str]
    """Hash that changes when the files change, computed without reading all pixels."""
    parts: Sequence[str] = ()
    """Part of each image: train, validation or test; empty where the source has no parts."""
    labels: Sequence[str] = ()
    """Class name of each image, "" where it has none; empty where the source has no labels."""
    classes: tuple[str, ...] = ()
    """Class names in the order of their numbers."""
    factors: Int[np.ndarray, "N K"] | None = None
    """Values of known factors of variation, as dSprites has them."""
    warnings: tuple[str, ...] = ()
    """Sentences about what of the source was left out or guessed."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Reason by name for each image that is known to be unreadable before it is read; none of them is in ``names``."""
    other_files: dict[str, int] = field(default_factory=dict)
    """Number of files that are no images, by suffix."""
    threads: bool = False
    """Whether reading gains by threads, as decoding of files does."""

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        return f"ImageSet({self.title!r}: {len(self):,} images, {len(self.classes)} classes)"


def array_format(shape: tuple[int, int, int], dtype: np.dtype, kind: Kind | None = None) -> ImageFormat:
    """Return the format of an array (H, W, C); 3 channels are colours unless ``kind`` says otherwise."""
    height, width, channels = shape
    default: Kind = "grey" if channels == 1 else "colour" if channels == 3 else "channels"
    white = float(np.iinfo(dtype).max) if dtype.kind == "u" else 0.0
    return ImageFormat(width, height, channels, kind or default, white, dtype.name)


def array_set(
    path: Path, title: str, array: Any, fingerprint: Callable[[], str], info: ImageFormat | None = None
) -> ImageSet:
    """Return the set of an array (N, H, W, C), or of anything with its shape, dtype and rows, read a row at a time.

    The format of the images is ``info``, or that of the array.
    """
    known = info or array_format(array.shape[1:], np.dtype(array.dtype))
    return ImageSet(
        path=path,
        title=title,
        names=tuple(map(str, range(len(array)))),
        describe=lambda row: known,
        read=lambda row, at_least=None: RawImage(np.asarray(array[row]), known),
        fingerprint=fingerprint,
    )


def select_rows(images: ImageSet, rows: Sequence[int]) -> ImageSet:
    """Return the images of these rows, without labels and parts."""
    return ImageSet(
        path=images.path,
        title=images.title,
        names=tuple(images.names[row] for row in rows),
        describe=lambda row: images.describe(rows[row]),
        read=lambda row, at_least=None: images.read(rows[row], at_least),
        fingerprint=lambda: content_key([images.fingerprint(), list(rows)]),
        threads=images.threads,
    )


def join_parts(path: Path, title: str, sets: Mapping[str, ImageSet]) -> ImageSet:
    """Return one set of those of several parts; the image "3" of the part "test" is called "test/3"."""
    return join(path, title, [Member(part, part, images) for part, images in sets.items()])


class Member(NamedTuple):
    """A set that becomes a section of another."""

    prefix: str
    """Begins the names of its images: "test" makes "test/3" of "3"."""
    part: str
    """Part of its images; "" leaves them in their own parts."""
    images: ImageSet


def join(path: Path, title: str, members: Sequence[Member]) -> ImageSet:
    """Return one set with the images of all members one after another.

    Class names are those of the member that has all of them, or else those of all members in natural order. Factors are
    kept where all members have the same number of them.
    """
    sets = [member.images for member in members]
    offsets = np.cumsum([0, *map(len, sets)])

    def locate(row: int) -> tuple[ImageSet, int]:
        index = int(np.searchsorted(offsets, row, side="right")) - 1
        return sets[index], row - int(offsets[index])

    def read(row: int, at_least: int | None = None) -> RawImage:
        images, inner = locate(row)
        return images.read(inner, at_least)

    def describe(row: int) -> ImageFormat:
        images, inner = locate(row)
        return images.describe(inner)

    others: Counter[str] = sum((Counter(images.other_files) for images in sets), Counter())
    return ImageSet(
        path=path,
        title=title,
        names=tuple(f"{prefix}/{name}" for prefix, _, images in members for name in images.names),
        describe=describe,
        read=read,
        fingerprint=lambda: content_key([images.fingerprint() for images in sets]),
        parts=_joined_parts(members),
        labels=_filled([images.labels for images in sets], sets),
        classes=_joined_classes([images.classes for images in sets]),
        factors=_joined_factors(sets),
        warnings=tuple(dict.fromkeys(sentence for images in sets for sentence in images.warnings)),
        left_out={f"{prefix}/{name}": why for prefix, _, images in members for name, why in images.left_out.items()},
        other_files=dict(others),
        threads=any(images.threads for images in sets),
    )


def natural_order(name: str) -> tuple[tuple[int, int, str], ...]:
    """Return the sort key in which "class 2" stands before "class 10"."""
    return tuple((0, int(piece), "") if piece.isdecimal() else (1, 0, piece) for piece in re.split(r"([0-9]+)", name))


def _filled(columns: Sequence[Sequence[str]], sets: Sequence[ImageSet]) -> tuple[str, ...]:
    """Join columns of labels or parts, "" where a set has none; empty where no set has any."""
    if not any(columns):
        return ()
    pairs = zip(columns, sets, strict=True)
    return tuple(value for column, images in pairs for value in (column or ("",) * len(images)))


def _joined_parts(members: Sequence[Member]) -> tuple[str, ...]:
    columns = [(part,) * len(images) if part else images.parts for _, part, images in members]
    return _filled(columns, [member.images for member in members])


def _joined_classes(classes: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    every = {name for each in classes for name in each}
    whole = next((each for each in classes if every == set(each)), None)
    return tuple(sorted(every, key=natural_order)) if whole is None else whole


def _joined_factors(sets: Sequence[ImageSet]) -> np.ndarray | None:
    factors = [images.factors for images in sets if images.factors is not None]
    same = len(factors) == len(sets) and len({each.shape[1] for each in factors}) == 1
    return np.concatenate(factors) if same else None
