"""The IDX format of MNIST and its relatives."""

from __future__ import annotations

import math

import numpy as np

from vaebench.core.errors import VaebenchError

UNSIGNED_BYTE = 0x08


def read_idx(data: bytes, name: str) -> np.ndarray:
    """The uint8 array in an uncompressed IDX file, of any shape; ``name`` is said in errors.

    Source: the format's description beside MNIST, LeCun, Cortes and Burges.

    Raises:
        VaebenchError: not IDX, not unsigned bytes, or more or fewer of them than the header promises.
    """
    if len(data) < 4 or data[:2] != b"\0\0":
        raise VaebenchError(f"{name} starts with {data[:4]!r}, not as an IDX file does; fetch it again")
    kind, axes = data[2], data[3]
    if kind != UNSIGNED_BYTE:
        raise VaebenchError(f"{name} holds IDX type 0x{kind:02x}; expected unsigned bytes, 0x08: fetch it again")
    start = 4 + 4 * axes
    if axes == 0 or len(data) < start:
        raise VaebenchError(f"{name} ends within its IDX header of {axes} axes; it is damaged: fetch it again")
    shape = tuple(int.from_bytes(data[at : at + 4], "big") for at in range(4, start, 4))
    promised = math.prod(shape)
    if len(data) - start != promised:
        raise VaebenchError(
            f"{name} promises {promised:,} values {shape} in its header but holds {len(data) - start:,}; "
            "it was cut short or damaged: fetch it again"
        )
    try:
        return np.frombuffer(data, np.uint8, offset=start).reshape(shape).copy()
    except ValueError as error:  # no values, on axes too many or too long for numpy
        raise VaebenchError(
            f"{name} has an IDX header of shape {shape[:8]}, which no array can have: fetch it again"
        ) from error
