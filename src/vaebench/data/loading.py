"""load_images: the images at a path, read into memory by one preprocessing rule, in their parts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from vaebench.core.errors import VaebenchError
from vaebench.data.checks.gathering import Preprocessed
from vaebench.data.checks.inspection import Inspection, inspect_pixels
from vaebench.data.checks.label_checks import ALIKE
from vaebench.data.decoding import LOSSY, suffix_of
from vaebench.data.image_set import ImageSet
from vaebench.data.images import HIDDEN, Images, Loaded, Progress, ignore_progress
from vaebench.data.opening import open_images
from vaebench.data.preprocessing import PreprocessingRule
from vaebench.data.reading import Reading, check_readable, count_images, describe_greyed, describe_reading
from vaebench.data.survey import choose_rule, map_rows, preprocessor, survey

MEMORY = 1 << 33
"""Bytes of pixels up to which images are read into memory."""


def load_images(path: Path, reading: Reading | None = None, progress: Progress = ignore_progress) -> Loaded:
    """Read all images at a path, as :func:`open_images` finds them and :func:`choose_rule` scales them.

    Images that cannot be read are left out, and so are those without a label where others have one; both are counted in
    ``warnings``.

    Raises:
        VaebenchError: no image can be read, or they need more memory than 8 GB.
    """
    reading = reading or Reading()
    tables = [Path(each).expanduser() for each in reading.labels]
    with open_images(path, tables, reading.projection, reading.masks) as images:
        seen = survey(images, progress)
        check_readable(path, seen.formats.total(), seen.skipped)
        rule = choose_rule(seen, reading.side, reading.projection)
        rows = [row for row in range(len(images)) if not images.labels or images.labels[row]]
        done, greyed = _read(images, rule, rows, progress)
        pixels, kept, damaged = done.pixels, list(done.rows), done.damaged
        check_readable(path, len(kept), seen.skipped | damaged)
        inspection = inspect_pixels(images, rule, seen, done, progress)
        said = (sentence for sentence in describe_reading(images, seen, rule, damaged) if ALIKE not in sentence)
        warnings = (*said, *describe_greyed(greyed), *inspection.further_warnings)
        if unlabelled := len(images) - len(rows):
            verb = "is" if unlabelled == 1 else "are"
            warnings += (f"{count_images(unlabelled)} without a label {verb} left out; vaebench classify uses them",)
        return _loaded(images, (rule, inspection), pixels, kept, warnings)


def _read(
    images: ImageSet, rule: PreprocessingRule, rows: Sequence[int], progress: Progress
) -> tuple[Preprocessed, list[str]]:
    """Return the pixels of the readable images, and the names of those in colour that became grey."""
    needed = len(rows) * int(np.prod(rule.shape)) * rule.dtype.itemsize
    if needed > MEMORY:
        raise VaebenchError(
            f"{images.path} has {len(rows):,} images of {rule.width} x {rule.height}, {needed / 1e9:.1f} GB of pixels; "
            "expected at most 8.6 GB: choose a smaller size"
        )
    pixels = np.empty((len(rows), *rule.shape), rule.dtype)
    kept: list[int] = []
    damaged: dict[str, str] = {}
    greyed: list[int] = []
    preprocess = preprocessor(images, rule, greyed)
    for row, result in map_rows(images, preprocess, rows, f"reading {images.title}", progress):
        if isinstance(result, str):
            damaged[images.names[row]] = result
        else:
            pixels[len(kept)] = result
            kept.append(row)
    return Preprocessed(pixels[: len(kept)], kept, damaged), [images.names[row] for row in sorted(greyed)]


def _loaded(
    images: ImageSet,
    how: tuple[PreprocessingRule, Inspection],
    pixels: np.ndarray,
    kept: list[int],
    warnings: tuple[str, ...],
) -> Loaded:
    rule, inspection = how
    numbers = {name: number for number, name in enumerate(images.classes)}
    labels = [numbers.get(images.labels[row], HIDDEN) if images.labels else HIDDEN for row in kept]
    whole = Images(torch.from_numpy(pixels), torch.tensor(labels), images.classes, channel_names=rule.channel_names)
    parts = np.array([images.parts[row] or "train" for row in kept] if images.parts else ["train"] * len(kept))
    subsets = {part: whole.take(torch.from_numpy(np.flatnonzero(parts == part))) for part in dict.fromkeys(parts)}
    if "train" not in subsets:
        raise VaebenchError(f"{images.path} has no readable labelled image to train with, only X")
    lossy = any(suffix_of(images.names[row]) in LOSSY for row in kept)
    return Loaded(
        name=images.title,
        train=subsets["train"],
        test=subsets.get("test"),
        validation=subsets.get("validation"),
        note="read from JPEG files, which are lossy" if lossy else "",
        rule=rule,
        warnings=warnings,
        inspection=inspection,
        factors=None if images.factors is None else images.factors[kept],
    )
