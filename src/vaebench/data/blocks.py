"""Blocks: images in one file that may be larger than memory, read a window of shuffled blocks at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from vaebench.core.errors import VaebenchError
from vaebench.data.images import HIDDEN, Batch

BLOCK_BYTES = 1 << 16
"""About so much is read at once."""
WINDOW = 256
"""Blocks whose images are shuffled together: as many draws from the classes of a file that is sorted by class."""


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
            self._read((row, pixels[place : place + 1]) for place, row in enumerate(asked.tolist()))
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
        freed = np.argsort(self.used, kind="stable")[: len(missing)]
        left = self.holds[freed]
        self.slot[left[left >= 0]] = -1
        self.holds[freed] = -1
        firsts = (missing * self.block).tolist()
        self._read(
            (first, self.kept[slot, : len(self) - first]) for first, slot in zip(firsts, freed.tolist(), strict=True)
        )
        self.slot[missing], self.holds[freed], self.used[freed] = freed, missing, self.clock

    def _read(self, wanted: Iterable[tuple[int, UInt8[Tensor, "_ C H W"]]]) -> None:
        """Read from each first image as many as there is room for, without a copy in between."""
        image = int(np.prod(self.shape))
        try:
            with self.path.open("rb") as file:
                for first, into in wanted:
                    place = into.numpy().reshape(-1).data
                    file.seek(self.start + first * image)
                    if file.readinto(place) < len(place):
                        raise VaebenchError(
                            f"{self.path} ends before image {first + len(into):,} of {len(self):,}; it was cut: write "
                            "it again"
                        )
        except OSError as error:
            raise VaebenchError(f"{self.path} can no longer be read ({error.strerror}); put it back") from error


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
