"""Arrays of numpy: .npz and .npy files. Nothing is unpickled."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from vaebench.core.errors import VaebenchError
from vaebench.data.blocks import read_npy_header
from vaebench.data.formats.checks import check_memory, fingerprint_of, memory_bytes
from vaebench.data.formats.named import NamedArray, open_named
from vaebench.data.image_set import ImageSet
from vaebench.data.printing import printable

LOCAL_HEADER = 30
"""Bytes of a zip's local header before the member's name."""


def open_npz(path: Path) -> ImageSet:
    """List the images of an npz file: ``x_train``, ``y_train``, ``x_test``, ``y_test``, ``class_names``; MedMNIST's
    ``train_images`` and ``train_labels``; dSprites' ``imgs`` and ``latents_classes``; or a single array.

    Arrays are loaded when the file is opened, but mapped if they are larger than half the memory and not compressed.

    Raises:
        VaebenchError: a damaged file, pickled objects, or as :func:`open_named`.
    """
    return open_named(path, list_npz(path), fingerprint_of([path]))


def open_npy(path: Path) -> ImageSet:
    """List the images of an npy file, an array (N, H, W), (N, H, W, C) or (N, C, H, W), which is mapped, not loaded.

    Raises:
        VaebenchError: a damaged file, pickled objects, or as :func:`open_named`.
    """
    return open_named(path, [read_npy(path)], fingerprint_of([path]))


def open_arrays(path: Path, files: Sequence[Path]) -> ImageSet:
    """List the images of a folder with one array a file, npy or npz, whose names tell images, labels and parts.

    Raises:
        VaebenchError: as :func:`open_npz`, or an npz of several arrays.
    """
    arrays = []
    for file in files:
        members = [read_npy(file)] if file.suffix.lower() == ".npy" else list_npz(file)
        if len(members) != 1:
            raise VaebenchError(f"{file} has {len(members):,} arrays beside files of one; give this file alone")
        arrays.append(replace(members[0], name=file.stem))
    return open_named(path, arrays, fingerprint_of(files))


def read_npy(path: Path) -> NamedArray:
    """Return the array of an npy file, mapped when it is opened.

    Raises:
        VaebenchError: not a complete npy file.
    """
    try:
        with path.open("rb") as file:
            shape, _, dtype = _read_header(file)
            complete = dtype.kind == "O" or path.stat().st_size >= file.tell() + _size(shape, dtype)
    except OSError as error:
        raise VaebenchError(f"{path} cannot be read ({error.strerror})") from error
    except Exception as error:  # numpy lets its tokeniser's errors through
        raise _incomplete(path, "npy", "np.save") from error
    if not complete:
        raise _incomplete(path, "npy", "np.save")

    def load() -> np.ndarray:
        _check_plain(dtype, str(path))
        mapped: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
        return mapped

    return NamedArray(path.stem, shape, dtype, load)


def list_npz(path: Path) -> list[NamedArray]:
    """Return the arrays of an npz file by their headers; each is loaded when it is opened.

    Raises:
        VaebenchError: not a complete npz file.
    """
    arrays = []
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                with archive.open(entry) as file:
                    shape, order, dtype = _read_header(file)
                    start = file.tell()  # type: ignore[attr-defined]
                if dtype.kind != "O" and entry.file_size != start + _size(shape, dtype):
                    raise ValueError("a header that contradicts the size of the array")
                name = entry.filename.removesuffix(".npy")
                load = partial(_load, path, entry, start, (shape, order, dtype))
                arrays.append(NamedArray(printable(name), shape, dtype, load))
    except OSError as error:
        raise VaebenchError(f"{path} cannot be read ({error})") from error
    except Exception as error:  # zipfile and numpy raise a dozen kinds on damaged files
        raise _incomplete(path, "npz", "np.savez") from error
    return arrays


def _load(path: Path, entry: zipfile.ZipInfo, start: int, header: tuple[tuple[int, ...], bool, np.dtype]) -> Any:
    shape, fortran_order, dtype = header
    name = f"{path}: {printable(PurePosixPath(entry.filename).stem)}"
    _check_plain(dtype, name)
    try:
        if entry.compress_type == zipfile.ZIP_STORED and entry.file_size > memory_bytes() // 2:
            with path.open("rb") as file:
                file.seek(entry.header_offset)
                local = file.read(LOCAL_HEADER)
            start += (
                entry.header_offset
                + LOCAL_HEADER
                + sum(int.from_bytes(local[at : at + 2], "little") for at in (26, 28))
            )
            return np.memmap(path, dtype, "r", start, shape, "F" if fortran_order else "C")
        check_memory(entry.file_size, name, "save it with np.savez, which does not compress, or make it smaller")
        with zipfile.ZipFile(path) as archive, archive.open(entry) as member:
            return np.lib.format.read_array(member, allow_pickle=False)
    except VaebenchError:
        raise
    except MemoryError as error:
        raise VaebenchError(f"{name} is too large for this machine's memory; make it smaller") from error
    except Exception as error:  # zipfile and numpy raise a dozen kinds on damaged files
        raise _incomplete(path, "npz", "np.savez") from error


def _read_header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    shape, fortran_order, dtype = read_npy_header(file)
    if any(side < 0 for side in shape):
        raise ValueError("negative side")
    return shape, fortran_order, dtype


def _size(shape: tuple[int, ...], dtype: np.dtype) -> int:
    return math.prod(shape) * dtype.itemsize


def _check_plain(dtype: np.dtype, name: str) -> None:
    if dtype.hasobject:
        raise VaebenchError(
            f"{name} contains Python objects, which are not loaded because they can run code; save it as an array of "
            "numbers or strings"
        )


def _incomplete(path: Path, kind: str, function: str) -> VaebenchError:
    return VaebenchError(f"{path} is not a complete {kind} file; save it again with {function}")
