"""The data sets by name, and the frozen object that says which data a run is about."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Int
from pydantic import Field
from torch import Tensor

from vaebench.core.errors import VaebenchError
from vaebench.core.frozen import Frozen
from vaebench.data import official, quickdraw, sprites
from vaebench.data.augment import rotate
from vaebench.data.folder import read_folder, read_zip
from vaebench.data.images import Dataset, Images, Loaded, Progress, split
from vaebench.data.npz import read_npz

Share = Annotated[float, Field(gt=0, lt=1)]


class Data(Frozen):
    """Which images a run is about, and how they are parted."""

    source: str = "digits"
    """A data set by name, or the path of a folder, a .zip or an .npz of your own images."""
    classes: tuple[str, ...] = ()
    """Keep only these classes, numbered in this order; empty keeps all (of quickdraw: ten)."""
    per_class: Annotated[int, Field(gt=0)] | None = None
    """Keep only the first so many images of each class, in each part the data come in (quickdraw: 2000)."""
    rotation: Annotated[float, Field(ge=0, le=180)] = 0.0
    """Turn each image once by an angle drawn uniformly from plus or minus this many degrees."""
    binarised: bool = False
    """Each pixel is drawn as black or white, with its grey value as the chance: anew at each visit in training; once,
    by ``seed``, where images are encoded or scored. Nothing is thresholded."""
    channels: Literal[1, 3] | None = None
    """Channels that the recipe needs: 1 for grey, 3 for colour; empty takes what the data have."""
    test_share: Share = 0.2
    """Share set apart for the test, of data that have no test part of their own."""
    validation_share: Share = 1 / 12
    """Share of the training part set apart for validation."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Draws the parts and the angles."""

    def load(self, progress: Progress | None = None) -> Dataset:
        """Read the images, keep what was chosen, turn them, and split them into three disjoint parts.

        The same ``Data`` gives the same parts; ``progress`` is told of downloads and long reads.

        Raises:
            VaebenchError: no such source, damaged or inconsistent files, or images that don't fit the recipe.
        """
        loaded = self._read(progress or _silent)
        train, test = loaded.train, loaded.test
        self._check_shapes(loaded)
        train = self._chosen(train)
        test = None if test is None else self._chosen(test)
        if test is not None and not len(test):
            raise VaebenchError(f"{self.source} has no test image of {', '.join(self.classes)}; choose other classes")
        note = self._note(loaded, len(train))
        _check_enough(train, 2 if test is not None else 3, self.source)
        train = self._turned(train, 0)
        if test is None:
            train, test = split(train, self.test_share, self.seed)
        else:
            test = self._turned(test, 1)
        train, validation = split(train, self.validation_share, self.seed)
        name = f"rotated {loaded.name}" if self.rotation else loaded.name
        if self.binarised:
            name = f"binarised {name}"
            train, validation, test = (self._drawn(part, at) for at, part in enumerate((train, validation, test)))
        return Dataset(name, train, validation, test, note)

    def with_factors(self) -> tuple[Images, Int[np.ndarray, "N K"]] | None:
        """Every image of the data set with the values of its known factors; None where there are none."""
        known = FACTORS.get(self.source)
        return None if known is None or self.rotation or self.binarised else known()

    def _read(self, progress: Progress) -> Loaded:
        if self.source in DATASETS:
            return DATASETS[self.source](self, progress)
        path = Path(self.source).expanduser()
        if path.is_dir():
            return read_folder(path, progress)
        if path.suffix.lower() == ".zip" and path.exists():
            return read_zip(path, progress)
        if path.suffix.lower() == ".npz" and path.exists():
            return read_npz(path)
        if path.exists():
            raise VaebenchError(f"source is the file {self.source!r}; expected a folder, a .zip or an .npz")
        close = difflib.get_close_matches(self.source, DATASETS, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise VaebenchError(
            f"source is {self.source!r}, neither a data set nor a path that exists; {hint}the data sets are "
            f"{', '.join(DATASETS)}, a path names a folder, a .zip or an .npz"
        )

    def _check_shapes(self, loaded: Loaded) -> None:
        shape = loaded.train.shape
        if loaded.test is not None and loaded.test.shape != shape:
            raise VaebenchError(
                f"{self.source} has training images of {_by(shape)} but test images of "
                f"{_by(loaded.test.shape)} (channels x height x width); make them alike"
            )
        if self.channels not in (None, shape[0]):
            have, need = ("grey", "colour") if shape[0] == 1 else ("colour", "grey")
            raise VaebenchError(
                f"{self.source} has {have} images for a {need} recipe (channels = {self.channels}); "
                f"choose {need} images or set channels to {shape[0]}"
            )

    def _chosen(self, images: Images) -> Images:
        if self.classes:
            images = _of_classes(images, self.classes, self.source)
        if self.per_class is None:
            return images
        rows = [torch.nonzero(images.labels == label)[: self.per_class, 0] for label in torch.unique(images.labels)]
        return images.take(torch.cat(rows).sort().values)

    def _turned(self, images: Images, part: int) -> Images:
        if not self.rotation:
            return images
        generator = np.random.default_rng((self.seed, part))
        degrees = torch.from_numpy(generator.uniform(-self.rotation, self.rotation, len(images)))
        return replace(images, pixels=rotate(images.pixels, degrees))

    def _drawn(self, images: Images, part: int) -> Images:
        return images.binarised(torch.Generator().manual_seed(self.seed * 1009 + part))

    def _note(self, loaded: Loaded, kept: int) -> str:
        notes = [loaded.note] if loaded.note else []
        if kept < len(loaded.train):
            if self.classes:
                notes.append(f"only {', '.join(self.classes)}")
            if self.per_class is not None:
                notes.append(f"at most {self.per_class:,} images a class")
        if self.rotation:
            notes.append(f"each image turned once by up to {self.rotation:g} degrees either way")
        if self.binarised:
            notes.append("pixels drawn as black or white: anew at each visit in training, once for scores")
        return "; ".join(notes)


def _silent(what: str, share: float) -> None:
    """Nobody listens."""


def _by(shape: tuple[int, int, int]) -> str:
    return "x".join(map(str, shape))


def _of_classes(images: Images, classes: tuple[str, ...], source: str) -> Images:
    if not images.classes:
        raise VaebenchError(f"classes is {', '.join(classes)}, but the images of {source} have no labels; leave it out")
    unknown = [name for name in classes if name not in images.classes]
    if unknown or len(set(classes)) < len(classes):
        wrong = f"unknown {', '.join(map(repr, unknown))}" if unknown else "one twice"
        raise VaebenchError(
            f"classes is {', '.join(classes)}, with {wrong}; expected names among those of {source}, each "
            f"once: {', '.join(images.classes)}"
        )
    number: Int[Tensor, " Y"] = torch.full((len(images.classes),), -1)
    number[[images.classes.index(name) for name in classes]] = torch.arange(len(classes))
    labels = number[images.labels]
    kept = replace(images, labels=labels, classes=classes)
    return kept.take(torch.nonzero(labels >= 0)[:, 0])


def _check_enough(images: Images, parts: int, source: str) -> None:
    names = images.classes or ("(all)",)
    counts = torch.bincount(images.labels.clamp(min=0), minlength=len(names))
    smallest = int(counts.argmin())
    if counts[smallest] < parts:
        raise VaebenchError(
            f"class {names[smallest]!r} of {source} has {int(counts[smallest])} images to split into {parts} "
            "parts; add images, raise per_class or leave the class out"
        )


def _quickdraw(data: Data, progress: Progress) -> Loaded:
    """Quick, Draw! bitmaps of 28x28, the first rows of each class's official file."""
    classes, count = data.classes or quickdraw.TEN, data.per_class or 2000
    parts = [quickdraw.drawings(name, count, progress) for name in classes]
    pixels = torch.from_numpy(np.concatenate(parts))[:, None]
    labels = torch.arange(len(classes)).repeat_interleave(count)
    note = f"the first {count:,} drawings of each of {len(classes)} classes: {', '.join(classes)}"
    return Loaded("quickdraw", Images(pixels, labels, classes), note=note)


def _sprites(data: Data, progress: Progress) -> Loaded:
    return Loaded("sprites", sprites.render(sprites.factor_grid()), note="vaebench's own sprites, not dSprites")


def _sprites_with_factors() -> tuple[Images, Int[np.ndarray, "N K"]]:
    found = sprites.factor_grid()
    return sprites.render(found), found


DATASETS: dict[str, Callable[[Data, Progress], Loaded]] = {
    "digits": lambda data, progress: official.digits(),
    "mnist": lambda data, progress: official.mnist(progress),
    "fashion-mnist": lambda data, progress: official.fashion_mnist(progress),
    "cifar10": lambda data, progress: official.cifar10(progress),
    "quickdraw": _quickdraw,
    "sprites": _sprites,
}
"""What reads each data set; to add one, write its function and name it here."""
FACTORS: dict[str, Callable[[], tuple[Images, Int[np.ndarray, "N K"]]]] = {"sprites": _sprites_with_factors}
"""Data sets whose images are every combination of known factors, each once."""
