"""Access to official files: from ``$VAEBENCH_DATA``, the user's cache or a download, with checksums."""

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
from vaebench.data.images import Progress, ignore_progress

MIRRORS: dict[str, tuple[str, ...]] = {
    "mnist": ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
    "fashion-mnist": ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
    "cifar-10": ("https://www.cs.toronto.edu/~kriz/",),
    "quickdraw/numpy_bitmap": ("https://storage.googleapis.com/quickdraw_dataset/full/numpy_bitmap/",),
}
"""URLs that serve the files of each folder, tried in this order."""
ATTEMPTS = 3
TIMEOUT = 30.0
"""Seconds without a byte after which a server counts as unreachable."""
T = TypeVar("T")


@dataclass(frozen=True)
class Official:
    """Published file: folder, name, md5 checksum and, for a gz file, md5 checksum of the uncompressed contents."""

    folder: str
    name: str
    md5: str
    contents_md5: str = ""


def cache_folder() -> Path:
    """Return the folder for downloaded files."""
    return platformdirs.user_cache_path("vaebench")


def find(folder: str, name: str) -> Path | None:
    """Return the path of ``name`` in ``$VAEBENCH_DATA/folder`` or in the cache, or None if it is in neither.

    Raises:
        VaebenchError: ``VAEBENCH_DATA`` is not a folder.
    """
    roots = [cache_folder()]
    if root := os.environ.get("VAEBENCH_DATA"):
        if not Path(root).is_dir():
            raise VaebenchError(f"VAEBENCH_DATA is {root!r}, which is not a folder; set it to a folder or unset it")
        roots.insert(0, Path(root))
    return next((path for root in roots if (path := root / folder / name).exists()), None)


def read_gzip(file: Official, progress: Progress = ignore_progress) -> bytes:
    """Return the uncompressed contents of an official gz file, downloaded if necessary.

    The md5 of the contents is checked, so the file may have been compressed again.

    Raises:
        VaebenchError: no local file and no reachable server, a damaged file, or a wrong checksum.
    """
    path = find(file.folder, file.name) or _download(file, progress)
    try:
        data = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise VaebenchError(
            f"{path} cannot be unpacked ({error}); it is truncated or damaged: delete it and run again"
        ) from error
    _check(path, hashlib.md5(data, usedforsecurity=False).hexdigest(), file.contents_md5)
    return data


def fetch(file: Official, progress: Progress = ignore_progress) -> Path:
    """Return the path of an official file, downloaded if necessary, after checking its md5.

    Raises:
        VaebenchError: no local file and no reachable server, or a wrong checksum.
    """
    path = find(file.folder, file.name) or _download(file, progress)
    with path.open("rb") as opened:
        md5 = hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    _check(path, md5, file.md5)
    return path


def _check(path: Path, md5: str, expected: str) -> None:
    if md5 != expected:
        raise VaebenchError(f"{path} has md5 {md5}, not the official {expected}; delete it and run again")


def _download(file: Official, progress: Progress) -> Path:
    pooch.get_logger().setLevel(logging.WARNING)
    bar = _Bar(f"downloading {file.folder}/{file.name}", progress)
    folder = cache_folder() / file.folder
    identity = {"Accept-Encoding": "identity"}  # a server that decompresses gz files would change their md5
    downloader = pooch.HTTPDownloader(progressbar=bar, timeout=TIMEOUT, headers=identity)

    def get(url: str) -> Path:
        try:
            return Path(pooch.retrieve(url, f"md5:{file.md5}", fname=file.name, path=folder, downloader=downloader))
        except ValueError as error:
            raise ValueError("wrong checksum") from error

    return from_mirrors(file.folder, file.name, get)


def from_mirrors(folder: str, name: str, get: Callable[[str], T]) -> T:
    """Return ``get(url)`` for the first of the folder's mirrors that serves the file.

    All mirrors are tried several times, with a pause between rounds.

    Raises:
        VaebenchError: no mirror served it; the message names the file, the URLs, the reasons and where to put the
            file by hand.
    """
    reasons: dict[str, str] = {}
    for attempt in range(ATTEMPTS):
        time.sleep(attempt)
        for base in MIRRORS[folder]:
            url = base + quote(name)
            try:
                return get(url)
            except VaebenchError:
                raise
            except (requests.RequestException, ValueError) as error:
                reasons[url] = _reason(error)
            except OSError as error:
                raise VaebenchError(
                    f"{cache_folder() / folder / name} cannot be written ({error.strerror}); free some space or set "
                    "VAEBENCH_DATA to a folder that contains the data"
                ) from error
        if all(reason == "HTTP 404" for reason in reasons.values()):
            break
    tried = ", ".join(f"{url} ({reason})" for url, reason in reasons.items())
    raise VaebenchError(
        f"{name} could not be downloaded from {tried}; connect to the internet, or put the file in "
        f"$VAEBENCH_DATA/{folder}/{name}"
    )


def _reason(error: Exception) -> str:
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"HTTP {error.response.status_code}"
    reasons = {
        requests.Timeout: f"no answer in {TIMEOUT:g} s",
        requests.exceptions.ChunkedEncodingError: "truncated",
        requests.RequestException: "cannot be reached",
    }
    return next((reason for kind, reason in reasons.items() if isinstance(error, kind)), str(error))


@dataclass
class _Bar:
    """Progress bar in the interface of tqdm that pooch expects."""

    task: str
    progress: Progress
    total: int = 0
    done: int = 0

    def update(self, count: int) -> None:
        self.done += count
        if self.total:
            self.progress(self.task, min(self.done / self.total, 1.0))

    def reset(self) -> None:
        self.done = 0

    def close(self) -> None:
        """Part of tqdm's interface."""
