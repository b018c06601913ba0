"""A user's own image files: a folder or a zip of class folders, or of images without labels."""

from __future__ import annotations

import io
import os
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from vaebench.core.errors import VaebenchError
from vaebench.data.images import HIDDEN, Images, Loaded, Progress
from vaebench.data.listing import (
    FORMATS,
    Files,
    PathParts,
    UnreadableImageError,
    list_folder,
    open_zip,
    outer_folders,
    printable,
)

PIXEL_LIMIT = 1 << 20
"""Pixels of the largest image that is read: 1024 x 1024."""

DEPTH = 5
"""Folders deeper than this are not looked into: an outer folder, a part, a class and one too many."""

BLOCK = 500
"""Images that a thread reads at a time."""

THREADS = min(8, os.cpu_count() or 1)


def read_folder(path: Path, progress: Progress) -> Loaded:
    """Images in class folders, optionally under ``train/`` and ``test/``, or side by side without labels.

    Grey images have one channel; if any image is colour, all have three. Transparent parts are laid on black.
    One outer folder is looked through; hidden files and files of other kinds are skipped.

    Raises:
        VaebenchError: no image, an empty class folder, folders in no such order, or an image that cannot be
            read, is too large, or is of another size than the first; each names the file.
    """
    return _loaded(list_folder(path, DEPTH), progress)


def read_zip(path: Path, progress: Progress) -> Loaded:
    """The same of a zip, read where it lies: nothing is unpacked, and names in it never become paths.

    Raises:
        VaebenchError: as :func:`read_folder`, or a file that is no zip.
    """
    with open_zip(path) as files:
        return _loaded(files, progress)


def _loaded(files: Files, progress: Progress) -> Loaded:
    outer = outer_folders(files)
    below = sorted({parts[len(outer)] for parts in (*files.images, *files.folders) if len(parts) > len(outer)})
    roots = [outer]
    if {"train", "test"} <= set(below):
        if others := set(below) - {"train", "test"}:
            raise VaebenchError(
                f"{files.name((*outer, min(others)))} lies beside train and test; expected these two alone: "
                "move its images into one of them or elsewhere"
            )
        roots = [(*outer, "train"), (*outer, "test")]
    classes = _classes(files, roots[0])
    parts = [_labelled(files, root, classes) for root in roots]
    pixels = _read_all(files, [image for images, _ in parts for image in images], progress)
    labels = torch.tensor([label for _, labels in parts for label in labels])
    whole, first = Images(pixels, labels, tuple(map(printable, classes))), len(parts[0][0])
    lossy = any(FORMATS[PurePosixPath(image[-1]).suffix.lower()] == "JPEG" for image in files.images)
    return Loaded(
        name=files.title,
        train=whole.take(slice(0, first)),
        test=whole.take(slice(first, None)) if len(parts) > 1 else None,
        note="read from JPEG files, which are lossy" if lossy else "",
    )


def _classes(files: Files, root: PathParts) -> tuple[str, ...]:
    """Names of the class folders in ``root``, sorted; none where its images lie side by side."""
    depth = len(root)
    images = [parts for parts in files.images if parts[:depth] == root]
    beside = [parts for parts in images if len(parts) == depth + 1]
    if images and len(beside) == len(images):
        return ()
    if beside:
        raise VaebenchError(
            f"{files.name(beside[0])} lies beside class folders; move it into one of them, or all images "
            "into one folder"
        )
    deep = next((parts for parts in images if len(parts) > depth + 2), None)
    if deep:
        raise VaebenchError(f"{files.name(deep)} lies deeper than a class folder; expected CLASS/IMAGE")
    found = {parts[depth] for parts in images}
    for folder in sorted(parts for parts in files.folders if parts[:depth] == root and len(parts) == depth + 1):
        if folder[depth] not in found:
            raise VaebenchError(f"the class folder {files.name(folder)} holds no image; add some or remove the folder")
    if not found:
        raise VaebenchError(f"{files.name(root)} holds no image; add some or remove the folder")
    return tuple(sorted(found))


def _labelled(files: Files, root: PathParts, classes: tuple[str, ...]) -> tuple[list[PathParts], list[int]]:
    """The images in ``root`` and their labels; all hidden where there are no classes."""
    images = [parts for parts in files.images if parts[: len(root)] == root]
    found = _classes(files, root)
    strange = next((name for name in found if name not in classes), None)
    if strange is not None or (classes and not found):
        what = f"class {strange!r}, which train has not" if strange is not None else "no class folders, as train has"
        raise VaebenchError(
            f"{files.name(root)} has {what}; expected the classes of train: {', '.join(classes) or 'none'}"
        )
    if not classes:
        return images, [HIDDEN] * len(images)
    number = {name: label for label, name in enumerate(classes)}
    return images, [number[parts[len(root)]] for parts in images]


def _read_all(files: Files, images: list[PathParts], progress: Progress) -> UInt8[Tensor, "N C H W"]:
    first: np.ndarray | None = None
    decoded: list[np.ndarray] = []
    pool = ThreadPoolExecutor(THREADS)
    try:
        blocks = [images[start : start + BLOCK] for start in range(0, len(images), BLOCK)]
        read = pool.map(lambda block: [_decode(files, parts) for parts in block], blocks)
        for parts, pixels in zip(images, chain.from_iterable(read), strict=True):
            first = pixels if first is None else first
            if pixels.shape[:2] != first.shape[:2]:
                raise VaebenchError(
                    f"{files.name(parts)} is {_size(pixels)} but {files.name(images[0])} is {_size(first)} "
                    "(width x height); all images must have one size: resize or crop them"
                )
            decoded.append(pixels)
            if len(decoded) % BLOCK == 0 or len(decoded) == len(images):
                progress(f"reading {files.root.name}", len(decoded) / len(images))
    finally:
        pool.shutdown(cancel_futures=True)
    return _stacked(decoded)


def _size(pixels: np.ndarray) -> str:
    return f"{pixels.shape[1]}x{pixels.shape[0]}"


def _stacked(decoded: list[np.ndarray]) -> UInt8[Tensor, "N C H W"]:
    channels = max(pixels.shape[2] for pixels in decoded)
    stacked = np.empty((len(decoded), channels, *decoded[0].shape[:2]), np.uint8)
    for row, pixels in zip(stacked, decoded, strict=True):
        row[:] = np.moveaxis(pixels, 2, 0)  # one grey channel fills three
    return torch.from_numpy(stacked)


def _decode(files: Files, parts: PathParts) -> UInt8[np.ndarray, "H W C"]:
    bombs = (Image.DecompressionBombError, Image.DecompressionBombWarning)
    try:
        with Image.open(io.BytesIO(files.read(parts)), formats=sorted(set(FORMATS.values()))) as image:
            return _array(image)
    except (UnreadableImageError, *bombs) as error:
        why = (
            str(error)
            if isinstance(error, UnreadableImageError)
            else f"is far over the limit of {PIXEL_LIMIT:,} pixels; make the images smaller"
        )
        raise VaebenchError(f"{files.name(parts)} {why}") from error
    except Exception as error:  # Pillow and zipfile raise a dozen kinds on damaged files
        raise VaebenchError(f"{files.name(parts)} cannot be read as an image; mend or remove it") from error


def _array(image: Image.Image) -> UInt8[np.ndarray, "H W C"]:
    if image.width * image.height > PIXEL_LIMIT:
        raise UnreadableImageError(
            f"is {image.width}x{image.height}, over the limit of {PIXEL_LIMIT:,} pixels; make the images smaller"
        )
    if image.mode.startswith(("I", "F")):
        raise UnreadableImageError(f"has pixels of more than 8 bits (Pillow's mode {image.mode}); convert it to 8 bits")
    grey = image.mode in ("1", "L", "LA", "La")
    if image.has_transparency_data:
        above = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", above.size, (0, 0, 0, 255)), above).convert("RGB")
    array = np.asarray(image.convert("L" if grey else "RGB"))
    return array[..., None] if grey else array
