"""Official files: in ``$VAEBENCH_DATA``, else in the user's cache, else downloaded there; always checked."""

from __future__ import annotations

import gzip
import hashlib
import logging
import os
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import platformdirs
import pooch
import requests

from vaebench.core.errors import VaebenchError
from vaebench.data.images import Progress

MIRRORS: dict[str, tuple[str, ...]] = {
    "mnist": (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    "fashion-mnist": ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
    "cifar-10": ("https://www.cs.toronto.edu/~kriz/",),
    "quickdraw/numpy_bitmap": ("https://storage.googleapis.com/quickdraw_dataset/full/numpy_bitmap/",),
}
"""Addresses that serve the files of each folder, tried in this order."""

TRIES = 3
TIMEOUT = 30.0
"""Seconds without a byte after which a server counts as unreachable."""

T = TypeVar("T")


@dataclass(frozen=True)
class Official:
    """A published file: its folder and name, its md5 as published and, of a gz file, that of its contents."""

    folder: str
    name: str
    md5: str
    contents_md5: str = ""


def cache_folder() -> Path:
    """The folder that downloads are kept in."""
    return platformdirs.user_cache_path("vaebench")


def find(folder: str, name: str) -> Path | None:
    """The file or folder ``name`` in ``$VAEBENCH_DATA/folder``, else in the cache, else None.

    Raises:
        VaebenchError: ``VAEBENCH_DATA`` is set to something that is no folder.
    """
    roots = [cache_folder()]
    if given := os.environ.get("VAEBENCH_DATA"):
        if not Path(given).is_dir():
            raise VaebenchError(f"VAEBENCH_DATA is {given!r}, which is no folder; name one that exists or unset it")
        roots.insert(0, Path(given))
    return next((path for root in roots if (path := root / folder / name).exists()), None)


def read_gzip(file: Official, progress: Progress) -> bytes:
    """The uncompressed bytes of an official gz file, checked by their md5: other gz wrappers are fine.

    Raises:
        VaebenchError: no such file here and no server reached, a damaged file, or other contents.
    """
    path = find(file.folder, file.name) or _download(file, progress)
    try:
        data = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise VaebenchError(
            f"{path} cannot be unpacked ({error}); it is cut short or damaged: delete it and run again"
        ) from error
    _check(path, hashlib.md5(data, usedforsecurity=False).hexdigest(), file.contents_md5)
    return data


def fetch(file: Official, progress: Progress) -> Path:
    """The path of an official file, its md5 checked.

    Raises:
        VaebenchError: no such file here and no server reached, or a wrong checksum.
    """
    path = find(file.folder, file.name) or _download(file, progress)
    with path.open("rb") as opened:
        found = hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    _check(path, found, file.md5)
    return path


def _check(path: Path, found: str, expected: str) -> None:
    if found != expected:
        raise VaebenchError(f"{path} has md5 {found}, not the official {expected}; delete it and run again to fetch it")


def _download(file: Official, progress: Progress) -> Path:
    pooch.get_logger().setLevel(logging.WARNING)
    bar = _Bar(f"downloading {file.folder}/{file.name}", progress)
    identity = {"Accept-Encoding": "identity"}  # a server that unwraps gz files would change their md5
    downloader = pooch.HTTPDownloader(progressbar=bar, timeout=TIMEOUT, headers=identity)

    def get(url: str) -> Path:
        try:
            kept = pooch.retrieve(
                url, f"md5:{file.md5}", fname=file.name, path=cache_folder() / file.folder, downloader=downloader
            )
        except requests.RequestException:
            raise
        except ValueError as error:
            raise ValueError("wrong checksum") from error
        return Path(kept)

    return from_mirrors(file.folder, file.name, get)


def from_mirrors(folder: str, name: str, get: Callable[[str], T]) -> T:
    """What ``get(url)`` gives for the first of the folder's addresses that serves the file; each is tried
    several times, with a pause between rounds.

    Raises:
        VaebenchError: none served it: which file, which addresses, why, and where to put it by hand.
    """
    why: dict[str, str] = {}
    for attempt in range(TRIES):
        if attempt:
            time.sleep(attempt)
        for base in MIRRORS[folder]:
            url = base + quote(name)
            try:
                return get(url)
            except VaebenchError:
                raise
            except (requests.RequestException, ValueError) as error:
                why[url] = _reason(error)
            except OSError as error:
                raise VaebenchError(
                    f"{cache_folder() / folder / name} cannot be written ({error.strerror}); free some space or set "
                    "VAEBENCH_DATA to a folder that holds the data"
                ) from error
        if all(reason == "HTTP 404" for reason in why.values()):
            break
    tried = ", ".join(f"{url} ({reason})" for url, reason in why.items())
    raise VaebenchError(
        f"{name} could not be downloaded from {tried}; connect to the internet, or put the file in "
        f"$VAEBENCH_DATA/{folder}/{name}"
    )


def _reason(error: Exception) -> str:
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"HTTP {error.response.status_code}"
    if isinstance(error, requests.Timeout):
        return f"no answer in {TIMEOUT:g} s"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "cut short"
    if isinstance(error, requests.RequestException):
        return "cannot be reached"
    return str(error)


class _Bar:
    """What pooch takes for a progress bar."""

    def __init__(self, what: str, progress: Progress) -> None:
        self.what, self.progress = what, progress
        self.total, self.done = 0, 0

    def update(self, count: int) -> None:
        self.done += count
        if self.total:
            self.progress(self.what, min(self.done / self.total, 1.0))

    def reset(self) -> None:
        self.done = 0

    def close(self) -> None:
        """Nothing to close."""
