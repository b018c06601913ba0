"""HDF5 files, and MATLAB files of version 7.3, which are HDF5 with the axes of each array in reverse order."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from vaebench.core.errors import VaebenchError
from vaebench.data.formats.checks import check_memory, fingerprint_of, library
from vaebench.data.formats.layouts import BLOCKS
from vaebench.data.formats.named import NamedArray, open_named
from vaebench.data.image_set import ImageSet, RawImage, UnreadableImageError
from vaebench.data.printing import printable

MAX_DATASETS = 1000
"""Data sets that are looked at in a file."""
BLOCK_BYTES = 1 << 20
"""Bytes of rows that are read at a time from a file that is not compressed."""


def open_hdf5(path: Path, matlab: bool = False) -> ImageSet:
    """List the images of an HDF5 file: a data set of 3 or 4 axes, with labels of the same number beside it.

    Images are read from the file a few chunks at a time. Groups ``train`` and ``test``, or such words in the names of
    the data sets, are parts.

    Args:
        path: the file.
        matlab: whether MATLAB wrote it, with its axes in reverse order; data sets that MATLAB marks are known as such.

    Raises:
        VaebenchError: h5py is not installed, a damaged file, or as :func:`open_named`.
    """
    h5py = library("h5py", path)
    try:
        file = h5py.File(path, "r")
        datasets = _datasets(h5py, file)
        arrays = [_named(name, dataset, matlab) for name, dataset in datasets.items()]
        images = open_named(path, [array for array in arrays if array is not None], fingerprint_of([path]))
    except VaebenchError:
        raise
    except MemoryError as error:
        raise VaebenchError(f"{path} has arrays larger than this machine's memory; make them smaller") from error
    except Exception as error:  # h5py raises half a dozen kinds on damaged files
        raise VaebenchError(
            f"{path} is not a complete HDF5 file ({_reason(error)}); save or download it again"
        ) from error
    return _guarded(images)


def _datasets(h5py: Any, file: Any) -> dict[str, Any]:
    datasets: dict[str, Any] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and not name.startswith("#") and len(datasets) < MAX_DATASETS:
            datasets[name] = item

    file.visititems(visit)
    return datasets


def _named(name: str, dataset: Any, matlab: bool) -> NamedArray | None:
    marked = dataset.attrs.get("MATLAB_class")
    transposed = matlab or marked is not None
    if dataset.shape is None or (transposed and dataset.attrs.get("MATLAB_empty")):
        return None
    kind = dataset.dtype
    if transposed and marked in (b"logical", "logical"):
        kind = np.dtype(bool)
    block = _rows_at_a_time(dataset)
    shape = dataset.shape[::-1] if transposed else dataset.shape
    stored = dataset if kind == dataset.dtype else _Cast(dataset, kind)
    return NamedArray(printable(name), shape, kind, _opener(stored, name), block, transposed, transposed)


def _opener(stored: Any, name: str) -> Callable[[], Any]:
    def load() -> Any:
        if len(stored.shape) < 3:
            check_memory(int(np.prod(stored.shape, dtype=object)) * stored.dtype.itemsize, name, "make it smaller")
            return np.asarray(stored[()])
        row = int(np.prod(stored.shape[1:], dtype=object)) * stored.dtype.itemsize
        check_memory(row * _rows_at_a_time(stored) * BLOCKS, f"a block of {name}", "save it in smaller chunks")
        return stored

    return load


class _Cast:
    """A data set whose values are given in another type."""

    def __init__(self, dataset: Any, dtype: np.dtype) -> None:
        self.dataset, self.dtype, self.shape, self.chunks = dataset, dtype, dataset.shape, dataset.chunks

    def __getitem__(self, index: Any) -> np.ndarray:
        return np.asarray(self.dataset[index]).astype(self.dtype)


def _rows_at_a_time(dataset: Any) -> int:
    """Return the number of rows whose chunks are read together."""
    if not dataset.shape or 0 in dataset.shape:
        return 1
    row = math.prod(dataset.shape[1:]) * int(dataset.dtype.itemsize)
    chunk: int = dataset.chunks[0] if dataset.chunks else 1
    return chunk * max(1, BLOCK_BYTES // max(1, int(row) * chunk))


def _guarded(images: ImageSet) -> ImageSet:
    """Return a set whose errors of reading, as those of a damaged chunk, name the row."""

    def read(row: int, at_least: int | None = None) -> RawImage:
        try:
            return images.read(row, at_least)
        except Exception as error:  # h5py raises half a dozen kinds on damaged chunks
            raise UnreadableImageError(f"is damaged ({_reason(error)})") from error

    return ImageSet(**{**vars(images), "read": read})


def _reason(error: Exception) -> str:
    return printable(str(error).splitlines()[0])[:80] if str(error) else type(error).__name__
