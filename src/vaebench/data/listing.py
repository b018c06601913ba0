"""Image files where they lie: in a folder or a zip, by the parts of their names, read without unpacking."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vaebench.core.errors import VaebenchError

FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
}
BYTE_LIMIT = 1 << 26
"""Bytes of the largest image file that is read, so that no archive can fill the memory."""

PathParts = tuple[str, ...]


class UnreadableImageError(Exception):
    """Why an image is refused; the file's name is put before it."""


@dataclass(frozen=True)
class Files:
    """What a folder or zip holds: images by the parts of their names, all folders, how to read an image."""

    root: Path
    images: tuple[PathParts, ...]
    folders: frozenset[PathParts]
    read: Callable[[PathParts], bytes]
    stamp: Callable[[PathParts], tuple[int, int]]
    """Size in bytes, and time of change (ns) or checksum: other values mean other contents."""
    others: int = 0
    """Visible files that are no images by their names."""

    def name(self, parts: PathParts) -> str:
        """What to call it in an error: one line, whatever an archive holds."""
        return printable(f"{self.root}/{'/'.join(parts)}")

    @property
    def title(self) -> str:
        """What to call the whole."""
        return title_of(self.root)


def title_of(path: Path) -> str:
    """What to call the images of this folder or file."""
    return printable(path.stem if path.is_file() else path.resolve().name)


def printable(name: str) -> str:
    """A name on one line that every encoding of Unicode can hold, whatever a disk or archive calls it."""
    return "".join(mark if mark.isprintable() else "?" for mark in name)


def list_folder(path: Path, depth: int) -> Files:
    """The image files of a folder, so many folders deep; hidden ones are left out, links are followed but not back
    into a folder that they lie in.

    Raises:
        VaebenchError: no image.
    """
    files: list[PathParts] = []
    folders: set[PathParts] = set()
    seen: dict[PathParts, str] = {}
    for folder, below, names in os.walk(path, followlinks=True):
        parts = Path(folder).relative_to(path).parts
        real = os.path.realpath(folder)
        if real in (seen[parts[:end]] for end in range(len(parts))):
            below.clear()
            continue
        seen[parts] = real
        below[:] = [name for name in below if _visible((name,))] if len(parts) < depth else []
        folders.add(parts)
        files += [(*parts, name) for name in names]

    def stamp(parts: PathParts) -> tuple[int, int]:
        found = path.joinpath(*parts).stat()
        return found.st_size, found.st_mtime_ns

    return _files(path, files, folders, lambda parts: _bytes(path.joinpath(*parts)), stamp)


@contextmanager
def open_zip(path: Path) -> Iterator[Files]:
    """The same of a zip, read where it lies: nothing is unpacked, and names in it never become paths.

    Raises:
        VaebenchError: no image, or a file that is no zip.
    """
    with _archive(path) as archive:
        entries = _entries(archive)
        files = [parts for parts, entry in entries.items() if not entry.is_dir()]
        folders = {parts for parts, entry in entries.items() if entry.is_dir()}
        folders |= {parts[:end] for parts in files for end in range(len(parts))}

        def stamp(parts: PathParts) -> tuple[int, int]:
            return entries[parts].file_size, entries[parts].CRC

        yield _files(path, files, {parts for parts in folders if _visible(parts)}, _reads(archive, entries), stamp)


def reader(path: Path) -> Callable[[PathParts], bytes]:
    """Reads single files of a folder or zip whose names are known, without listing them again; a zip stays open as
    long as this is kept.

    Raises:
        VaebenchError: neither a folder nor a zip.
    """
    if path.is_dir():
        return lambda parts: _bytes(path.joinpath(*parts))
    archive = _archive(path)
    return _reads(archive, _entries(archive))


def _archive(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except Exception as error:  # zipfile raises many kinds on damaged directories
        raise VaebenchError(f"{path} is no whole zip file; save or download it again") from error


def _entries(archive: zipfile.ZipFile) -> dict[PathParts, zipfile.ZipInfo]:
    return {_parts(entry.filename): entry for entry in archive.infolist() if entry.filename}


def _reads(archive: zipfile.ZipFile, entries: dict[PathParts, zipfile.ZipInfo]) -> Callable[[PathParts], bytes]:
    def read(parts: PathParts) -> bytes:
        _check_bytes(entries[parts].file_size)
        if entries[parts].flag_bits & 1:
            raise UnreadableImageError("is encrypted; expected a zip without a password")
        return archive.read(entries[parts])

    return read


def _files(
    root: Path,
    files: list[PathParts],
    folders: set[PathParts],
    read: Callable[[PathParts], bytes],
    stamp: Callable[[PathParts], tuple[int, int]],
) -> Files:
    visible = [parts for parts in files if parts and _visible(parts)]
    images = sorted(parts for parts in visible if PurePosixPath(parts[-1]).suffix.lower() in FORMATS)
    if not images:
        raise VaebenchError(f"{root} holds no image; expected files ending in {', '.join(FORMATS)}")
    return Files(root, tuple(images), frozenset(folders), read, stamp, len(visible) - len(images))


def _parts(name: str) -> PathParts:
    return PurePosixPath(name.replace("\\", "/")).parts  # as some archivers on Windows write them


def _bytes(path: Path) -> bytes:
    _check_bytes(path.stat().st_size)
    return path.read_bytes()


def _check_bytes(size: int) -> None:
    if size > BYTE_LIMIT:
        raise UnreadableImageError(f"has {size:,} bytes, over the limit of {BYTE_LIMIT:,}; make the images smaller")


def _visible(parts: PathParts) -> bool:
    return not any(part.startswith(".") or part == "__MACOSX" for part in parts)


def outer_folders(files: Files) -> PathParts:
    """The outer folders that hold all the rest, as archives made of one folder have."""
    outer: PathParts = ()
    while True:
        below = {parts[: len(outer) + 1] for parts in (*files.images, *files.folders) if len(parts) > len(outer)}
        if len(below) > 1 or below <= set(files.images):
            return outer
        outer = below.pop()
