"""In-memory images, the sources of batches, and data sets of three parts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from vaebench.core.steps import content_key
from vaebench.data.batch import Batch as Batch
from vaebench.data.batch import float_batch
from vaebench.data.batch import join as join
from vaebench.data.pixels import CHUNK, Pixels, has_unknown, sample_binary, with_one_nan
from vaebench.data.preprocessing import PreprocessingRule
from vaebench.deprecated import warn_renamed

if TYPE_CHECKING:
    from vaebench.data.checks.inspection import Inspection

MOVED = ("balanced_draw", "epoch_batches", "split")
"""Functions that are now in ``vaebench.data.draws``."""
HIDDEN = -1
"""Label of an image whose label is unknown or withheld."""

Progress = Callable[[str, float], None]
"""Progress callback: receives the current task and its completed fraction in [0, 1]."""


def ignore_progress(task: str, fraction: float) -> None:
    """Progress callback that does nothing."""


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
    """Pixels (N, C, H, W), their labels (N,) and the class names (Y).

    Pixels are of 8 bits, or floats in [0, 1] in which NaN stands for a pixel that is not known. A :class:`Source`:
    batches are selected and scaled to [0, 1] on the device of the pixels.
    """

    pixels: Pixels
    labels: Int[Tensor, " N"]
    classes: tuple[str, ...] = ()
    white_probability: Pixels | None = None
    """For binarised images, the original grey values, which are the probabilities that a pixel is white."""
    channel_names: tuple[str, ...] = ()
    """Names of the C channels, or empty."""

    def __len__(self) -> int:
        return len(self.pixels)

    def __repr__(self) -> str:
        n, c, h, w = self.pixels.shape
        labelled, floats = int((self.labels != HIDDEN).sum()), " floats" if self.pixels.is_floating_point() else ""
        return f"Images({n:,} of {c}x{h}x{w}{floats}, {labelled:,} labelled, {len(self.classes)} classes)"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        c, h, w = self.pixels.shape[1:]
        return c, h, w

    @property
    def labelled(self) -> bool:
        """Whether every image has a label."""
        return bool(self.classes) and bool((self.labels != HIDDEN).all())

    @cached_property
    def incomplete(self) -> bool:
        """Whether some pixel is unknown (NaN). Images derived from these are not searched again."""
        return has_unknown(self.pixels)

    def with_labels(self, labels: Int[Tensor, " N"]) -> Images:
        """Return these images with other labels."""
        return self._derive(labels=labels)

    def without_labels(self) -> Images:
        """Return these images with every label set to -1."""
        return self._derive(labels=torch.full_like(self.labels, HIDDEN))

    def batch(self, rows: Int[Tensor, " B"]) -> Batch:
        """Return the batch of these rows, pixels in [0, 1], unknown ones 0."""
        pixels = self.pixels.index_select(0, rows.to(self.pixels.device))  # much faster than pixels[rows]
        if not self.pixels.is_floating_point():
            return Batch(pixels.to(torch.get_default_dtype()).div_(255), self.labels[rows])
        return float_batch(pixels, self.labels[rows], self.incomplete)

    def take(self, rows: Int[Tensor, " M"] | slice) -> Images:
        """Return the images of these rows."""
        return self._map(lambda tensor: tensor[rows])

    def to(self, device: torch.device | str) -> Images:
        """Return these images on ``device``."""
        return self._map(lambda tensor: tensor.to(device))

    def _map(self, function: Callable[[Tensor], Tensor]) -> Images:
        probability = None if self.white_probability is None else function(self.white_probability)
        pixels, labels = function(self.pixels), function(self.labels)
        return self._derive(pixels=pixels, labels=labels, white_probability=probability)

    def _derive(self, **changes: Any) -> Images:
        """These images with changes that make no pixel unknown, so that they need not be searched again."""
        derived = replace(self, **changes)
        derived.__dict__["incomplete"] = self.incomplete
        return derived

    def binarised(self, generator: torch.Generator) -> Images:
        """Return black and white images sampled once, each pixel white with its grey value as the probability."""
        sampled = [sample_binary(chunk, generator) for chunk in self.pixels.split(CHUNK)]
        return self._derive(pixels=torch.cat(sampled), white_probability=self.pixels)

    @property
    def training_source(self) -> Source:
        """Source for training: these images, or for binarised images a source that resamples at each visit."""
        return self if self.white_probability is None else ResampledBinary(self)

    def fingerprint(self) -> str:
        """Return a hash of pixels, labels and class names, which detects resuming a run on other data."""
        digest = hashlib.blake2b(repr((tuple(self.pixels.shape), self.classes)).encode(), digest_size=16)
        for chunk in self.pixels.split(CHUNK):
            digest.update((with_one_nan(chunk) if self.incomplete else chunk).numpy().tobytes())
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
        batch = self._grey.batch(rows)
        return replace(batch, x=torch.bernoulli(batch.x))

    @cached_property
    def _grey(self) -> Images:
        assert self.images.white_probability is not None
        return replace(self.images, pixels=self.images.white_probability)


@dataclass(frozen=True)
class UnlabelledSource:
    """Source whose labels are all -1."""

    source: Source

    def __len__(self) -> int:
        return len(self.source)

    def batch(self, rows: Int[Tensor, " B"]) -> Batch:
        """Return the batch of these rows without labels."""
        batch = self.source.batch(rows)
        return replace(batch, labels=torch.full_like(batch.labels, HIDDEN))


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
        return join(self.labelled.batch(rows[:few] % len(self.labelled)), self.unlabelled.batch(rows[few:]))


@dataclass(frozen=True)
class Loaded:
    """Images as read from their source; ``test`` is None where the source has no test set."""

    name: str
    train: Images
    test: Images | None = None
    note: str = ""
    """Remark on the data that figures and pages must show, such as a lossy file format."""
    validation: Images | None = None
    """Images for validation where the source has such a part."""
    rule: PreprocessingRule | None = None
    """How stored images became pixels; None for data sets by name."""
    warnings: tuple[str, ...] = ()
    """Sentences about what of the source was left out, guessed or scaled."""
    inspection: Inspection | None = None
    """What the source contains; None for data sets by name."""
    factors: Int[np.ndarray, "N K"] | None = None
    """Values of known factors of variation of the training images."""


@dataclass(frozen=True)
class Dataset:
    """Named data set with disjoint training, validation and test sets."""

    name: str
    train: Images
    validation: Images
    test: Images
    note: str = ""
    """Remark on the data that figures and pages must show, such as a lossy file format."""
    rule: PreprocessingRule | None = None
    """How stored images became pixels; None for data sets by name."""
    warnings: tuple[str, ...] = ()
    """Sentences about what of the source was left out, guessed or scaled."""
    inspection: Inspection | None = None
    """What the source contains; None for data sets by name."""

    def __repr__(self) -> str:
        return (
            f"Dataset({self.name}: {self.train!r} to train, {len(self.validation):,} to validate, "
            f"{len(self.test):,} to test)"
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; empty for unlabelled data."""
        return self.train.classes

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Names of the channels, or empty."""
        return self.train.channel_names

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the images, labels and split."""
        return content_key([part.fingerprint() for part in (self.train, self.validation, self.test)])

    @property
    def labelled(self) -> bool:
        """Whether every image has a label."""
        return self.train.labelled and self.validation.labelled and self.test.labelled


def __getattr__(name: str) -> Any:
    if name not in MOVED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warn_renamed(f"{__name__}.{name}", f"vaebench.data.draws.{name}")
    return getattr(import_module("vaebench.data.draws"), name)
