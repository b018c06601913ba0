"""Reader of IDX files, the format of MNIST and its successors."""

from __future__ import annotations

import math

import numpy as np

from vaebench.core.errors import VaebenchError

UNSIGNED_BYTE = 0x08


def read_idx(data: bytes, name: str) -> np.ndarray:
    """Return the uint8 array of an uncompressed IDX file; error messages call the file ``name``.

    Reference: the description of the format on the MNIST page of LeCun, Cortes and Burges.

    Raises:
        VaebenchError: not an IDX file, another type than unsigned byte, or a length that contradicts the header.
    """
    if len(data) < 4 or data[:2] != b"\0\0":
        raise VaebenchError(f"{name} starts with {data[:4]!r}, so it is not an IDX file; download it again")
    kind, axes = data[2], data[3]
    if kind != UNSIGNED_BYTE:
        raise VaebenchError(f"{name} has IDX type 0x{kind:02x}; expected unsigned bytes, 0x08: download it again")
    start = 4 + 4 * axes
    if axes == 0 or len(data) < start:
        raise VaebenchError(f"{name} ends within its IDX header of {axes} axes; it is damaged: download it again")
    shape = tuple(int.from_bytes(data[at : at + 4], "big") for at in range(4, start, 4))
    expected = math.prod(shape)
    if len(data) - start != expected:
        raise VaebenchError(
            f"{name} has {len(data) - start:,} values, but its header states {expected:,} {shape}; "
            "it is truncated or damaged: download it again"
        )
    try:
        return np.frombuffer(data, np.uint8, offset=start).reshape(shape).copy()
    except ValueError as error:  # an empty array with too many or too long axes for numpy
        raise VaebenchError(
            f"{name} has an IDX header of shape {shape[:8]}, which no array can have: download it again"
        ) from error
