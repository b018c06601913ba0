"""Data sets by name, and the configuration object that selects and splits the data of a run."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Int
from pydantic import Field
from torch import Tensor

from vaebench.core.errors import VaebenchError
from vaebench.core.frozen import Frozen
from vaebench.data import official, sprites
from vaebench.data.augment import rotate
from vaebench.data.draws import split
from vaebench.data.images import Dataset, Images, Loaded, Progress, ignore_progress
from vaebench.data.loading import load_images
from vaebench.data.preprocessing import Projection
from vaebench.data.reading import Reading

Fraction = Annotated[float, Field(gt=0, lt=1)]


class Data(Frozen):
    """Images of a run: their source, the selection among them and their split."""

    source: str = "digits"
    """A data set by name, or the path of your own images: a folder, an archive, or a file of arrays."""
    labels: tuple[str, ...] = ()
    """Tables of file and label for your own images, FILE:COLUMN to name the column of labels; empty takes the labels
    that the images have."""
    size: Annotated[int, Field(ge=8, le=512)] | None = None
    """Side in pixels of the square that your own images are scaled to; empty keeps one size of at most 64, otherwise
    scales to 32."""
    projection: Projection | None = None
    """How the planes of a stack in your own images become one image; empty leaves stacks out."""
    masks: str | None = None
    """Masks of your own images, a folder, an archive or a file: where one is 0, the pixel of the image of its name is
    not known."""
    classes: tuple[str, ...] = ()
    """Keep only these classes, numbered in this order; empty keeps all (of quickdraw: ten)."""
    per_class: Annotated[int, Field(gt=0)] | None = None
    """Keep only the first images of each class, this many of the training set and of the test set (quickdraw: 2000)."""
    rotation: Annotated[float, Field(ge=0, le=180)] = 0.0
    """Rotate each image once by an angle drawn uniformly from plus or minus this many degrees."""
    binarised: bool = False
    """Sample each pixel as black or white, white with its grey value as the probability: anew at each visit in
    training; once, determined by ``seed``, where images are encoded or evaluated. Nothing is thresholded."""
    channels: Annotated[int, Field(ge=1, le=16)] | None = None
    """Channels that the recipe needs: 1 for grey, 3 for colour; empty accepts those of the data."""
    test_fraction: Fraction = 0.2
    """Fraction used as the test set, for data without a test set of their own."""
    validation_fraction: Fraction = 1 / 12
    """Fraction of the training set used for validation."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the split, the angles and the binarisation."""

    def load(self, progress: Progress | None = None) -> Dataset:
        """Read, select and transform the images, and split them into disjoint training, validation and test sets.

        The result depends on the fields alone; ``progress`` is called during downloads and long reads.

        Raises:
            VaebenchError: unknown source, damaged or inconsistent files, or images that do not fit the recipe.
        """
        loaded = self._read(progress or ignore_progress)
        self._check_shapes(loaded)
        train = self._select(loaded.train)
        test, validation = (None if part is None else self._select(part) for part in (loaded.test, loaded.validation))
        for name, part in {"test": test, "validation": validation}.items():
            if part is not None and not len(part):
                raise VaebenchError(
                    f"{self.source} has no {name} image of {', '.join(self.classes)}; choose other classes"
                )
        note = self._note(loaded, len(train))
        _check_class_sizes(train, 3 - (test is not None) - (validation is not None), self.source)
        train = self._rotate(train, 0)
        test, validation = (None if p is None else self._rotate(p, i) for i, p in ((1, test), (2, validation)))
        if test is None:
            train, test = split(train, self.test_fraction, self.seed)
        if validation is None:
            train, validation = split(train, self.validation_fraction, self.seed)
        name = f"rotated {loaded.name}" if self.rotation else loaded.name
        if self.binarised:
            name = f"binarised {name}"
            generators = [torch.Generator().manual_seed(self.seed * 1009 + index) for index in range(3)]
            train, validation, test = map(Images.binarised, (train, validation, test), generators)
        return Dataset(name, train, validation, test, note, loaded.rule, loaded.warnings, loaded.inspection)

    def with_factors(self) -> tuple[Images, Int[np.ndarray, "N K"]] | None:
        """Return all images of the data set with the values of their known factors, or None if it has none."""
        if self.rotation or self.binarised:
            return None
        if self.source in DATASETS:
            load = FACTORS.get(self.source)
            return None if load is None else load()
        loaded = self._read()
        return None if loaded.factors is None else (loaded.train, loaded.factors)

    def _read(self, progress: Progress = ignore_progress) -> Loaded:
        if self.source in DATASETS:
            return DATASETS[self.source](self, progress)
        path = Path(self.source).expanduser()
        if path.exists():
            return load_images(path, Reading(self.size, self.labels, self.projection, self.masks), progress)
        close = difflib.get_close_matches(self.source, DATASETS, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise VaebenchError(
            f"source is {self.source!r}, neither a data set nor an existing path; {hint}the data sets are "
            f"{', '.join(DATASETS)}; expected one of these or the path of a folder, an archive or a file of images"
        )

    def _check_shapes(self, loaded: Loaded) -> None:
        shape = loaded.train.shape
        if loaded.test is not None and loaded.test.shape != shape:
            train, test = ("x".join(map(str, sides)) for sides in (shape, loaded.test.shape))
            raise VaebenchError(
                f"{self.source} has training images of {train} but test images of {test} (channels x height x width); "
                "expected the same shape: resize them"
            )
        if self.channels not in (None, shape[0]):
            actual, expected = (
                {1: "grey", 3: "colour"}.get(count or 0, f"{count}-channel") for count in (shape[0], self.channels)
            )
            raise VaebenchError(
                f"{self.source} has {actual} images for a {expected} recipe (channels = {self.channels}); "
                f"choose {expected} images or set channels to {shape[0]}"
            )

    def _select(self, images: Images) -> Images:
        if self.classes:
            images = _select_classes(images, self.classes, self.source)
        if self.per_class is None:
            return images
        rows = [torch.nonzero(images.labels == label)[: self.per_class, 0] for label in torch.unique(images.labels)]
        return images.take(torch.cat(rows).sort().values)

    def _rotate(self, images: Images, stream: int) -> Images:
        if not self.rotation:
            return images
        generator = np.random.default_rng((self.seed, stream))
        degrees = torch.from_numpy(generator.uniform(-self.rotation, self.rotation, len(images)))
        return replace(images, pixels=rotate(images.pixels, degrees))

    def _note(self, loaded: Loaded, selected: int) -> str:
        notes = [loaded.note] if loaded.note else []
        if selected < len(loaded.train):
            if self.classes:
                notes.append(f"only {', '.join(self.classes)}")
            if self.per_class is not None:
                notes.append(f"at most {self.per_class:,} images a class")
        if self.rotation:
            notes.append(f"each image rotated once by up to {self.rotation:g} degrees either way")
        if self.binarised:
            notes.append("pixels sampled as black or white: anew at each visit in training, once for evaluation")
        return "; ".join(notes)


def _select_classes(images: Images, classes: tuple[str, ...], source: str) -> Images:
    if not images.classes:
        raise VaebenchError(f"classes is {', '.join(classes)}, but the images of {source} have no labels; leave it out")
    unknown = [name for name in classes if name not in images.classes]
    if unknown or len(set(classes)) < len(classes):
        problem = f"the unknown {', '.join(map(repr, unknown))}" if unknown else "a repeated name"
        raise VaebenchError(
            f"classes is {', '.join(classes)}, with {problem}; expected distinct classes of {source}: "
            f"{', '.join(images.classes)}"
        )
    number: Int[Tensor, " Y"] = torch.full((len(images.classes),), -1)
    number[[images.classes.index(name) for name in classes]] = torch.arange(len(classes))
    labels = number[images.labels]
    return replace(images, labels=labels, classes=classes).take(torch.nonzero(labels >= 0)[:, 0])


def _check_class_sizes(images: Images, sets: int, source: str) -> None:
    names = images.classes or ("(all)",)
    counts = torch.bincount(images.labels.clamp(min=0), minlength=len(names))
    smallest = int(counts.argmin())
    if counts[smallest] < sets:
        number = int(counts[smallest])
        raise VaebenchError(
            f"class {names[smallest]!r} of {source} has {number} image{'' if number == 1 else 's'} to split into "
            f"{sets} sets; add images, or name the other classes (--data.classes)"
        )


def _sprites() -> tuple[Images, Int[np.ndarray, "N K"]]:
    factors = sprites.factor_grid()
    return sprites.render(factors), factors


DATASETS: dict[str, Callable[[Data, Progress], Loaded]] = {
    "digits": lambda data, progress: official.digits(),
    "mnist": lambda data, progress: official.mnist(progress),
    "fashion-mnist": lambda data, progress: official.fashion_mnist(progress),
    "cifar10": lambda data, progress: official.cifar10(progress),
    "quickdraw": lambda data, progress: official.quickdraw(
        data.classes or official.TEN_DRAWINGS, data.per_class or 2000, progress
    ),
    "sprites": lambda data, progress: Loaded("sprites", _sprites()[0], note="vaebench's own sprites, not dSprites"),
}
"""Loader of each data set; to add a data set, register its loader here."""
FACTORS: dict[str, Callable[[], tuple[Images, Int[np.ndarray, "N K"]]]] = {"sprites": _sprites}
"""Loader of images and factor values of each data set that consists of all combinations of known factors."""
