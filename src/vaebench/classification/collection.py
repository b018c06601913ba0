"""Collection: images of any source with labels for some; pixels are preprocessed once and stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from PIL import Image
from torch import Tensor

from vaebench.classification.image_store import label_warnings, read_images
from vaebench.core.errors import VaebenchError
from vaebench.data.blocks import read_pixels
from vaebench.data.checks.label_checks import ALIKE
from vaebench.data.image_set import ImageSet
from vaebench.data.images import HIDDEN, Dataset, Images, Progress
from vaebench.data.opening import NamedImages, open_images
from vaebench.data.pictures import enlarge, thumbnail
from vaebench.data.preprocessing import PreprocessingRule
from vaebench.data.reading import Reading
from vaebench.deprecated import renamed_attribute

MIN_IMAGES = 10


def default_folder(path: Path) -> Path:
    """Return the output folder of a classification of the images at ``path`` unless another is chosen."""
    return Path("runs") / f"classify-{path.resolve().stem}"


@dataclass(frozen=True)
class Collection:
    """All readable images, with labels for some of them."""

    source: Path
    title: str
    names: tuple[str, ...]
    images: Images
    """Images without labels and classes, on which a VAE trained on them thus does not depend; the pixels are
    memory-mapped."""
    rule: PreprocessingRule
    classes: tuple[str, ...]
    labelled_rows: Int[Tensor, " M"]
    """Rows of the labelled images, ascending."""
    labels: Int[Tensor, " M"]
    """Class indices of ``labelled_rows``."""
    skipped: dict[str, str]
    """Reason by name for each image file that cannot be read."""
    warnings: tuple[str, ...]
    """Sentences about what was left out, guessed or scaled."""
    pixel_file: Path
    """File of the pixels."""
    reading: Reading
    test_rows: Int[Tensor, " T"]
    """Rows of the labelled images of the part "test", which no method is fitted to."""
    test_labels: Int[Tensor, " T"]
    """Their class indices."""

    def __repr__(self) -> str:
        return (
            f"Collection({self.title!r}: {len(self.names):,} images, {len(self.labelled_rows):,} labelled in "
            f"{len(self.classes)} classes, {len(self.skipped):,} skipped)"
        )

    @property
    def dataset(self) -> Dataset:
        """All images, as the training images of a data set."""
        empty = self.images.take(slice(0, 0))
        return Dataset(self.title, self.images, empty, empty)

    @property
    def given_labels(self) -> dict[str, str]:
        """Class by name of every labelled image, those of the part "test" among them, in the order of the rows."""
        rows, labels = torch.cat([self.labelled_rows, self.test_rows]), torch.cat([self.labels, self.test_labels])
        given = sorted(zip(rows.tolist(), labels.tolist(), strict=True))
        return {self.names[row]: self.classes[label] for row, label in given}

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

    @cached_property
    def _stored(self) -> NamedImages:
        return NamedImages(self.source, self.rule.projection)

    def thumbnails(self, rows: Sequence[int], side: int = 96) -> list[Image.Image]:
        """Thumbnails from the stored images; from the preprocessed pixels where one can no longer be read."""
        names = [self.names[row] for row in rows]
        try:
            images = self._stored.select(names)
            stored = [thumbnail(images, row, self.rule, side) for row in range(len(names))]
        except VaebenchError:
            stored = [None] * len(names)
        return [
            image or enlarge(self.images.pixels[row].numpy(), side) for row, image in zip(rows, stored, strict=True)
        ]


def collect(path: Path, reading: Reading, folder: Path, progress: Progress) -> Collection:
    """Read the images and labels; pixels that an earlier call stored in ``folder`` are reused if no file has changed.

    Labels of the part "test" are kept apart; those of all other parts are there to learn from.

    Args:
        path: anything that :func:`vaebench.data.opening.open_images` reads.
        reading: size and projection of the images, and tables of labels, which replace those of the images.
        folder: where the pixels are stored.
        progress: receives the current task and the completed fraction in [0, 1].

    Raises:
        VaebenchError: nothing can be read, labels are invalid, or there are fewer than ten images.
    """
    progress(f"listing {path.name}", 0.0)
    tables = [Path(table).expanduser() for table in reading.labels]
    with open_images(path, tables, reading.projection, reading.masks) as images:
        progress(f"listing {path.name}", 1.0)
        record = read_images(images, reading, folder, progress)
        _check_enough(path, record["names"], record["skipped"])
        return _labelled_collection(images, reading, record)


def _labelled_collection(images: ImageSet, reading: Reading, record: dict[str, Any]) -> Collection:
    names = tuple(record["names"])
    label_of = dict(zip(images.names, images.labels, strict=True)) if images.labels else {}
    part_of = dict(zip(images.names, images.parts, strict=True)) if images.parts else {}
    numbers = {name: number for number, name in enumerate(_used_classes(images, names, label_of))}
    labels = torch.tensor([numbers.get(label_of.get(name, ""), HIDDEN) for name in names])
    test = torch.tensor([part_of.get(name) == "test" for name in names])
    if not ((labels != HIDDEN) & ~test).any():
        test[:] = False
    known, kept_apart = (torch.nonzero(rows)[:, 0] for rows in ((labels != HIDDEN) & ~test, (labels != HIDDEN) & test))
    rule = PreprocessingRule(**record["rule"])
    pixels = torch.from_numpy(read_pixels(Path(record["pixels"])))
    return Collection(
        source=images.path,
        title=images.title,
        names=names,
        images=Images(pixels, torch.full((len(names),), HIDDEN), channel_names=rule.channel_names),
        rule=rule,
        classes=tuple(numbers),
        labelled_rows=known,
        labels=labels[known],
        skipped=record["skipped"],
        warnings=_warnings(images, record),
        pixel_file=Path(record["pixels"]),
        reading=reading,
        test_rows=kept_apart,
        test_labels=labels[kept_apart],
    )


def _warnings(images: ImageSet, record: dict[str, Any]) -> tuple[str, ...]:
    """The warnings that a run on the same images shows, in the same order."""
    own = (sentence for sentence in images.warnings if ALIKE not in sentence)
    return (*own, *record["reading"], *label_warnings(images, record), *record["image_warnings"])


def _used_classes(images: ImageSet, names: Sequence[str], label_of: dict[str, str]) -> list[str]:
    """Classes that some readable image of a part other than test has."""
    used = {label_of.get(name, "") for name in names}
    return [name for name in images.classes if name in used]


def _check_enough(path: Path, names: Sequence[str], skipped: dict[str, str]) -> None:
    if len(names) < MIN_IMAGES:
        also = f" ({len(skipped):,} more cannot be read: {_most_common(Counter(skipped.values()))})" if skipped else ""
        raise VaebenchError(
            f"{path} has {len(names)} readable images{also}; expected at least {MIN_IMAGES}: add images"
        )


def _most_common(reasons: Counter[str]) -> str:
    reason, count = reasons.most_common(1)[0]
    return f"{count:,} of them: {reason}"
