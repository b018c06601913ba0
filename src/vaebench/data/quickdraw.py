"""Quick, Draw! bitmaps: the first rows of a class's official file, without downloading the rest."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import requests
from jaxtyping import UInt8

from vaebench.core.errors import VaebenchError
from vaebench.core.files import atomic
from vaebench.data import download
from vaebench.data.images import Progress, ignore_progress
from vaebench.data.npz import read_npy_header

FOLDER = "quickdraw/numpy_bitmap"
SIDE = 28
ROW = SIDE * SIDE
HEADER = 1024
"""Upper bound of the header's length in bytes; official files have 80."""

TEN = ("airplane", "apple", "bicycle", "cat", "coffee cup", "diamond", "fish", "shoe", "spoon", "tree")
NAMES = "https://github.com/googlecreativelab/quickdraw-dataset/blob/master/categories.txt"


def load_drawings(name: str, count: int, progress: Progress = ignore_progress) -> UInt8[np.ndarray, "N 28 28"]:
    """Return the first ``count`` drawings of class ``name`` in the official file, white on black.

    A cached file with fewer drawings is replaced by one with ``count``. No checksums are published for parts of
    these files; type, shape and length are checked.

    Source: https://github.com/googlecreativelab/quickdraw-dataset, Google, CC BY 4.0.

    Raises:
        VaebenchError: unknown class, fewer than ``count`` drawings, a damaged file, or no reachable server.
    """
    if not name or any(character in name for character in "/\\\0") or name.startswith("."):
        raise VaebenchError(f"classes contains {name!r}, which is not a quickdraw class; the names are at {NAMES}")
    cached = download.cache_folder() / FOLDER / f"{name}.npy"
    path = download.find(FOLDER, cached.name)
    rows = None if path is None else _read(path)
    if rows is None or (path == cached and len(rows) < count):
        rows = _fetch(name, count, progress)
        with atomic(cached) as temporary, temporary.open("wb") as file:
            np.save(file, rows, allow_pickle=False)
    if len(rows) < count:
        raise _too_few(str(path), len(rows), count)
    return np.array(rows[:count]).reshape(count, SIDE, SIDE)


def _read(path: Path) -> np.ndarray:
    try:
        rows: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # numpy raises many kinds on damaged headers
        raise VaebenchError(f"{path} is not a complete npy file; delete it and run again to download it") from error
    _check(str(path), rows.dtype, rows.shape)
    return rows


def _check(file: str, dtype: np.dtype, shape: tuple[int, ...]) -> None:
    if dtype != np.uint8 or len(shape) != 2 or shape[1] != ROW:
        raise VaebenchError(f"{file} contains {dtype} of shape {shape}; expected uint8 of shape (drawings, {ROW})")


def _too_few(file: str, available: int, count: int) -> VaebenchError:
    return VaebenchError(
        f"{file} has {available:,} drawings, but per_class is {count:,}; set per_class to {available} or lower"
    )


def _fetch(name: str, count: int, progress: Progress) -> np.ndarray:
    size = HEADER + count * ROW

    def get(url: str) -> np.ndarray:
        headers = {"Range": f"bytes=0-{size - 1}", "Accept-Encoding": "identity"}
        body = bytearray()
        with requests.get(url, headers=headers, stream=True, timeout=download.TIMEOUT) as response:
            response.raise_for_status()
            for chunk in response.iter_content(1 << 16):
                body += chunk
                progress(f"downloading {name}", min(len(body) / size, 1.0))
                if len(body) >= size:  # a server that ignores Range sends a hundred megabytes
                    break
        return _first_rows(bytes(body), url, count)

    try:
        return download.from_mirrors(FOLDER, f"{name}.npy", get)
    except VaebenchError as error:
        if "HTTP 404" in str(error):
            raise VaebenchError(f"quickdraw has no class {name!r}; the names are at {NAMES}") from error
        raise


def _first_rows(body: bytes, url: str, count: int) -> np.ndarray:
    file = io.BytesIO(body)
    try:
        shape, fortran_order, dtype = read_npy_header(file)
    except Exception as error:  # numpy lets its tokeniser's errors through
        raise ValueError("not an npy file") from error
    _check(url, dtype, shape)
    if shape[0] < count:
        raise _too_few(url, shape[0], count)
    data = body[file.tell() : file.tell() + count * ROW]
    if fortran_order or len(data) < count * ROW:
        raise ValueError("truncated")
    return np.frombuffer(data, np.uint8).reshape(count, ROW)
