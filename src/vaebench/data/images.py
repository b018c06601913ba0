"""Images in memory, batches of them, fixed splits, balanced label draws."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from vaebench.core.errors import VaebenchError

HIDDEN = -1
"""The label of an image whose label is not known or not to be seen."""

HASHED = 10_000
"""Images that are hashed at a time: they may lie on the disk."""
Progress = Callable[[str, float], None]
"""Told what is being done and the share done, 0 to 1."""


@dataclass(frozen=True)
class Batch:
    """What an objective sees: ``x`` in [0, 1] (or features), ``labels`` with -1 where hidden."""

    x: Float[Tensor, "B ..."]
    labels: Int[Tensor, " B"]

    def to(self, device: torch.device | str | None) -> Batch:
        """The same batch on this device."""
        return Batch(self.x.to(device), self.labels.to(device))


@runtime_checkable
class Source(Protocol):
    """Anything that batches can be drawn from."""

    def __len__(self) -> int: ...

    def batch(self, rows: Int[Tensor, " B"]) -> Batch:
        """The batch of these rows."""
        ...


@runtime_checkable
class Ordered(Protocol):
    """A source that says in which order it is read best."""

    def order(self, seed: Sequence[int]) -> Iterable[Int[np.ndarray, " M"]]:
        """Every row once, in random order, some at a time; the same seed gives the same."""
        ...


@dataclass(frozen=True)
class Images:
    """Images as 8-bit pixels (N, C, H, W), their labels (N,), and the names of the classes (Y).

    A :class:`Source`: batches are sliced and scaled to [0, 1] where the pixels lie.
    """

    pixels: UInt8[Tensor, "N C H W"]
    labels: Int[Tensor, " N"]
    classes: tuple[str, ...] = ()
    white_probability: UInt8[Tensor, "N C H W"] | None = None
    """Of binarised images, the grey values that are the white_probability of white, of 255."""

    def __len__(self) -> int:
        return len(self.pixels)

    def __repr__(self) -> str:
        n, c, h, w = self.pixels.shape
        labelled = int((self.labels != HIDDEN).sum())
        return f"Images({n:,} of {c}x{h}x{w}, {labelled:,} labelled, {len(self.classes)} classes)"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        c, h, w = self.pixels.shape[1:]
        return c, h, w

    @property
    def labelled(self) -> bool:
        """Whether every image has a label."""
        return bool(self.classes) and bool((self.labels != HIDDEN).all())

    def with_labels(self, labels: Int[Tensor, " N"]) -> Images:
        """The same images with these labels."""
        return replace(self, labels=labels)

    def batch(self, rows: Int[Tensor, " B"]) -> Batch:
        """Rows as a :class:`Batch`, pixels divided by 255."""
        pixels = self.pixels.index_select(0, rows.to(self.pixels.device))  # many times quicker than pixels[rows]
        return Batch(pixels.to(torch.get_default_dtype()).div_(255), self.labels[rows])

    def take(self, rows: Int[Tensor, " M"] | slice) -> Images:
        """The images of these rows."""
        white_probability = None if self.white_probability is None else self.white_probability[rows]
        return replace(self, pixels=self.pixels[rows], labels=self.labels[rows], white_probability=white_probability)

    def to(self, device: torch.device | str) -> Images:
        """The same images on another device."""
        white_probability = None if self.white_probability is None else self.white_probability.to(device)
        return replace(
            self, pixels=self.pixels.to(device), labels=self.labels.to(device), white_probability=white_probability
        )

    def binarised(self, generator: torch.Generator) -> Images:
        """Each pixel drawn once as white, with its grey value as the chance, or black."""
        drawn = [torch.bernoulli(part.float() / 255, generator=generator) for part in self.pixels.split(HASHED)]
        pixels = torch.cat(drawn).mul(255).to(torch.uint8)
        return replace(self, pixels=pixels, white_probability=self.pixels)

    @property
    def training_source(self) -> Source:
        """The images themselves; of binarised ones, pixels that are drawn anew at each visit."""
        return self if self.white_probability is None else ResampledBinary(self)

    def without_labels(self) -> Images:
        """The same images, every label hidden."""
        return replace(self, labels=torch.full_like(self.labels, HIDDEN))

    def fingerprint(self) -> str:
        """A hash of pixels and labels, so that a run cannot be resumed on other data."""
        digest = hashlib.blake2b(repr((tuple(self.pixels.shape), self.classes)).encode(), digest_size=16)
        for rows in self.pixels.split(HASHED):
            digest.update(rows.numpy().tobytes())
        digest.update(self.labels.numpy().tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class ResampledBinary:
    """Binarised images whose pixels are drawn anew in every batch, from torch's global generator."""

    images: Images

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, rows: Int[Tensor, " B"]) -> Batch:
        """Pixels 0 or 1, drawn by their white_probability."""
        assert self.images.white_probability is not None
        white_probability = self.images.white_probability[rows].to(torch.get_default_dtype()).div_(255)
        return Batch(torch.bernoulli(white_probability), self.images.labels[rows])


@dataclass(frozen=True)
class UnlabelledSource:
    """A source with every label hidden."""

    source: Source

    def __len__(self) -> int:
        return len(self.source)

    def batch(self, rows: Int[Tensor, " B"]) -> Batch:
        """The same batch, its labels -1."""
        found = self.source.batch(rows)
        return Batch(found.x, torch.full_like(found.labels, HIDDEN))


@dataclass(frozen=True)
class MixedSource:
    """A source of batches that begin with ``each`` labelled images and go on with unlabelled ones.

    An epoch passes through the unlabelled images; the places of the labelled ones are drawn by its order.
    """

    labelled: Source
    unlabelled: Source
    labelled_per_batch: int
    """Labelled images a batch, at most half of it."""

    def __len__(self) -> int:
        return len(self.unlabelled)

    def batch(self, rows: Int[Tensor, " B"]) -> Batch:
        """As many images as rows: the first of them give way to labelled ones."""
        few = min(self.labelled_per_batch, len(rows) // 2)
        seen, unseen = self.labelled.batch(rows[:few] % len(self.labelled)), self.unlabelled.batch(rows[few:])
        return Batch(torch.cat([seen.x, unseen.x]), torch.cat([seen.labels, unseen.labels]))


@dataclass(frozen=True)
class Loaded:
    """Images as their source holds them: ``test`` is None where it has no test part of its own."""

    name: str
    train: Images
    test: Images | None = None
    note: str = ""
    """What a reader of a figure must know of the data."""


@dataclass(frozen=True)
class Dataset:
    """A named data set in its three disjoint parts."""

    name: str
    train: Images
    validation: Images
    test: Images
    note: str = ""
    """What a reader of a figure must know of the data, such as "JPEG copy"."""

    def __repr__(self) -> str:
        return (
            f"Dataset({self.name}: {self.train!r} to train, {len(self.validation):,} to validate, "
            f"{len(self.test):,} to test)"
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; empty where there are no labels."""
        return self.train.classes

    @property
    def labelled(self) -> bool:
        """Whether all three parts carry labels."""
        return self.train.labelled and self.validation.labelled and self.test.labelled


def split(images: Images, share: float, seed: int) -> tuple[Images, Images]:
    """Two disjoint parts, the second holding ``share`` of the images, of each class where there are labels.

    The same images, share and seed give the same parts. Every class keeps at least one image in each part.

    Raises:
        VaebenchError: a class is too small to be in both parts.
    """
    order = np.random.default_rng(seed).permutation(len(images))
    labels = images.labels.numpy()[order]
    groups = [order[labels == label] for label in np.unique(labels)]
    for group in groups:
        if len(group) < 2:
            label = int(images.labels[int(group[0])]) if len(group) else HIDDEN
            name = images.classes[label] if label != HIDDEN else "(all)"
            raise VaebenchError(
                f"class {name!r} has {len(group)} image; at least 2 are needed to set one apart for each "
                "part: add images or leave the class out"
            )
    second = [group[: min(max(1, round(share * len(group))), len(group) - 1)] for group in groups]
    first = [group[len(part) :] for group, part in zip(groups, second, strict=True)]
    return _in_order(images, first), _in_order(images, second)


def _in_order(images: Images, groups: list[np.ndarray]) -> Images:
    return images.take(torch.from_numpy(np.sort(np.concatenate(groups))))


def balanced_draw(labels: Int[Tensor, " N"], per_class: int, seed: Sequence[int]) -> Int[Tensor, " M"]:
    """Rows of exactly ``per_class`` images of each class, sorted; ``seed`` is (seed, draw).

    Raises:
        VaebenchError: a class has fewer images than asked.
    """
    generator = np.random.default_rng((*seed, per_class))
    known = labels.numpy()
    rows = []
    for label in np.unique(known[known != HIDDEN]):
        members = np.flatnonzero(known == label)
        if len(members) < per_class:
            raise VaebenchError(
                f"{per_class} labels a class were asked, but class {label} has {len(members)} images to "
                "train on; lower labels_per_class or leave the class out"
            )
        rows.append(generator.choice(members, per_class, replace=False))
    return torch.from_numpy(np.sort(np.concatenate(rows)))


def epoch_batches(images: Source | int, size: int, seed: Sequence[int]) -> Iterator[Int[Tensor, " B"]]:
    """Rows of one epoch's batches, shuffled by ``seed`` = (seed, epoch); the last may be smaller, never one
    row (batch normalisation cannot take it), unless there is only one image."""
    count = images if isinstance(images, int) else len(images)
    parts: Iterable[Int[np.ndarray, " M"]]
    parts = images.order(seed) if isinstance(images, Ordered) else [np.random.default_rng(seed).permutation(count)]
    for rows in _cut(parts, size):
        if len(rows) > 1 or count == 1:
            yield rows


def _cut(parts: Iterable[Int[np.ndarray, " M"]], size: int) -> Iterator[Int[Tensor, " B"]]:
    """The rows of all parts, ``size`` at a time; the last may be fewer."""
    left = torch.empty(0, dtype=torch.long)
    for part in parts:
        order = torch.cat([left, torch.from_numpy(part)])
        whole = len(order) - len(order) % size
        for start in range(0, whole, size):
            yield order[start : start + size]
        left = order[whole:]
    if len(left):
        yield left
