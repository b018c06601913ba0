"""Collection: a folder, zip or npz of images of which some are labelled, read once into blocks on the disk."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
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
from vaebench.data.images import HIDDEN, Images, Progress
from vaebench.data.label_files import FileLabels, folder_labels, read_labels
from vaebench.data.listing import Files, PathParts, UnreadableImageError, list_folder, open_reader, open_zip, title_of
from vaebench.data.npz import read_partly_labelled_npz
from vaebench.data.photos import PreprocessingRule, size_for, survey, thumbnail
from vaebench.data.pixel_store import read_pixels, write_pixels

DEPTH = 20
"""Folders deeper than this are not looked into."""
LEAST_IMAGES = 10
LISTED = 10_000
"""Files between two signs of life, before the first is opened."""


@dataclass(frozen=True)
class Collection:
    """All images that could be read, and the labels of a few."""

    source: Path
    title: str
    names: tuple[str, ...]
    images: Images
    """Every label hidden; the pixels stay on the disk."""
    rule: PreprocessingRule
    classes: tuple[str, ...]
    rows: Int[Tensor, " M"]
    """Of the labelled images, rising."""
    labels: Int[Tensor, " M"]
    """Theirs, as numbers of classes."""
    skipped: dict[str, str]
    """Why, by name."""
    notes: dict[str, int]
    """How many images have each peculiarity."""
    warnings: tuple[str, ...]
    others: int = 0
    """Files that are no images by their names."""
    store: Path | None = None
    """The file that the pixels lie in; None where they are in memory."""

    def __repr__(self) -> str:
        return (
            f"Collection({self.title!r}: {len(self.names):,} images, {len(self.rows):,} labelled in "
            f"{len(self.classes)} classes, {len(self.skipped):,} skipped)"
        )

    @property
    def counts(self) -> list[int]:
        """Labels of each class."""
        return torch.bincount(self.labels, minlength=len(self.classes)).tolist()

    @property
    def unlabelled(self) -> Int[Tensor, " U"]:
        """Rows of the images without a label."""
        hidden = torch.ones(len(self.names), dtype=torch.bool)
        hidden[self.rows] = False
        return torch.nonzero(hidden)[:, 0]

    def thumbnails(self, rows: Sequence[int], side: int = 96) -> list[Image.Image]:
        """Images for a person to look at, from their own files where these can still be read."""
        if self.source.suffix.lower() == ".npz":
            return [self._enlarged(row, side) for row in rows]
        found = []
        for row in rows:
            image = None
            with suppress(UnreadableImageError, KeyError):
                image = thumbnail(self._bytes, PurePosixPath(self.names[row]).parts, side, self.rule.white)
            found.append(image or self._enlarged(row, side))
        return found

    @cached_property
    def _bytes(self) -> Callable[[PathParts], bytes]:
        return open_reader(self.source)

    def _enlarged(self, row: int, side: int) -> Image.Image:
        array = np.moveaxis(self.images.pixels[row].numpy(), 0, 2)
        image = Image.fromarray(array[..., 0] if array.shape[2] == 1 else array).convert("RGB")
        scale = max(1, side // max(image.size))
        return image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)


@contextmanager
def opened(path: Path) -> Iterator[Files]:
    """The image files of a folder or zip.

    Raises:
        VaebenchError: no such path, no image, or neither folder nor zip.
    """
    if path.is_dir():
        yield list_folder(path, DEPTH)
    elif path.suffix.lower() == ".zip" and path.exists():
        with open_zip(path) as files:
            yield files
    elif path.exists():
        raise VaebenchError(f"{path} is neither a folder nor a .zip; expected one of these, of image files")
    else:
        raise VaebenchError(f"{path} does not exist; expected a folder or a .zip of image files")


def collect(path: Path, labels: Sequence[Path], side: int | None, folder: Path, progress: Progress) -> Collection:
    """Read all images that can be read into ``folder``, or what an earlier call left there, and find the labels.

    Args:
        path: a folder or zip of images, or an npz of ``x_train`` and ``y_train`` with -1 for no label.
        labels: CSV files; none takes class folders beside ``unlabelled``.
        side: of the squares that images are brought to; none takes their own size where all are alike and small.
        folder: where the pixels are kept.

    Raises:
        VaebenchError: nothing to read, bad labels, fewer than two classes or than ten images.
    """
    if path.suffix.lower() == ".npz" and path.is_file():
        return _of_arrays(path, labels, side, folder)
    progress(f"listing {title_of(path)}", 0.0)
    with opened(path) as files:
        kept = _read(files, side, folder, progress)
        names = tuple(kept["names"])
        _check_enough(path, names, kept["skipped"])
        given = read_labels(labels, names, files.title) if labels else folder_labels(files)
        return _collected(path, files, kept, names, given)


def _collected(path: Path, files: Files, kept: dict[str, Any], names: tuple[str, ...], given: FileLabels) -> Collection:
    row = {name: index for index, name in enumerate(names)}
    found = {row[name]: label for name, label in given.labels.items() if name in row}
    classes = tuple(sorted(set(found.values())))
    _check_classes(path, classes)
    rows = sorted(found)
    pixels = torch.from_numpy(read_pixels(Path(kept["pixels"])))
    return Collection(
        source=path,
        title=files.title,
        names=names,
        images=Images(pixels, torch.full((len(names),), HIDDEN), classes),
        rule=PreprocessingRule(**kept["rule"]),
        classes=classes,
        rows=torch.tensor(rows),
        labels=torch.tensor([classes.index(found[index]) for index in rows]),
        skipped=kept["skipped"],
        notes=kept["notes"],
        warnings=given.warnings,
        others=files.others,
        store=Path(kept["pixels"]),
    )


def _read(files: Files, side: int | None, folder: Path, progress: Progress) -> dict[str, Any]:
    """Names, rule and pixels of what can be read; read again only where files have changed."""
    identity = {"files": _fingerprint(files, progress), "side": side}
    record, pixels = folder / "images.json", folder / "pixels.npy"
    if record.exists() and pixels.exists():
        kept: dict[str, Any] = read_json(record)
        if kept["identity"] == identity:
            return kept | {"pixels": str(pixels)}
    record.unlink(missing_ok=True)
    seen = _surveyed(files, side, folder / "survey.json", identity, progress)
    images = [parts for parts in files.images if "/".join(parts) not in seen["skipped"]]
    names, damaged = write_pixels(
        files, images, PreprocessingRule(**seen["rule"]), pixels, progress, str(identity["files"])
    )
    kept = {**seen, "names": names, "skipped": seen["skipped"] | damaged}
    write_text(record, json.dumps(kept))  # ASCII: names on a disk need not be Unicode
    (folder / "survey.json").unlink()
    return kept | {"pixels": str(pixels)}


def _surveyed(
    files: Files, side: int | None, record: Path, identity: dict[str, Any], progress: Progress
) -> dict[str, Any]:
    """Rule, peculiarities and what cannot be opened; what an earlier call found, if files are the same."""
    if record.exists():
        kept: dict[str, Any] = read_json(record)
        if kept["identity"] == identity:
            return kept
    seen = survey(files, progress)
    if not seen.images:
        reasons = Counter(seen.skipped.values())
        raise VaebenchError(f"{files.root}: none of its {len(files.images):,} images can be read; {_most(reasons)}")
    rule = seen.rule(side).model_dump()
    found = {"identity": identity, "rule": rule, "skipped": seen.skipped, "notes": seen.notes}
    write_text(record, json.dumps(found))
    return found


def _fingerprint(files: Files, progress: Progress) -> str:
    digest = hashlib.blake2b(str(files.root.resolve()).encode(errors="surrogateescape"), digest_size=16)
    for count, parts in enumerate(files.images):
        if count % LISTED == 0:
            progress(f"listing {files.title}", count / len(files.images))
        try:
            stamp = files.stamp(parts)
        except OSError:
            stamp = (-1, -1)
        digest.update(repr((parts, stamp)).encode(errors="surrogateescape"))
    return digest.hexdigest()


def _of_arrays(path: Path, labels: Sequence[Path], side: int | None, folder: Path) -> Collection:
    if labels:
        raise VaebenchError(f"{path} holds its own labels in y_train; leave --labels out, or give the images as files")
    images = read_partly_labelled_npz(path)
    channels, height, width = images.shape
    across, down = size_for([(width, height)], side)
    rule = PreprocessingRule(height=down, width=across, channels=channels)
    if (width, height) != (across, down):
        pictures = (np.moveaxis(one, 0, 2) for one in images.pixels.numpy())
        resized = [rule.pixels(Image.fromarray(one[..., 0] if channels == 1 else one)) for one in pictures]
        images = Images(torch.from_numpy(np.stack(resized)), images.labels, images.classes)
    names = tuple(map(str, range(len(images))))
    _check_enough(path, names, {})
    _check_classes(path, images.classes)
    rows = torch.nonzero(images.labels != HIDDEN)[:, 0]
    hidden = images.without_labels()
    return Collection(path, path.stem, names, hidden, rule, images.classes, rows, images.labels[rows], {}, {}, ())


def _check_enough(path: Path, names: Sequence[str], skipped: dict[str, str]) -> None:
    if len(names) < LEAST_IMAGES:
        also = f" ({len(skipped):,} more cannot be read: {_most(Counter(skipped.values()))})" if skipped else ""
        raise VaebenchError(f"{path} has {len(names)} images that can be read{also}; expected at least {LEAST_IMAGES}")


def _check_classes(path: Path, classes: Sequence[str]) -> None:
    if len(classes) < 2:
        found = f"the class {classes[0]!r} alone" if classes else "no class"
        raise VaebenchError(f"{path}: the labels name {found}; expected at least 2: label some images of another class")


def _most(reasons: Counter[str]) -> str:
    reason, count = reasons.most_common(1)[0]
    return f"{count:,} of them: {reason}"
