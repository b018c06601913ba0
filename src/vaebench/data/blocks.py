"""Images in one file that may be larger than memory, read in windows of shuffled blocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from vaebench.core.errors import VaebenchError
from vaebench.data.images import HIDDEN, Batch
from vaebench.data.npz import read_npy_header

BLOCK_BYTES = 1 << 16
"""Default size of a block."""
WINDOW = 256
"""Default number of blocks shuffled together; a file sorted by class needs many to mix the classes."""


class Blocks:
    """Unlabelled 8-bit images of an .npy file (N, C, H, W): a source of batches that needs little memory.

    An epoch reads windows of blocks drawn from the whole file and visits the images of each window in random order.
    Two windows are buffered, whatever the size of the file. The order depends on the seed alone.

    Args:
        path: the file.
        block_bytes: bytes read at a time; a block holds at least one image.
        window: number of blocks shuffled together.

    Raises:
        VaebenchError: the file is missing or does not contain such an array.
    """

    def __init__(self, path: str | Path, *, block_bytes: int = BLOCK_BYTES, window: int = WINDOW) -> None:
        self.path = Path(path)
        self.array_shape, self.start = _read_header(self.path)
        self.image_bytes = int(np.prod(self.shape))
        self.block = max(1, block_bytes // self.image_bytes)
        self.window = window
        blocks, slots = -(-len(self) // self.block), 2 * window
        self.buffer = torch.empty((slots, self.block, *self.shape), dtype=torch.uint8)
        self.slot_of_block = np.full(blocks, -1)
        self.block_in_slot = np.full(slots, -1)
        self.last_used = np.zeros(slots, np.int64)
        self.clock = 0

    def __len__(self) -> int:
        return self.array_shape[0]

    def __repr__(self) -> str:
        c, h, w = self.shape
        return f"Blocks({self.path}: {len(self):,} of {c}x{h}x{w}, {self.block:,} a block, {self.window} a window)"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        return self.array_shape[1:]

    def order(self, seed: Sequence[int]) -> Iterator[Int[np.ndarray, " M"]]:
        """Yield every row once, in shuffled windows of random blocks."""
        generator = np.random.default_rng(seed)
        blocks = generator.permutation(len(self.slot_of_block))
        for first in range(0, len(blocks), self.window):
            starts = blocks[first : first + self.window] * self.block
            rows = (starts[:, None] + np.arange(self.block)).ravel()
            yield generator.permutation(rows[rows < len(self)])

    def batch(self, rows: Int[Tensor, " B"]) -> Batch:
        """Return the unlabelled batch of these rows, pixels in [0, 1].

        Raises:
            VaebenchError: the file was truncated or removed.
        """
        indices = rows.cpu().numpy()
        blocks = indices // self.block
        if len(needed := np.unique(blocks)) > len(self.block_in_slot):  # rows in another order than `order`
            pixels = torch.empty((len(indices), *self.shape), dtype=torch.uint8)
            self._read((row, pixels[place : place + 1]) for place, row in enumerate(indices.tolist()))
        else:
            self._load(needed)
            places = self.slot_of_block[blocks] * self.block + indices % self.block
            pixels = self.buffer.flatten(0, 1).index_select(0, torch.from_numpy(places))
        return Batch(pixels.to(torch.get_default_dtype()).div_(255), torch.full((len(rows),), HIDDEN))

    def _load(self, needed: Int[np.ndarray, " M"]) -> None:
        """Buffer these blocks, evicting the least recently used ones."""
        self.clock += 1
        slots = self.slot_of_block[needed]
        self.last_used[slots[slots >= 0]] = self.clock
        missing = needed[slots < 0]
        if not len(missing):
            return
        freed = np.argsort(self.last_used, kind="stable")[: len(missing)]
        evicted = self.block_in_slot[freed]
        self.slot_of_block[evicted[evicted >= 0]] = -1
        self.block_in_slot[freed] = -1
        firsts = (missing * self.block).tolist()
        self._read(
            (first, self.buffer[slot, : len(self) - first]) for first, slot in zip(firsts, freed.tolist(), strict=True)
        )
        self.slot_of_block[missing], self.block_in_slot[freed], self.last_used[freed] = freed, missing, self.clock

    def _read(self, requests: Iterable[tuple[int, UInt8[Tensor, "_ C H W"]]]) -> None:
        """Fill each tensor with consecutive images from the given row on, without an intermediate copy."""
        try:
            with self.path.open("rb") as file:
                for first, target in requests:
                    memory = target.numpy().reshape(-1).data
                    file.seek(self.start + first * self.image_bytes)
                    if file.readinto(memory) < len(memory):
                        raise VaebenchError(
                            f"{self.path} ends before image {first + len(target):,} of {len(self):,}; it was "
                            "truncated: write it again"
                        )
        except OSError as error:
            raise VaebenchError(f"{self.path} can no longer be read ({error.strerror}); restore it") from error


def _read_header(path: Path) -> tuple[tuple[int, int, int, int], int]:
    """Return the shape of the array and the offset of its first image."""
    expected = "expected an .npy file of images (N, C, H, W), uint8, in C order"
    try:
        with path.open("rb") as file:
            shape, fortran_order, dtype = read_npy_header(file)
            start = file.tell()
    except (OSError, ValueError) as error:
        raise VaebenchError(f"{path} cannot be read ({error}); {expected}") from error
    if len(shape) != 4 or fortran_order or dtype != np.uint8 or not all(shape):
        raise VaebenchError(f"{path} contains an array {shape} of {dtype}; {expected}")
    if path.stat().st_size < start + int(np.prod(shape, dtype=object)):
        raise VaebenchError(f"{path} ends before its last image; it was truncated: write it again")
    n, c, h, w = shape
    return (n, c, h, w), start
