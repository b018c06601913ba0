"""Masks: images whose unknown pixels another image states, and the files that are masks by their names."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from jaxtyping import Bool

from vaebench.core.errors import VaebenchError
from vaebench.core.steps import content_key
from vaebench.data.decoding import DECODERS, suffix_of
from vaebench.data.image_set import MASKED, ImageFormat, ImageSet, RawImage, UnreadableImageError
from vaebench.data.labels.matching import FOLDER, SUFFIX, Matcher
from vaebench.data.printing import printable

IMAGE_FOLDERS = ("image", "images", "img", "imgs")
"""Names of folders, in lower case, that are no classes."""
MASK_FOLDERS = ("mask", "masks", "annotation", "annotations", "labels", "segmentation", "segmentations", "gt")
"""Names of folders that hold masks where a folder of images lies beside them."""
OF_IMAGE = re.compile(r"(.+)[._-]masks?(?:[._-]?\d+)?", re.IGNORECASE)
"""Name of a mask, without its suffix, that contains the name of its image."""

PathParts = tuple[str, ...]
T = TypeVar("T")


def mask_files(files: Sequence[PathParts]) -> frozenset[PathParts]:
    """Return those image files that are masks by their names.

    They are ``NAME_mask.png`` beside ``NAME.png``, all in ``masks/`` beside ``images/``, and ``masks/NAME.png`` beside
    ``NAME.png``.
    """
    folders = {parts[:-1] for parts in files}
    pictured = {f[:at] for f in folders for at, name in enumerate(f) if name.lower() in IMAGE_FOLDERS}
    beside = {f for f in folders if any(f[:at] in pictured for at in _named(f))}
    inside = {f for f in folders if _named(f)}
    suspects = [p for p in files if p[:-1] in inside or _image_name(_stem(p[-1]))]
    if not suspects:
        return frozenset()
    stems = {(*parts[:-1], _stem(parts[-1])) for parts in files}
    return frozenset(p for p in suspects if p[:-1] in beside or any(image in stems for image in _images_of(p)))


def _named(folder: PathParts) -> list[int]:
    return [at for at, name in enumerate(folder) if name.lower() in MASK_FOLDERS]


def _images_of(parts: PathParts) -> list[PathParts]:
    """Return the paths, without suffix, of the images that a file is the mask of if they exist."""
    stem = _stem(parts[-1])
    own = _image_name(stem)
    images = [(*parts[:-1], own)] if own else []
    for at in _named(parts[:-1]):
        if parts[at].lower() in ("mask", "masks"):
            images += [(*parts[:at], *parts[at + 1 : -1], name) for name in (stem, own) if name]
    return images


def _image_name(stem: str) -> str | None:
    """Return the name of the image in that of its mask; None if the name is not that of a mask."""
    match = OF_IMAGE.fullmatch(stem) if "mask" in stem.lower() else None
    return match[1] if match else None


def _stem(name: str) -> str:
    return name[: -len(suffix_of(name))] if suffix_of(name) in DECODERS else name


def with_masks(images: ImageSet, masks: ImageSet) -> ImageSet:
    """Return images in which those pixels are unknown where a mask of the same name and size is 0.

    A mask is called as its image, whatever its suffix, or ``NAME_mask``; folders called images and masks do not count.
    An image without a mask is known everywhere. Images whose mask cannot be read, has another size or more than two
    values cannot be read.

    Raises:
        VaebenchError: no mask has the name of an image, or two masks have that of one.
    """
    rows = [-1] * len(images)
    unmatched = []
    for row, image in enumerate(_match(images, masks)):
        if image < 0:
            unmatched.append(masks.names[row])
        elif rows[image] >= 0:
            both = " and ".join(printable(masks.names[each]) for each in (rows[image], row))
            raise VaebenchError(
                f"{masks.path} has two masks of the image {printable(images.names[image])}: {both}; expected one: "
                "join them, or remove one"
            )
        else:
            rows[image] = row
    said = (*(f"masks: {each}" for each in masks.warnings), *_report(masks, rows, unmatched))
    return replace(masked(images, masks, rows), warnings=(*images.warnings, *said))


def _match(images: ImageSet, masks: ImageSet) -> list[int]:
    """Return the row of each mask's image, -1 where there is none."""
    keys = [_without_folders(name) for name in images.names]
    keys = keys if len(set(keys)) == len(keys) else list(images.names)
    numbers = {key: row for row, key in enumerate(keys)}
    matcher = Matcher(keys, images.title)
    entries = [_stem(_without_folders(name)) for name in masks.names]
    shorter = [_image_name(entry) or entry for entry in entries]
    rows = []
    for matches in zip(matcher.match(entries), matcher.match(shorter), strict=True):
        known = (each.name for each in matches if each.name and set(each.assumed) <= {SUFFIX, FOLDER})
        rows.append(numbers.get(next(known, ""), -1))
    if masks.names and max(rows) < 0:
        raise VaebenchError(
            f"{masks.path}: none of its {len(rows):,} masks, such as {printable(masks.names[0])}, has the name of an "
            f"image; expected names such as {printable(images.names[0])}"
        )
    return rows


def _without_folders(name: str) -> str:
    """Return a path without its folders that are called images or masks."""
    *folders, file = name.split("/")
    return "/".join([*(each for each in folders if each.lower() not in {*IMAGE_FOLDERS, *MASK_FOLDERS}), file])


def _report(masks: ImageSet, rows: Sequence[int], unmatched: Sequence[str]) -> list[str]:
    sentences = []
    missing = sum(row < 0 for row in rows)
    if missing:
        sentences.append(
            f"{len(rows) - missing:,} of {len(rows):,} images have a mask in {printable(masks.path.name)}; all pixels "
            "of the others are known"
        )
    if unmatched:
        are, listed = "masks match" if len(unmatched) > 1 else "mask matches", ", ".join(map(printable, unmatched[:3]))
        sentences.append(f"{len(unmatched):,} {are} no image: {listed}{', ...' if len(unmatched) > 3 else ''}")
    return sentences


def masked(images: ImageSet, masks: ImageSet, rows: Sequence[int]) -> ImageSet:
    """Return images in which those pixels are unknown where their mask is 0.

    Args:
        images: the images.
        masks: images of two values, 0 and another.
        rows: row of the mask of each image, negative where it has none.
    """

    def describe(row: int) -> ImageFormat:
        info = images.describe(row)
        if rows[row] < 0:
            return info
        _check_size(info, _of_mask(rows[row], masks.describe))
        return info._replace(notes=(*info.notes, MASKED))

    def read(row: int, at_least: int | None = None) -> RawImage:
        if rows[row] < 0:
            return images.read(row, at_least)
        image = images.read(row)  # at its own size, which is that of the mask
        known = _known(image, _of_mask(rows[row], masks.read))
        dtype = np.result_type(image.values.dtype, np.float32)
        values = np.where(known, image.values.astype(dtype), dtype.type(np.nan))
        return RawImage(values, image.format._replace(notes=(*image.format.notes, MASKED)))

    return replace(
        images,
        describe=describe,
        read=read,
        fingerprint=lambda: content_key([images.fingerprint(), masks.fingerprint()]),
        threads=images.threads or masks.threads,
    )


def _of_mask(row: int, function: Callable[[int], T]) -> T:
    """Return what a function of a mask's row returns; its errors say that they are of a mask."""
    try:
        return function(row)
    except UnreadableImageError as error:
        raise UnreadableImageError(f"has a mask that {error}") from error


def _check_size(image: ImageFormat, mask: ImageFormat) -> None:
    if (image.width, image.height) != (mask.width, mask.height):
        raise UnreadableImageError(f"is {image.width} x {image.height}, but its mask {mask.width} x {mask.height}")


def _known(image: RawImage, mask: RawImage) -> Bool[np.ndarray, "H W _"]:
    """Return where a mask is not 0, of one channel or of those of the image.

    Raises:
        UnreadableImageError: another size, other channels, more than two values, or no known pixel.
    """
    _check_size(image.format, mask.format)
    values = mask.values
    if mask.format.kind == "colour" and (values == values[..., :1]).all():
        values = values[..., :1]
    if values.shape[2] != 1 and (mask.format.kind == "colour" or values.shape[2] != image.values.shape[2]):
        raise UnreadableImageError("has a mask in colour; expected grey, 0 and one other value")
    known: np.ndarray = values != 0
    if not known.any():
        raise UnreadableImageError("has a mask that is 0 everywhere: no pixel is known")
    others = values[known]
    if others.min() != others.max():
        raise UnreadableImageError(
            "has a mask of several values other than 0; expected 0 where a pixel is not known and one other value: "
            "save masks as PNG, as JPEG blurs them"
        )
    return known
