"""Random choices of rows: stratified splits, balanced draws of labels, and the batches of an epoch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from vaebench.core.errors import VaebenchError
from vaebench.data.images import HIDDEN, Images, OrderedSource, Source


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
