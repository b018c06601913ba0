"""Image files in a folder or zip, listed and read without unpacking."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vaebench.core.errors import VaebenchError

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".bmp": "BMP", ".gif": "GIF"}
FORMATS |= {".tif": "TIFF", ".tiff": "TIFF", ".webp": "WEBP"}
"""Pillow's format of each supported suffix."""
BYTE_LIMIT = 1 << 26
"""Bytes of the largest image file that is read, so that no archive can exhaust the memory."""

PathParts = tuple[str, ...]
"""Components of a path relative to the folder or zip, as ``PurePath.parts``."""


class UnreadableImageError(Exception):
    """Reason why an image is rejected, to be appended to the name of its file."""


@dataclass(frozen=True)
class Files:
    """Image files of a folder or zip."""

    root: Path
    images: tuple[PathParts, ...]
    folders: frozenset[PathParts]
    read: Callable[[PathParts], bytes]
    stamp: Callable[[PathParts], tuple[int, int]]
    """Size in bytes and modification time (ns) or checksum of a file; they change with its contents."""
    others: int = 0
    """Number of visible files without an image suffix."""

    def name(self, parts: PathParts) -> str:
        """Return the printable path of a file, for error messages."""
        return printable(f"{self.root}/{'/'.join(parts)}")

    @property
    def title(self) -> str:
        """Printable name of the folder or zip."""
        return title_of(self.root)


def title_of(path: Path) -> str:
    """Return the printable name of a folder, or of a file without its suffix."""
    return printable(path.stem if path.is_file() else path.resolve().name)


def printable(name: str) -> str:
    """Replace each unprintable character, such as a newline or an undecodable byte, by a question mark."""
    return "".join(character if character.isprintable() else "?" for character in name)


@contextmanager
def open_files(path: Path, depth: int = 20) -> Iterator[Files]:
    """List the image files of a folder as :func:`list_folder` does, or of a zip of any depth.

    Nothing of a zip is unpacked, and its entries' names are never used as paths.

    Raises:
        VaebenchError: the path does not exist, is neither a folder nor a zip, or contains no image.
    """
    if path.is_dir():
        yield list_folder(path, depth)
    elif path.suffix.lower() == ".zip" and path.exists():
        zipped = _Archive(path)
        with zipped.archive:
            files = [parts for parts, entry in zipped.entries.items() if not entry.is_dir()]
            folders = {parts[:end] for parts in files for end in range(len(parts))} | zipped.entries.keys() - set(files)
            yield _files(path, files, filter(_visible, folders), zipped)
    elif path.exists():
        raise VaebenchError(f"{path} is neither a folder nor a .zip; expected one of these with image files")
    else:
        raise VaebenchError(f"{path} does not exist; expected a folder or a .zip of image files")


def list_folder(path: Path, depth: int) -> Files:
    """List the image files of a folder down to ``depth`` levels.

    Hidden files are skipped. Links are followed, except to a folder that contains them.

    Raises:
        VaebenchError: no image.
    """
    files: list[PathParts] = []
    real_paths: dict[PathParts, str] = {}
    for folder, subfolders, names in os.walk(path, followlinks=True):
        parts = Path(folder).relative_to(path).parts
        real_path = os.path.realpath(folder)
        if real_path in (real_paths[parts[:end]] for end in range(len(parts))):
            subfolders.clear()
            continue
        real_paths[parts] = real_path
        subfolders[:] = [name for name in subfolders if _visible((name,))] if len(parts) < depth else []
        files += [(*parts, name) for name in names]
    return _files(path, files, real_paths, _Folder(path))


def open_reader(path: Path) -> Callable[[PathParts], bytes]:
    """Return a function that reads single files of a folder or zip without listing it.

    A zip stays open as long as the function is referenced.

    Raises:
        VaebenchError: neither a folder nor a zip file.
    """
    return _Folder(path).read if path.is_dir() else _Archive(path).read


@dataclass(frozen=True)
class _Folder:
    """Contents of a folder's files."""

    path: Path

    def stamp(self, parts: PathParts) -> tuple[int, int]:
        status = self.path.joinpath(*parts).stat()
        return status.st_size, status.st_mtime_ns

    def read(self, parts: PathParts) -> bytes:
        _check_size(self.stamp(parts)[0])
        return self.path.joinpath(*parts).read_bytes()


class _Archive:
    """Contents of a zip's files."""

    def __init__(self, path: Path) -> None:
        try:
            self.archive = zipfile.ZipFile(path)
        except Exception as error:  # zipfile raises many kinds on damaged directories
            raise VaebenchError(f"{path} is not a complete zip file; save or download it again") from error
        named = (entry for entry in self.archive.infolist() if entry.filename)
        # some archivers on Windows write backslashes
        self.entries = {PurePosixPath(entry.filename.replace("\\", "/")).parts: entry for entry in named}

    def stamp(self, parts: PathParts) -> tuple[int, int]:
        return self.entries[parts].file_size, self.entries[parts].CRC

    def read(self, parts: PathParts) -> bytes:
        _check_size(self.entries[parts].file_size)
        if self.entries[parts].flag_bits & 1:
            raise UnreadableImageError("is encrypted; expected a zip without a password")
        return self.archive.read(self.entries[parts])


def _files(root: Path, files: list[PathParts], folders: Iterable[PathParts], contents: _Folder | _Archive) -> Files:
    visible = [parts for parts in files if parts and _visible(parts)]
    images = tuple(sorted(parts for parts in visible if PurePosixPath(parts[-1]).suffix.lower() in FORMATS))
    if not images:
        raise VaebenchError(f"{root} contains no image; expected files ending in {', '.join(FORMATS)}")
    return Files(root, images, frozenset(folders), contents.read, contents.stamp, len(visible) - len(images))


def _check_size(size: int) -> None:
    if size > BYTE_LIMIT:
        raise UnreadableImageError(f"has {size:,} bytes, over the limit of {BYTE_LIMIT:,}; make the images smaller")


def _visible(parts: PathParts) -> bool:
    return not any(part.startswith(".") or part == "__MACOSX" for part in parts)


def outer_folders(files: Files) -> PathParts:
    """Return the path of the nested folders that contain everything else, as in an archive of one folder."""
    outer: PathParts = ()
    while True:
        below = {parts[: len(outer) + 1] for parts in (*files.images, *files.folders) if len(parts) > len(outer)}
        if len(below) > 1 or below <= set(files.images):
            return outer
        outer = below.pop()
