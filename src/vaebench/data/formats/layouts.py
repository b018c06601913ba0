"""Arrays of images whose axes stand in any order, read a row at a time as (H, W, C)."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

import numpy as np
from jaxtyping import Shaped

from vaebench.core.errors import VaebenchError
from vaebench.data.image_set import MAX_CHANNELS

BLOCKS = 8
"""Blocks of rows that are kept, so that rows of one compressed chunk are decompressed once."""
SCAN_BYTES = 1 << 24
"""Bytes that are scanned at a time for the range of wide integers."""
COLOURS = (1, 3)
LAYOUTS = "(N, H, W), (N, H, W, C) or (N, C, H, W) with C from 1 to 16"


class Rows:
    """Images (N, H, W, C) of an array with axes in any order.

    Booleans become 0 and 255; integers of more than 16 bits become uint8 or uint16 where all values fit.

    Args:
        array: an array, or anything with shape, dtype and slices, such as a dataset of HDF5.
        layout: the meaning of its axes: "NHW", "NHWC", "NCHW", "HWCN" and so on.
        block: rows that are read and kept at a time; 1 keeps none.
    """

    def __init__(self, array: Any, layout: str, block: int = 1) -> None:
        self.array, self.layout, self.block = array, layout, block
        sides = dict(zip(layout, array.shape, strict=True))
        self.shape: tuple[int, int, int, int] = (sides["N"], sides["H"], sides["W"], sides.get("C", 1))
        self._blocks: OrderedDict[int, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()
        self.stored: np.dtype = np.dtype(array.dtype).newbyteorder("=")
        self.dtype: np.dtype = self._narrow()

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, row: int) -> Shaped[np.ndarray, "H W C"]:
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self):,} rows")
        if self.block == 1:
            image: np.ndarray = self._cast(self._read(row, row + 1))[0]
            return image
        with self._lock:
            number = row // self.block
            if number not in self._blocks:
                self._blocks[number] = self._read(number * self.block, (number + 1) * self.block)
                if len(self._blocks) > BLOCKS:
                    self._blocks.popitem(last=False)
            self._blocks.move_to_end(number)
            block = self._blocks[number]
        return self._cast(block[row % self.block])

    def _read(self, first: int, last: int) -> Shaped[np.ndarray, "M H W C"]:
        index = tuple(slice(first, min(last, len(self))) if axis == "N" else slice(None) for axis in self.layout)
        values = np.asarray(self.array[index])
        if "C" not in self.layout:
            values = values[..., None]
        letters = self.layout if "C" in self.layout else f"{self.layout}C"
        return values.transpose([letters.index(axis) for axis in "NHWC"])

    def _cast(self, values: np.ndarray) -> np.ndarray:
        if values.dtype.kind == "b":
            return values.astype(np.uint8) * np.uint8(255)
        return np.ascontiguousarray(values, self.dtype)

    def _narrow(self) -> np.dtype:
        """Return the type in which values are given."""
        if self.stored.kind == "b":
            return np.dtype(np.uint8)
        if self.stored.kind == "f":
            return np.dtype(np.float64) if self.stored.itemsize > 8 else self.stored
        if self.stored.itemsize < 4:
            return self.stored
        low, high = self._range()
        if low < 0:
            return self.stored
        return np.dtype(np.uint8 if high < 1 << 8 else np.uint16 if high < 1 << 16 else self.stored)

    def _range(self) -> tuple[int, int]:
        size = int(np.prod(self.shape[1:])) * self.stored.itemsize
        step = max(1, SCAN_BYTES // max(size, 1) // self.block) * self.block
        blocks = (self._read(first, first + step) for first in range(0, len(self), step))
        ranges = [(int(block.min()), int(block.max())) for block in blocks if block.size]
        return min(low for low, _ in ranges), max(high for _, high in ranges)


def check_pixels(shape: tuple[int, ...], dtype: np.dtype, name: str) -> None:
    """Refuse an array that cannot be one of images; messages call it ``name``.

    Raises:
        VaebenchError: no pixels, or values that are not real numbers.
    """
    if dtype.kind == "O":
        raise VaebenchError(
            f"{name} contains Python objects, which are not loaded because they can run code; save it as an array of "
            "numbers"
        )
    if dtype.kind not in "biuf":
        raise VaebenchError(f"{name} is {dtype}; expected integers or floats, an array of images {LAYOUTS}")
    if 0 in shape:
        raise VaebenchError(f"{name} has shape {shape}, which has no pixels; add images")


def layout_of(shape: tuple[int, ...], name: str, count: int | None = None, matlab: bool = False) -> str:
    """Return the meaning of each axis of an array of images, such as "NHWC".

    Args:
        shape: 3 or 4 axes; messages give it with ``name``.
        count: number of labels, which is the number of images.
        matlab: whether the images of the file stand along the last axis, as MATLAB's users put them.

    Raises:
        VaebenchError: another number of axes, or several meanings are possible.
    """
    last = count is not None and shape[-1] == count != shape[0]
    first = count is not None and shape[0] == count != shape[-1]
    if len(shape) == 3:
        if not matlab and count is None and shape[2] in (1, 3, 4) and min(shape[:2]) > 4:
            raise VaebenchError(
                f"{name} has shape {shape}, which may be one colour image or {shape[0]:,} narrow ones; expected "
                f"{LAYOUTS}: give a single image as (1, {shape[0]}, {shape[1]}, {shape[2]})"
            )
        return "HWN" if last or (matlab and not first) else "NHW"
    if len(shape) == 4 and 1 <= shape[2] <= MAX_CHANNELS and (last or (matlab and not first and not _is_usual(shape))):
        return "HWCN"
    channels = _channel_axis(shape) if len(shape) == 4 else None
    if channels is None:
        raise VaebenchError(f"{name} has shape {shape}; expected {LAYOUTS}: transpose it so that only one reading fits")
    return "NCHW" if channels == 1 else "NHWC"


def _is_usual(shape: tuple[int, ...]) -> bool:
    """Whether a file of MATLAB has its images along the first axis, as files written by other programs do."""
    return shape[3] in COLOURS and shape[2] not in COLOURS


def _channel_axis(shape: tuple[int, ...]) -> int | None:
    """Return 1 or 3, or None if both or neither may be the axis of channels."""
    square = {1: shape[2] == shape[3], 3: shape[1] == shape[2]}
    for fits in (
        [axis for axis in (1, 3) if shape[axis] in COLOURS],
        [axis for axis in (1, 3) if 1 <= shape[axis] <= MAX_CHANNELS],
        [axis for axis in (1, 3) if 1 <= shape[axis] <= MAX_CHANNELS and square[axis]],
    ):
        if len(fits) == 1:
            return fits[0]
        if len(fits) == 2 and shape[1] in COLOURS and shape[3] in COLOURS:
            return None
    return None
