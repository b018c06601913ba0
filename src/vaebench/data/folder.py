"""Reader of the user's own image files: a folder or zip with class folders, or with unlabelled images."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from itertools import chain
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from vaebench.core.errors import VaebenchError
from vaebench.data.images import HIDDEN, Images, Loaded, Progress, ignore_progress
from vaebench.data.listing import FORMATS, Files, PathParts, UnreadableImageError, open_files, outer_folders, printable
from vaebench.data.photos import GREY_MODES, channels_first, map_images, on_black


def read_images(path: Path, progress: Progress = ignore_progress) -> Loaded:
    """Read images in class folders, optionally below ``train/`` and ``test/``, or unlabelled images in one folder.

    ``path`` is a folder, or a zip, which is not unpacked and whose names are not used as paths. Grey images have one
    channel; if any image is in colour, all have three. Transparent parts become black. Outer folders are skipped, as
    are hidden files and files of other types.

    Raises:
        VaebenchError: no image, an empty class folder, another arrangement of folders, or an image that cannot be
            read, is too large, or differs in size from the first; each message names the file.
    """
    with open_files(path, 5) as files:  # outer folders, train or test, class, and one more to detect nested ones
        return _load(files, progress)


def _load(files: Files, progress: Progress) -> Loaded:
    outer = outer_folders(files)
    below = {parts[len(outer)] for parts in (*files.images, *files.folders) if len(parts) > len(outer)}
    roots = [outer]
    if {"train", "test"} <= below:
        if others := below - {"train", "test"}:
            raise VaebenchError(
                f"{files.name((*outer, min(others)))} is beside train and test; expected only these two: "
                "move its images into one of them or elsewhere"
            )
        roots = [(*outer, "train"), (*outer, "test")]
    classes = _classes(files, roots[0])
    if len(roots) > 1:
        _check_classes(files, roots[1], classes)
    subsets = [[parts for parts in files.images if parts[: len(root)] == root] for root in roots]
    images, train_size = tuple(chain(*subsets)), len(subsets[0])
    pixels = _read_pixels(replace(files, images=images), progress)
    number = {name: label for label, name in enumerate(classes)}
    labels = torch.tensor([number.get(parts[len(roots[0])], HIDDEN) for parts in images])
    whole = Images(pixels, labels, tuple(map(printable, classes)))
    lossy = any(FORMATS[PurePosixPath(image[-1]).suffix.lower()] == "JPEG" for image in files.images)
    return Loaded(
        name=files.title,
        train=whole.take(slice(0, train_size)),
        test=whole.take(slice(train_size, None)) if len(subsets) > 1 else None,
        note="read from JPEG files, which are lossy" if lossy else "",
    )


def _classes(files: Files, root: PathParts) -> tuple[str, ...]:
    """Return the sorted names of the class folders in ``root``; none if it directly contains all of its images."""
    depth = len(root)
    images = [parts for parts in files.images if parts[:depth] == root]
    direct = [parts for parts in images if len(parts) == depth + 1]
    if images and len(direct) == len(images):
        return ()
    if direct:
        raise VaebenchError(
            f"{files.name(direct[0])} is beside class folders; move it into one of them, or all images into one folder"
        )
    nested = next((parts for parts in images if len(parts) > depth + 2), None)
    if nested:
        raise VaebenchError(f"{files.name(nested)} is nested below a class folder; expected CLASS/IMAGE: move it up")
    classes = {parts[depth] for parts in images}
    for folder in sorted(parts for parts in files.folders if parts[:depth] == root and len(parts) == depth + 1):
        if folder[depth] not in classes:
            raise VaebenchError(
                f"the class folder {files.name(folder)} contains no image; add some or remove the folder"
            )
    if not classes:
        raise VaebenchError(f"{files.name(root)} contains no image; add some or remove the folder")
    return tuple(sorted(classes))


def _check_classes(files: Files, root: PathParts, classes: tuple[str, ...]) -> None:
    """Check that ``root``, the folder of test images, has no other classes than those of train."""
    names = _classes(files, root)
    unknown = next((name for name in names if name not in classes), None)
    if unknown is not None or (classes and not names):
        problem = f"class {unknown!r}, which train lacks" if unknown is not None else "no class folders, unlike train"
        raise VaebenchError(
            f"{files.name(root)} has {problem}; expected the classes of train: {', '.join(classes) or 'none'}"
        )


def _read_pixels(files: Files, progress: Progress) -> UInt8[Tensor, "N C H W"]:
    decoded: list[np.ndarray] = []
    task = f"reading {files.root.name}"
    with closing(map_images(files, _decode, task, progress, pixel_limit=1024 * 1024)) as results:
        for parts, pixels in results:
            if isinstance(pixels, str):
                advice = "" if ";" in pixels else "; repair, shrink or remove it"
                raise VaebenchError(f"{files.name(parts)} {pixels}{advice}")
            decoded.append(pixels)
            if pixels.shape[1:] != decoded[0].shape[1:]:
                raise VaebenchError(
                    f"{files.name(parts)} is {_size(pixels)} but {files.name(files.images[0])} is {_size(decoded[0])} "
                    "(width x height); all images must have one size: resize or crop them"
                )
    shape = max(len(pixels) for pixels in decoded), *decoded[0].shape[1:]
    return torch.from_numpy(np.stack([np.broadcast_to(pixels, shape) for pixels in decoded]))  # grey to three channels


def _size(pixels: UInt8[np.ndarray, "C H W"]) -> str:
    return f"{pixels.shape[2]}x{pixels.shape[1]}"


def _decode(image: Image.Image) -> UInt8[np.ndarray, "C H W"]:
    if image.mode.startswith(("I", "F")):
        raise UnreadableImageError(f"has more than 8 bits per pixel (Pillow's mode {image.mode}); convert it to 8 bits")
    return channels_first(on_black(image).convert("L" if image.mode in GREY_MODES else "RGB"))
