"""Blocks: images in one file that may be larger than memory, read a window of shuffled blocks at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from vaebench.data.images import HIDDEN, Batch
from vaebench.errors import VaebenchError

BLOCK_BYTES = 1 << 18
"""About so much is read at once."""
WINDOW = 64
"""Blocks whose images are shuffled together."""


class Blocks:
    """Images of an .npy file (N, C, H, W) of 8 bits without labels: a source of batches in little memory.

    An epoch goes through windows of blocks drawn from all over the file, and through the images of each window in
    random order; two windows are kept, whatever the size of the file. Its order is a function of the seed alone.

    Args:
        path: the file.
        block_bytes: how much is read at once; a block holds at least one image.
        window: blocks whose images are shuffled together.

    Raises:
        VaebenchError: no such file, or one that holds something else.
    """

    def __init__(self, path: str | Path, *, block_bytes: int = BLOCK_BYTES, window: int = WINDOW) -> None:
        self.path = Path(path)
        self.pixels, self.start = _header(self.path)
        image = int(np.prod(self.shape))
        self.block = max(1, block_bytes // image)
        self.window = window
        blocks, slots = -(-len(self) // self.block), 2 * window
        self.kept = torch.empty((slots, self.block, *self.shape), dtype=torch.uint8)
        self.slot = np.full(blocks, -1)
        self.holds = np.full(slots, -1)
        self.used = np.zeros(slots, np.int64)
        self.clock = 0

    def __len__(self) -> int:
        return self.pixels[0]

    def __repr__(self) -> str:
        c, h, w = self.shape
        return f"Blocks({self.path}: {len(self):,} of {c}x{h}x{w}, {self.block:,} a block, {self.window} a window)"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        c, h, w = self.pixels[1:]
        return c, h, w

    def order(self, seed: Sequence[int]) -> Iterator[Int[np.ndarray, " M"]]:
        """Every row once: windows of random blocks, each shuffled."""
        generator = np.random.default_rng(seed)
        blocks = generator.permutation(len(self.slot))
        for first in range(0, len(blocks), self.window):
            starts = blocks[first : first + self.window] * self.block
            rows = (starts[:, None] + np.arange(self.block)).ravel()
            yield generator.permutation(rows[rows < len(self)])

    def batch(self, rows: Int[Tensor, " B"]) -> Batch:
        """Rows with pixels in [0, 1], labels hidden.

        Raises:
            VaebenchError: the file was cut meanwhile.
        """
        asked = rows.cpu().numpy()
        blocks = asked // self.block
        if len(needed := np.unique(blocks)) > len(self.holds):  # rows in another order than ours
            pixels = torch.empty((len(asked), *self.shape), dtype=torch.uint8)
            for place, row in enumerate(asked.tolist()):
                self._read(row, pixels[place : place + 1])
        else:
            self._load(needed)
            at = self.slot[blocks] * self.block + asked % self.block
            pixels = self.kept.flatten(0, 1).index_select(0, torch.from_numpy(at))  # as in Images
        return Batch(pixels.to(torch.get_default_dtype()).div_(255), torch.full((len(rows),), HIDDEN))

    def _load(self, needed: Int[np.ndarray, " M"]) -> None:
        """Bring these blocks into memory, in the place of those that were not needed for longest."""
        self.clock += 1
        here = needed[self.slot[needed] >= 0]
        self.used[self.slot[here]] = self.clock
        missing = needed[self.slot[needed] < 0]
        if not len(missing):
            return
        for block, slot in zip(missing.tolist(), np.argsort(self.used, kind="stable").tolist(), strict=False):
            if self.holds[slot] >= 0:
                self.slot[self.holds[slot]] = -1
            first = block * self.block
            self._read(first, self.kept[slot, : len(self) - first])
            self.slot[block], self.holds[slot], self.used[slot] = slot, block, self.clock

    def _read(self, first: int, into: UInt8[Tensor, "M C H W"]) -> None:
        """Read as many images as there is room for, without a copy in between."""
        place = into.numpy().reshape(-1).data
        try:
            with self.path.open("rb") as file:
                file.seek(self.start + first * int(np.prod(self.shape)))
                count = file.readinto(place)
        except OSError as error:
            raise VaebenchError(f"{self.path} can no longer be read ({error.strerror}); put it back") from error
        if count < len(place):
            last = first + len(into)
            raise VaebenchError(f"{self.path} ends before image {last:,} of {len(self):,}; it was cut: write it again")


def _header(path: Path) -> tuple[tuple[int, int, int, int], int]:
    """Shape of the array and where its first image begins."""
    expected = "expected an .npy file of images (N, C, H, W), uint8, in C order"
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = read(file)
            start = file.tell()
    except (OSError, ValueError) as error:
        raise VaebenchError(f"{path} cannot be read ({error}); {expected}") from error
    if len(shape) != 4 or fortran or dtype != np.uint8 or not all(shape):
        raise VaebenchError(f"{path} holds an array {shape} of {dtype}; {expected}")
    if path.stat().st_size < start + int(np.prod(shape, dtype=object)):
        raise VaebenchError(f"{path} ends before its last image; it was cut: write it again")
    n, c, h, w = shape
    return (n, c, h, w), start
