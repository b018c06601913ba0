"""MATLAB files: version 5 to 7 by the published description of the format, 7.3 as HDF5.

scipy's reader is not used, as a damaged type code ends the process in it (scipy 1.17.1).
"""

from __future__ import annotations

import math
import struct
import zlib
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from vaebench.core.errors import VaebenchError
from vaebench.data.formats.checks import check_memory, fingerprint_of
from vaebench.data.formats.hdf5 import open_hdf5
from vaebench.data.formats.named import NamedArray, open_named
from vaebench.data.image_set import ImageSet
from vaebench.data.printing import printable

SIGNATURE = b"\x89HDF\r\n\x1a\n"
USER_BLOCKS = (0, 512, 1024, 2048)
"""Offsets at which HDF5 may begin; MATLAB uses 512."""
HEADER = 128
"""Bytes of a version 5 file before its first element."""
MATRIX, COMPRESSED = 14, 15
STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""numpy's type of each code of stored values."""
CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
"""numpy's type of each class of arrays; the other classes are texts, cells, structures and sparse arrays."""
LOGICAL, COMPLEX = 0x200, 0x800
HEAD_BYTES = 1 << 16
"""Bytes in which name and shape of a variable are found."""


class Element(NamedTuple):
    """Where a variable is in its file."""

    start: int
    size: int
    compressed: bool
    order: str
    """Byte order: "<" or ">"."""


class Variable(NamedTuple):
    """What an array's own header says."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    """Type of its class; object for classes that are no numbers."""
    stored: np.dtype
    at: int
    """Offset of the values in the decompressed element."""


def open_matlab(path: Path) -> ImageSet:
    """List the images of a MATLAB file: SVHN's ``X`` (H, W, C, N) and ``y``, or other arrays by name.

    Raises:
        VaebenchError: a damaged file, or as :func:`open_named`.
    """
    try:
        with path.open("rb") as file:
            starts = [_read_at(file, offset, len(SIGNATURE)) for offset in USER_BLOCKS]
            if SIGNATURE not in starts:
                arrays = _arrays(path, file)
    except OSError as error:
        raise VaebenchError(f"{path} cannot be read ({error.strerror})") from error
    except (ValueError, struct.error, zlib.error) as error:
        raise _incomplete(path, error) from error
    if SIGNATURE in starts:
        return open_hdf5(path, matlab=True)
    return open_named(path, arrays, fingerprint_of([path]))


def _arrays(path: Path, file: IO[bytes]) -> list[NamedArray]:
    mark = _read_at(file, HEADER - 2, 2)
    if mark not in (b"IM", b"MI"):
        raise ValueError("not of version 5 to 7.3")
    order = "<" if mark == b"IM" else ">"
    arrays, at, end = [], HEADER, path.stat().st_size
    while at < end:
        kind, size = struct.unpack(f"{order}II", _read_at(file, at, 8))
        element = Element(at + 8, size, kind == COMPRESSED, order)
        at += 8 + size
        if kind not in (MATRIX, COMPRESSED) or at > end:
            raise ValueError("a variable is cut off or damaged")
        variable = _variable(_head(_read_at(file, element.start, min(size, HEAD_BYTES)), element), order)
        load = partial(_load, path, element, variable)
        arrays.append(NamedArray(printable(variable.name), variable.shape, variable.dtype, load, matlab=True))
    return arrays


def _read_at(file: IO[bytes], offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(size)


def _head(data: bytes, element: Element) -> bytes:
    """Return the beginning of a variable, decompressed and without its tag."""
    return zlib.decompressobj().decompress(data, HEAD_BYTES)[8:] if element.compressed else data


def _variable(head: bytes, order: str) -> Variable:
    flags_at, _, _, at = _tag(head, 0, order)
    (flags,) = struct.unpack_from(f"{order}I", head, flags_at)
    shape_at, _, size, at = _tag(head, at, order)
    shape = struct.unpack_from(f"{order}{size // 4}i", head, shape_at)
    name_at, _, size, at = _tag(head, at, order)
    name = head[name_at : name_at + size].decode("ascii", "replace")
    if min(shape, default=-1) < 0 or len(shape) > 32:
        raise ValueError("an array has no shape")
    if (flags & 0xFF) not in CLASSES or flags & COMPLEX:
        return Variable(name, shape, np.dtype(object), np.dtype("u1"), 0)
    dtype = np.dtype(bool) if flags & LOGICAL else np.dtype(CLASSES[flags & 0xFF])
    values_at, code, size, _ = _tag(head, at, order)
    if code not in STORED or size != math.prod(shape) * np.dtype(STORED[code]).itemsize:
        raise ValueError("an array has another size than its shape")
    return Variable(name, shape, dtype, np.dtype(f"{order}{STORED[code]}"), values_at)


def _tag(data: bytes, at: int, order: str) -> tuple[int, int, int, int]:
    """Return where the values of a part begin, their type, their size in bytes, and where the next part begins."""
    code, size = struct.unpack_from(f"{order}II", data, at)
    if code >> 16:  # up to 4 bytes stand in the tag itself
        return at + 4, code & 0xFFFF, code >> 16, at + 8
    return at + 8, code, size, at + 8 + -(-size // 8) * 8


def _load(path: Path, element: Element, variable: Variable) -> np.ndarray:
    """Return the values of a variable in the order of its shape.

    Raises:
        VaebenchError: damaged or cut off, or larger than the memory.
    """
    if variable.dtype.kind == "O":
        raise VaebenchError(f"{path}: {printable(variable.name)} is no array of numbers; save it as one")
    count = math.prod(variable.shape)
    size = variable.at + count * variable.stored.itemsize
    check_memory(2 * size, f"{path}: {printable(variable.name)}", "save it with -v7.3, which is read in pieces")
    try:
        with path.open("rb") as file:
            data = _read_at(file, element.start, element.size)
        if element.compressed:
            data = zlib.decompressobj().decompress(data, size + 8)[8:]
        values = np.frombuffer(data, variable.stored, count, variable.at)
    except (OSError, ValueError, zlib.error) as error:
        raise _incomplete(path, error) from error
    return values.reshape(variable.shape, order="F").astype(variable.dtype)


def _incomplete(path: Path, error: Exception) -> VaebenchError:
    reason = printable(str(error))[:80]
    return VaebenchError(
        f"{path} is not a complete MATLAB file ({reason}); save or download it again with -v7 or -v7.3"
    )
