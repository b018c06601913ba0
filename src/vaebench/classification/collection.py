"""Collection: the images of a folder, zip or npz with labels for some; pixels are preprocessed once and stored."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from PIL import Image
from torch import Tensor

from vaebench.core.errors import VaebenchError
from vaebench.core.files import read_json, write_text
from vaebench.data.blocks import read_pixels, write_pixels
from vaebench.data.images import HIDDEN, Images, Progress
from vaebench.data.label_files import FileLabels, folder_labels, read_labels
from vaebench.data.listing import Files, PathParts, open_files, open_reader, title_of
from vaebench.data.npz import read_partly_labelled_npz
from vaebench.data.photos import PreprocessingRule, enlarge, rule_for, survey, thumbnail, to_image
from vaebench.deprecated import renamed_attribute

MIN_IMAGES = 10
FILES_PER_EVENT = 10_000
"""Files between two progress events while files are listed."""


@dataclass(frozen=True)
class Collection:
    """All readable images, with labels for some of them."""

    source: Path
    title: str
    names: tuple[str, ...]
    images: Images
    """Images without labels; the pixels are memory-mapped."""
    rule: PreprocessingRule
    classes: tuple[str, ...]
    labelled_rows: Int[Tensor, " M"]
    """Rows of the labelled images, ascending."""
    labels: Int[Tensor, " M"]
    """Class indices of ``labelled_rows``."""
    skipped: dict[str, str]
    """Reason by name for each image file that cannot be read."""
    notes: dict[str, int]
    """Number of images by property, such as more than 8 bits."""
    warnings: tuple[str, ...]
    other_files: int = 0
    """Number of files without the suffix of an image format."""
    pixel_file: Path | None = None
    """File of the pixels; None where they are in memory."""

    def __repr__(self) -> str:
        return (
            f"Collection({self.title!r}: {len(self.names):,} images, {len(self.labelled_rows):,} labelled in "
            f"{len(self.classes)} classes, {len(self.skipped):,} skipped)"
        )

    @property
    def label_counts(self) -> list[int]:
        """Number of labels of each class."""
        return torch.bincount(self.labels, minlength=len(self.classes)).tolist()

    @property
    def unlabelled_rows(self) -> Int[Tensor, " U"]:
        """Rows of the images without a label."""
        unlabelled = torch.ones(len(self.names), dtype=torch.bool)
        unlabelled[self.labelled_rows] = False
        return torch.nonzero(unlabelled)[:, 0]

    rows = renamed_attribute("rows", "labelled_rows")
    unlabelled = renamed_attribute("unlabelled", "unlabelled_rows")

    def thumbnails(self, rows: Sequence[int], side: int = 96) -> list[Image.Image]:
        """Thumbnails from the image files; from the preprocessed pixels where a file can no longer be read."""
        if self.source.suffix.lower() == ".npz":
            return [self._enlarge(row, side) for row in rows]
        parts = [PurePosixPath(self.names[row]).parts for row in rows]
        images = (thumbnail(self._read_file, each, side, self.rule.white) for each in parts)
        return [image or self._enlarge(row, side) for row, image in zip(rows, images, strict=True)]

    @cached_property
    def _read_file(self) -> Callable[[PathParts], bytes]:
        return open_reader(self.source)

    def _enlarge(self, row: int, side: int) -> Image.Image:
        return enlarge(to_image(self.images.pixels[row].numpy()).convert("RGB"), side)


def collect(path: Path, labels: Sequence[Path], side: int | None, folder: Path, progress: Progress) -> Collection:
    """Read the images and labels; pixels that an earlier call stored in ``folder`` are reused if no file has changed.

    Args:
        path: a folder or zip of images, or an npz of ``x_train`` and ``y_train`` with -1 for no label.
        labels: CSV files; without any, labels are the names of class folders beside ``unlabelled``.
        side: side in pixels of the square that images are scaled to; None keeps their size where all have the same
            small one.
        folder: where the pixels are stored.
        progress: receives the current task and the completed fraction in [0, 1].

    Raises:
        VaebenchError: nothing can be read, labels are invalid, or there are fewer than two classes or ten images.
    """
    if path.suffix.lower() == ".npz" and path.is_file():
        return _collect_npz(path, labels, side)
    progress(f"listing {title_of(path)}", 0.0)
    with open_files(path) as files:
        record = _read_images(files, side, folder, progress)
        names = tuple(record["names"])
        _check_enough(path, names, record["skipped"])
        file_labels = read_labels(labels, names, files.title) if labels else folder_labels(files)
        return _labelled_collection(path, files, record, file_labels)


def _labelled_collection(path: Path, files: Files, record: dict[str, Any], file_labels: FileLabels) -> Collection:
    names = tuple(record["names"])
    labels = {row: file_labels.labels[name] for row, name in enumerate(names) if name in file_labels.labels}
    classes = tuple(sorted(set(labels.values())))
    _check_classes(path, classes)
    pixels = torch.from_numpy(read_pixels(Path(record["pixels"])))
    return Collection(
        source=path,
        title=files.title,
        names=names,
        images=Images(pixels, torch.full((len(names),), HIDDEN), classes),
        rule=PreprocessingRule(**record["rule"]),
        classes=classes,
        labelled_rows=torch.tensor(list(labels)),
        labels=torch.tensor([classes.index(label) for label in labels.values()]),
        skipped=record["skipped"],
        notes=record["notes"],
        warnings=file_labels.warnings,
        other_files=files.others,
        pixel_file=Path(record["pixels"]),
    )


def _read_images(files: Files, side: int | None, folder: Path, progress: Progress) -> dict[str, Any]:
    """Preprocess all readable images unless this is done already; the record with names, rule and pixel file."""
    identity = {"files": _fingerprint(files, progress), "side": side}
    record_file, survey_file, pixels = folder / "images.json", folder / "survey.json", folder / "pixels.npy"

    def read() -> dict[str, Any]:
        record_file.unlink(missing_ok=True)
        record = _stored(survey_file, identity, lambda: _survey(files, side, progress))
        readable = replace(files, images=tuple(p for p in files.images if "/".join(p) not in record["skipped"]))
        rule = PreprocessingRule(**record["rule"])
        names, damaged = write_pixels(readable, rule, pixels, progress, str(identity["files"]))
        return {**record, "names": names, "skipped": record["skipped"] | damaged}

    if not pixels.exists():
        record_file.unlink(missing_ok=True)
    record = _stored(record_file, identity, read)
    survey_file.unlink(missing_ok=True)
    return record | {"pixels": str(pixels)}


def _stored(path: Path, identity: dict[str, Any], compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The record in a file if it has this identity, else that of ``compute()``, which is stored."""
    record: dict[str, Any] | None = read_json(path) if path.exists() else None
    if not record or record["identity"] != identity:
        record = {"identity": identity} | compute()
        write_text(path, json.dumps(record))  # ASCII: file names need not be valid Unicode
    return record


def _survey(files: Files, side: int | None, progress: Progress) -> dict[str, Any]:
    """Preprocessing rule, notes and unreadable files."""
    seen = survey(files, progress)
    if not seen.images:
        reasons = Counter(seen.skipped.values())
        raise VaebenchError(
            f"{files.root}: none of its {len(files.images):,} images can be read; {_most_common(reasons)}"
        )
    return {"rule": seen.rule(side).model_dump(), "skipped": seen.skipped, "notes": seen.notes}


def _fingerprint(files: Files, progress: Progress) -> str:
    digest = hashlib.blake2b(str(files.root.resolve()).encode(errors="surrogateescape"), digest_size=16)
    for count, parts in enumerate(files.images):
        if count % FILES_PER_EVENT == 0:
            progress(f"listing {files.title}", count / len(files.images))
        try:
            stamp = files.stamp(parts)
        except OSError:
            stamp = (-1, -1)
        digest.update(repr((parts, stamp)).encode(errors="surrogateescape"))
    return digest.hexdigest()


def _collect_npz(path: Path, labels: Sequence[Path], side: int | None) -> Collection:
    if labels:
        raise VaebenchError(f"{path} contains labels in y_train; omit --labels, or provide the images as files")
    images = read_partly_labelled_npz(path)
    channels, height, width = images.shape
    rule = rule_for([(width, height)], side, channels)
    if (height, width) != (rule.height, rule.width):
        resized = [rule.pixels(to_image(pixels)) for pixels in images.pixels.numpy()]
        images = Images(torch.from_numpy(np.stack(resized)), images.labels, images.classes)
    names = tuple(map(str, range(len(images))))
    _check_enough(path, names, {})
    _check_classes(path, images.classes)
    rows = torch.nonzero(images.labels != HIDDEN)[:, 0]
    unlabelled = images.without_labels()
    return Collection(path, path.stem, names, unlabelled, rule, images.classes, rows, images.labels[rows], {}, {}, ())


def _check_enough(path: Path, names: Sequence[str], skipped: dict[str, str]) -> None:
    if len(names) < MIN_IMAGES:
        also = f" ({len(skipped):,} more cannot be read: {_most_common(Counter(skipped.values()))})" if skipped else ""
        raise VaebenchError(f"{path} has {len(names)} readable images{also}; expected at least {MIN_IMAGES}")


def _check_classes(path: Path, classes: Sequence[str]) -> None:
    if len(classes) < 2:
        only = f"only the class {classes[0]!r}" if classes else "no class"
        raise VaebenchError(f"{path}: the labels name {only}; expected at least 2: label images of another class")


def _most_common(reasons: Counter[str]) -> str:
    reason, count = reasons.most_common(1)[0]
    return f"{count:,} of them: {reason}"
