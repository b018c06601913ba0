"""In-memory images, batch sources, stratified splits and balanced draws of labels."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from vaebench.core.errors import VaebenchError
from vaebench.core.steps import content_key

HIDDEN = -1
"""Label of an image whose label is unknown or withheld."""
CHUNK = 10_000
"""Number of images hashed or binarised at a time, because the pixels may be memory-mapped."""

Progress = Callable[[str, float], None]
"""Progress callback: receives the current task and its completed fraction in [0, 1]."""


def ignore_progress(task: str, fraction: float) -> None:
    """Progress callback that does nothing."""


@dataclass(frozen=True)
class Batch:
    """Input of an objective: ``x`` in [0, 1] (or features) and ``labels``, -1 where unlabelled."""

    x: Float[Tensor, "B ..."]
    labels: Int[Tensor, " B"]

    def to(self, device: torch.device | str | None) -> Batch:
        """Return this batch on ``device``."""
        return Batch(self.x.to(device), self.labels.to(device))


@runtime_checkable
class Source(Protocol):
    """Collection of images that batches are drawn from."""

    def __len__(self) -> int: ...

    def batch(self, rows: Int[Tensor, " B"]) -> Batch:
        """Return the batch of these rows."""
        ...


@runtime_checkable
class OrderedSource(Protocol):
    """Source that defines the order in which an epoch reads it."""

    def order(self, seed: Sequence[int]) -> Iterable[Int[np.ndarray, " M"]]:
        """Yield arrays of rows that hold every row once, in a random order determined by ``seed``."""
        ...


@dataclass(frozen=True)
class Images:
    """8-bit pixels (N, C, H, W), their labels (N,) and the class names (Y).

    A :class:`Source`: batches are selected and scaled to [0, 1] on the device of the pixels.
    """

    pixels: UInt8[Tensor, "N C H W"]
    labels: Int[Tensor, " N"]
    classes: tuple[str, ...] = ()
    white_probability: UInt8[Tensor, "N C H W"] | None = None
    """For binarised images, the original grey values: 255 times the probability that a pixel is white."""

    def __len__(self) -> int:
        return len(self.pixels)

    def __repr__(self) -> str:
        n, c, h, w = self.pixels.shape
        labelled = int((self.labels != HIDDEN).sum())
        return f"Images({n:,} of {c}x{h}x{w}, {labelled:,} labelled, {len(self.classes)} classes)"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        c, h, w = self.pixels.shape[1:]
        return c, h, w

    @property
    def labelled(self) -> bool:
        """Whether every image has a label."""
        return bool(self.classes) and bool((self.labels != HIDDEN).all())

    def with_labels(self, labels: Int[Tensor, " N"]) -> Images:
        """Return these images with other labels."""
        return replace(self, labels=labels)

    def without_labels(self) -> Images:
        """Return these images with every label set to -1."""
        return replace(self, labels=torch.full_like(self.labels, HIDDEN))

    def batch(self, rows: Int[Tensor, " B"]) -> Batch:
        """Return the batch of these rows, pixels divided by 255."""
        pixels = self.pixels.index_select(0, rows.to(self.pixels.device))  # much faster than pixels[rows]
        return Batch(pixels.to(torch.get_default_dtype()).div_(255), self.labels[rows])

    def take(self, rows: Int[Tensor, " M"] | slice) -> Images:
        """Return the images of these rows."""
        return self._map(lambda tensor: tensor[rows])

    def to(self, device: torch.device | str) -> Images:
        """Return these images on ``device``."""
        return self._map(lambda tensor: tensor.to(device))

    def _map(self, function: Callable[[Tensor], Tensor]) -> Images:
        probability = None if self.white_probability is None else function(self.white_probability)
        pixels, labels = function(self.pixels), function(self.labels)
        return replace(self, pixels=pixels, labels=labels, white_probability=probability)

    def binarised(self, generator: torch.Generator) -> Images:
        """Return black and white images sampled once, each pixel white with probability grey value / 255."""
        sampled = [torch.bernoulli(chunk.float() / 255, generator=generator) for chunk in self.pixels.split(CHUNK)]
        return replace(self, pixels=torch.cat(sampled).mul(255).to(torch.uint8), white_probability=self.pixels)

    @property
    def training_source(self) -> Source:
        """Source for training: these images, or for binarised images a source that resamples at each visit."""
        return self if self.white_probability is None else ResampledBinary(self)

    def fingerprint(self) -> str:
        """Return a hash of pixels, labels and class names, which detects resuming a run on other data."""
        digest = hashlib.blake2b(repr((tuple(self.pixels.shape), self.classes)).encode(), digest_size=16)
        for chunk in self.pixels.split(CHUNK):
            digest.update(chunk.numpy().tobytes())
        digest.update(self.labels.numpy().tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class ResampledBinary:
    """Binarised images that are resampled in every batch, with torch's global generator."""

    images: Images

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, rows: Int[Tensor, " B"]) -> Batch:
        """Return newly sampled pixels, 0 or 1."""
        assert self.images.white_probability is not None
        probability = self.images.white_probability[rows].to(torch.get_default_dtype()).div_(255)
        return Batch(torch.bernoulli(probability), self.images.labels[rows])


@dataclass(frozen=True)
class UnlabelledSource:
    """Source whose labels are all -1."""

    source: Source

    def __len__(self) -> int:
        return len(self.source)

    def batch(self, rows: Int[Tensor, " B"]) -> Batch:
        """Return the batch of these rows without labels."""
        batch = self.source.batch(rows)
        return Batch(batch.x, torch.full_like(batch.labels, HIDDEN))


@dataclass(frozen=True)
class MixedSource:
    """Source of batches that start with labelled images and continue with unlabelled ones.

    An epoch covers the unlabelled images; its order also selects the labelled ones.
    """

    labelled: Source
    unlabelled: Source
    labelled_per_batch: int
    """Number of labelled images per batch; at most half of a batch is labelled."""

    def __len__(self) -> int:
        return len(self.unlabelled)

    def batch(self, rows: Int[Tensor, " B"]) -> Batch:
        """Return a batch of ``len(rows)`` images, the first of them labelled."""
        few = min(self.labelled_per_batch, len(rows) // 2)
        labelled, unlabelled = self.labelled.batch(rows[:few] % len(self.labelled)), self.unlabelled.batch(rows[few:])
        return Batch(torch.cat([labelled.x, unlabelled.x]), torch.cat([labelled.labels, unlabelled.labels]))


@dataclass(frozen=True)
class Loaded:
    """Images as read from their source; ``test`` is None where the source has no test set."""

    name: str
    train: Images
    test: Images | None = None
    note: str = ""
    """Remark on the data that figures and pages must show, such as a lossy file format."""


@dataclass(frozen=True)
class Dataset:
    """Named data set with disjoint training, validation and test sets."""

    name: str
    train: Images
    validation: Images
    test: Images
    note: str = ""
    """Remark on the data that figures and pages must show, such as a lossy file format."""

    def __repr__(self) -> str:
        return (
            f"Dataset({self.name}: {self.train!r} to train, {len(self.validation):,} to validate, "
            f"{len(self.test):,} to test)"
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; empty for unlabelled data."""
        return self.train.classes

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the images, labels and split."""
        return content_key([part.fingerprint() for part in (self.train, self.validation, self.test)])

    @property
    def labelled(self) -> bool:
        """Whether every image has a label."""
        return self.train.labelled and self.validation.labelled and self.test.labelled


def split(images: Images, fraction: float, seed: int) -> tuple[Images, Images]:
    """Split into two disjoint sets, stratified by class; the second holds ``fraction`` of the images.

    The result depends on the arguments alone. Every class keeps at least one image in each set.

    Raises:
        VaebenchError: a class has fewer than two images.
    """
    order = np.random.default_rng(seed).permutation(len(images))
    labels = images.labels.numpy()[order]
    groups = [order[labels == label] for label in np.unique(labels)]
    for group in groups:
        if len(group) < 2:
            label = int(images.labels[int(group[0])])
            name = images.classes[label] if label != HIDDEN else "(all)"
            raise VaebenchError(
                f"class {name!r} has {len(group)} image; a split needs at least 2: add images or leave the class out"
            )
    second = [group[: min(max(1, round(fraction * len(group))), len(group) - 1)] for group in groups]
    first = [group[len(part) :] for group, part in zip(groups, second, strict=True)]
    first_part, second_part = (images.take(torch.from_numpy(np.sort(np.concatenate(rows)))) for rows in (first, second))
    return first_part, second_part


def balanced_draw(labels: Int[Tensor, " N"], per_class: int, seed: Sequence[int]) -> Int[Tensor, " M"]:
    """Return the sorted rows of ``per_class`` random images of each class; ``seed`` is (seed, draw).

    Raises:
        VaebenchError: a class has fewer than ``per_class`` images.
    """
    generator = np.random.default_rng((*seed, per_class))
    known = labels.numpy()
    rows = []
    for label in np.unique(known[known != HIDDEN]):
        members = np.flatnonzero(known == label)
        if len(members) < per_class:
            raise VaebenchError(
                f"labels_per_class is {per_class}, but class {label} has {len(members)} training images; lower "
                "labels_per_class or leave the class out"
            )
        rows.append(generator.choice(members, per_class, replace=False))
    return torch.from_numpy(np.sort(np.concatenate(rows)))


def epoch_batches(images: Source | int, size: int, seed: Sequence[int]) -> Iterator[Int[Tensor, " B"]]:
    """Yield the rows of one epoch's batches, shuffled by ``seed`` = (seed, epoch).

    The last batch may be smaller; a last batch of one row is dropped, because batch normalisation cannot take it,
    unless there is only one image.
    """
    count = images if isinstance(images, int) else len(images)
    generator = np.random.default_rng(seed)
    chunks = images.order(seed) if isinstance(images, OrderedSource) else [generator.permutation(count)]
    for rows in _rebatch(chunks, size):
        if len(rows) > 1 or count == 1:
            yield rows


def _rebatch(chunks: Iterable[Int[np.ndarray, " M"]], size: int) -> Iterator[Int[Tensor, " B"]]:
    """Yield the concatenated rows of all chunks, ``size`` at a time; the last may be fewer."""
    remainder = torch.empty(0, dtype=torch.long)
    for chunk in chunks:
        rows = torch.cat([remainder, torch.from_numpy(chunk)])
        whole = len(rows) - len(rows) % size
        for start in range(0, whole, size):
            yield rows[start : start + size]
        remainder = rows[whole:]
    if len(remainder):
        yield remainder
