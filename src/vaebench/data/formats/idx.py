"""IDX files, in which MNIST is published: images, with the labels in a file beside them."""

from __future__ import annotations

import gzip
import io
import math
import zlib
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vaebench.core.errors import VaebenchError
from vaebench.data.formats.checks import check_memory, fingerprint_of
from vaebench.data.formats.labels import Labels, read_labels
from vaebench.data.formats.layouts import Rows, check_pixels, layout_of
from vaebench.data.image_set import ImageSet, array_set
from vaebench.data.printing import printable

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
"""numpy's type of each type code."""
MAX_AXES = 4


class Header(NamedTuple):
    """What an IDX file states at its beginning."""

    shape: tuple[int, ...]
    dtype: np.dtype
    start: int

    @property
    def size(self) -> int:
        """Bytes of the values."""
        return math.prod(self.shape) * self.dtype.itemsize


def open_idx(path: Path) -> ImageSet:
    """List the images of an IDX file, gzipped or not, with the labels of ``train-labels-idx1-ubyte`` beside
    ``train-images-idx3-ubyte``, if there are any.

    Raises:
        VaebenchError: a damaged file, a file of labels, or images and labels of different number.
    """
    array = read_idx_file(path)
    if array.ndim < 3:
        raise VaebenchError(
            f"{path} has an array of shape {array.shape}, not images; give the file of images beside it"
        )
    check_pixels(array.shape, array.dtype, str(path))
    beside = labels_beside(path)
    labels, used = Labels(), [path]
    if beside is not None:
        values, used = read_idx_file(beside), [path, beside]
        labels = read_labels(values, str(beside))
        if len(values) != len(array):
            raise VaebenchError(
                f"{path} has {len(array):,} images but {beside.name} has {len(values):,} labels; expected one each: "
                "download both again"
            )
    rows = Rows(array, layout_of(array.shape, str(path), len(array)))
    images = array_set(path, printable(path.name.partition(".")[0]), rows, fingerprint_of(used))
    return replace(images, labels=labels.names, classes=labels.classes, warnings=labels.warnings)


def labels_beside(path: Path) -> Path | None:
    """Return the file of labels beside a file of images, by its name; None if there is none."""
    lowered = path.name.lower()
    for other in sorted(path.parent.iterdir()):
        name = other.name.lower()
        if "labels" in name and _stem(name) == _stem(lowered.replace("images", "labels")) and other.is_file():
            return other
    return None


def _stem(name: str) -> str:
    """Return a name without its number of axes, its punctuation and .gz."""
    for word in (".gz", "idx1", "idx3", "idx4", "idx", "ubyte", "-", ".", "_"):
        name = name.replace(word, "")
    return name


def read_idx_file(path: Path) -> np.ndarray:
    """Return the array of an IDX file, mapped if it is not gzipped.

    Raises:
        VaebenchError: not an IDX file, or a length that contradicts the header.
    """
    try:
        if path.suffix.lower() != ".gz":
            with path.open("rb") as file:
                header = _header(file, path)
            _check_length(path, header, path.stat().st_size - header.start)
            return np.memmap(path, header.dtype, "r", header.start, header.shape) if header.size else _empty(header)
        with gzip.open(path) as unzipped:
            header = _header(unzipped, path)
            check_memory(header.size, str(path), "unpack it, which lets it be read in pieces")
            data = unzipped.read(header.size + 1)
        _check_length(path, header, len(data))
        return np.frombuffer(data, header.dtype).reshape(header.shape)
    except VaebenchError:
        raise
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise VaebenchError(f"{path} is not a complete IDX file ({error}); download it again") from error


def _empty(header: Header) -> np.ndarray:
    return np.empty(header.shape, header.dtype)


def _header(file: io.BufferedIOBase, path: Path) -> Header:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in TYPES or not 1 <= magic[3] <= MAX_AXES:
        raise VaebenchError(f"{path} starts with {magic!r}, so it is not an IDX file of images; download it again")
    axes = magic[3]
    sides = file.read(4 * axes)
    if len(sides) < 4 * axes:
        raise VaebenchError(f"{path} ends within its IDX header of {axes} axes; download it again")
    shape = tuple(int.from_bytes(sides[at : at + 4], "big") for at in range(0, 4 * axes, 4))
    return Header(shape, np.dtype(TYPES[magic[2]]), 4 + 4 * axes)


def _check_length(path: Path, header: Header, length: int) -> None:
    if length != header.size:
        more = "more than " if length > header.size else f"{length:,} bytes of values, but its header states "
        raise VaebenchError(f"{path} has {more}{header.size:,} bytes of {header.shape}; download it again")
