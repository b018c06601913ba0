"""Quick, Draw! bitmaps: the first rows of a class's official file, without fetching the rest."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import requests
from jaxtyping import UInt8

from vaebench.core.errors import VaebenchError
from vaebench.core.files import atomic
from vaebench.data import download
from vaebench.data.images import Progress

FOLDER = "quickdraw/numpy_bitmap"
SIDE = 28
ROW = SIDE * SIDE
HEADER = 1024
"""Bytes that surely hold the header of an official file (it has 80)."""

TEN = ("airplane", "apple", "bicycle", "cat", "coffee cup", "diamond", "fish", "shoe", "spoon", "tree")
NAMES = "https://github.com/googlecreativelab/quickdraw-dataset/blob/master/categories.txt"


def drawings(name: str, count: int, progress: Progress) -> UInt8[np.ndarray, "N 28 28"]:
    """The first ``count`` drawings of class ``name``, white on black, as the official files have them.

    A file in the cache that holds fewer is fetched again with as many as asked. No checksum is published for
    parts of these files; type, shape and length are checked.

    Source: https://github.com/googlecreativelab/quickdraw-dataset, Google, CC BY 4.0.

    Raises:
        VaebenchError: no such class, fewer drawings than asked, a damaged file, or no server reached.
    """
    if not name or any(mark in name for mark in "/\\\0") or name.startswith("."):
        raise VaebenchError(f"classes names {name!r}, which is no quickdraw class; the names are at {NAMES}")
    kept = download.cache_folder() / FOLDER / f"{name}.npy"
    path = download.find(FOLDER, kept.name)
    rows = None if path is None else _read(path)
    if rows is None or (path == kept and len(rows) < count):
        rows = _fetch(name, count, progress)
        with atomic(kept) as temporary, temporary.open("wb") as file:
            np.save(file, rows, allow_pickle=False)
    if len(rows) < count:
        raise _too_few(str(path), len(rows), count)
    return np.array(rows[:count]).reshape(count, SIDE, SIDE)


def _read(path: Path) -> np.ndarray:
    try:
        rows: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # numpy raises many kinds on damaged headers
        raise VaebenchError(f"{path} is no whole npy file; delete it and run again to fetch it") from error
    _check(str(path), rows.dtype, rows.shape)
    return rows


def _check(where: str, dtype: np.dtype, shape: tuple[int, ...]) -> None:
    if dtype != np.uint8 or len(shape) != 2 or shape[1] != ROW:
        raise VaebenchError(f"{where} holds {dtype} of shape {shape}; expected uint8 of shape (drawings, {ROW})")


def _too_few(where: str, found: int, count: int) -> VaebenchError:
    return VaebenchError(
        f"{where} holds {found:,} drawings, but {count:,} were asked; set per_class to {found} or lower"
    )


def _fetch(name: str, count: int, progress: Progress) -> np.ndarray:
    wanted = HEADER + count * ROW

    def get(url: str) -> np.ndarray:
        headers = {"Range": f"bytes=0-{wanted - 1}", "Accept-Encoding": "identity"}
        body = bytearray()
        with requests.get(url, headers=headers, stream=True, timeout=download.TIMEOUT) as response:
            response.raise_for_status()
            for chunk in response.iter_content(1 << 16):
                body += chunk
                progress(f"downloading {name}", min(len(body) / wanted, 1.0))
                if len(body) >= wanted:  # a server that ignores Range would go on for a hundred megabytes
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
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, by_column, dtype = read_header(file)
    except Exception as error:  # numpy lets its tokeniser's errors through
        raise ValueError("no npy file") from error
    _check(url, dtype, shape)
    if shape[0] < count:
        raise _too_few(url, shape[0], count)
    data = body[file.tell() : file.tell() + count * ROW]
    if by_column or len(data) < count * ROW:
        raise ValueError("cut short")
    return np.frombuffer(data, np.uint8).reshape(count, ROW)
