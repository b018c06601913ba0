"""Image files in a folder, zip or tar, listed and read without unpacking."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from vaebench.core.errors import VaebenchError
from vaebench.data.decoding import DECODERS, suffix_of
from vaebench.data.image_set import UnreadableImageError
from vaebench.data.masks import mask_files
from vaebench.data.printing import printable
from vaebench.data.tars import PIECE, TARS, Tar

ARCHIVES = (".zip", *TARS)
"""Ends of the names of archives that are listed like folders."""
DEPTH = 20
"""Levels of folders that are listed."""
BYTE_LIMIT = 1 << 26
"""Bytes of the largest image file that is read, so that no archive can exhaust the memory."""

EXPECTED = ".zip, .tar, .tar.gz or .tgz"

PathParts = tuple[str, ...]
"""Components of a path relative to the folder or archive, as ``PurePath.parts``."""


@dataclass(frozen=True)
class Files:
    """Image files of a folder or archive."""

    root: Path
    images: tuple[PathParts, ...]
    folders: frozenset[PathParts]
    read: Callable[[PathParts], bytes]
    stamp: Callable[[PathParts], tuple[int, int]]
    """Size in bytes and modification time (ns) or checksum of a file; they change with its contents."""
    others: tuple[PathParts, ...] = ()
    """Visible files without an image suffix."""
    ignored: int = 0
    """Number of links and devices in a tar, which are not followed."""
    masks: tuple[PathParts, ...] = ()
    """Image files that are masks by their names."""

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


@contextmanager
def open_files(path: Path, depth: int = DEPTH) -> Iterator[Files]:
    """List the image files of a folder as :func:`list_folder` does, or of a zip or tar of any depth.

    Nothing of an archive is unpacked, and its members' names are never used as paths.

    Raises:
        VaebenchError: the path does not exist, is neither a folder nor an archive, or contains no image.
    """
    if path.is_dir():
        yield list_folder(path, depth)
    elif path.name.lower().endswith(ARCHIVES) and path.exists():
        with closing(open_archive(path)) as archive:
            yield list_archive(path, archive)
    elif path.exists():
        raise VaebenchError(f"{path} is neither a folder nor a {EXPECTED}; expected one of these with image files")
    else:
        raise VaebenchError(f"{path} does not exist; expected a folder or a {EXPECTED} of image files")


def list_archive(path: Path, archive: ZipContents | TarContents) -> Files:
    """List the image files of an open zip or tar; its path is for messages.

    Raises:
        VaebenchError: no image.
    """
    files = list(archive.files)
    folders = {parts[:end] for parts in files for end in range(len(parts))} | archive.folders - set(files)
    return _files(path, files, filter(is_visible, folders), archive)


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
        subfolders[:] = [name for name in subfolders if is_visible((name,))] if len(parts) < depth else []
        files += [(*parts, name) for name in names]
    return _files(path, files, real_paths, _Folder(path))


def list_file(path: Path) -> Files:
    """List a single image file, whatever its suffix."""
    contents = _Folder(path.parent)
    return Files(path.parent, ((path.name,),), frozenset(), contents.read, contents.stamp)


class Contents(NamedTuple):
    """``read`` and ``stamp`` of :class:`Files`."""

    read: Callable[[PathParts], bytes]
    stamp: Callable[[PathParts], tuple[int, int]]


def open_contents(path: Path) -> Contents:
    """Return functions that read single files of a folder or archive, without listing its images.

    An archive stays open as long as the functions are referenced.

    Raises:
        VaebenchError: neither a folder nor an archive.
    """
    contents = _Folder(path) if path.is_dir() else open_archive(path)
    return Contents(contents.read, contents.stamp)


def open_tar(path: Path) -> TarContents:
    """Return the contents of a tar file, which stays open as long as they are referenced.

    Raises:
        VaebenchError: not a complete tar file.
    """
    return TarContents(path)


@dataclass(frozen=True)
class _Folder:
    """Contents of a folder's files."""

    path: Path
    ignored: int = 0

    def stamp(self, parts: PathParts) -> tuple[int, int]:
        status = self.path.joinpath(*parts).stat()
        return status.st_size, status.st_mtime_ns

    def read(self, parts: PathParts) -> bytes:
        _check_size(self.stamp(parts)[0])
        return self.path.joinpath(*parts).read_bytes()


class ZipContents:
    """Contents of a zip's files."""

    ignored = 0

    def __init__(self, path: Path) -> None:
        try:
            self.archive = zipfile.ZipFile(path)
        except Exception as error:  # zipfile raises many kinds on damaged directories
            raise VaebenchError(f"{path} is not a complete zip file; save or download it again") from error
        named = (entry for entry in self.archive.infolist() if entry.filename)
        # some archivers on Windows write backslashes
        self.entries = {PurePosixPath(entry.filename.replace("\\", "/")).parts: entry for entry in named}
        self.files = [parts for parts, entry in self.entries.items() if not entry.is_dir()]
        self.folders = frozenset(self.entries)

    def stamp(self, parts: PathParts) -> tuple[int, int]:
        return self.entries[parts].file_size, self.entries[parts].CRC

    def read(self, parts: PathParts) -> bytes:
        _check_size(self.entries[parts].file_size)
        self._check_encryption(parts)
        return self.archive.read(self.entries[parts])

    def copy(self, parts: PathParts, target: Path) -> None:
        """Write a member of any size to a file; raises an error of zipfile where it is damaged."""
        self._check_encryption(parts)
        with self.archive.open(self.entries[parts]) as member, target.open("wb") as file:
            shutil.copyfileobj(member, file, PIECE)

    def _check_encryption(self, parts: PathParts) -> None:
        if self.entries[parts].flag_bits & 1:
            raise UnreadableImageError("is encrypted; expected a zip without a password")

    def close(self) -> None:
        self.archive.close()


class TarContents:
    """Contents of a tar's files."""

    def __init__(self, path: Path) -> None:
        self.tar = Tar(path)
        self.changed = path.stat().st_mtime_ns
        self.entries = {PurePosixPath(name).parts: place for name, place in self.tar.files.items()}
        self.files = list(self.entries)
        self.folders = frozenset(PurePosixPath(name).parts for name in self.tar.folders)
        self.ignored = self.tar.ignored

    def stamp(self, parts: PathParts) -> tuple[int, int]:
        return self.entries[parts].size, self.changed

    def read(self, parts: PathParts) -> bytes:
        _check_size(self.entries[parts].size)
        return self.tar.read(self.entries[parts])

    def copy(self, parts: PathParts, target: Path) -> None:
        """Write a member of any size to a file."""
        place = self.entries[parts]
        with target.open("wb") as file:
            for start in range(0, place.size, PIECE):
                piece = place._replace(offset=place.offset + start, size=min(PIECE, place.size - start))
                file.write(self.tar.read(piece))

    def close(self) -> None:
        self.tar.close()


def open_archive(path: Path) -> ZipContents | TarContents:
    """Return the contents of a zip or tar, to be closed.

    Raises:
        VaebenchError: not a complete archive.
    """
    return TarContents(path) if path.name.lower().endswith(TARS) else ZipContents(path)


def _files(
    root: Path, files: list[PathParts], folders: Iterable[PathParts], contents: _Folder | ZipContents | TarContents
) -> Files:
    visible = [parts for parts in files if parts and is_visible(parts)]
    decoded = sorted(parts for parts in visible if suffix_of(parts[-1]) in DECODERS)
    if not decoded:
        raise VaebenchError(f"{root} contains no image; expected files ending in {', '.join(DECODERS)}")
    others = tuple(sorted(parts for parts in visible if suffix_of(parts[-1]) not in DECODERS))
    masks = mask_files(decoded)
    images = tuple(parts for parts in decoded if parts not in masks) if masks else tuple(decoded)
    listed = Files(root, images, frozenset(folders), contents.read, contents.stamp, others, contents.ignored)
    return replace(listed, masks=tuple(sorted(masks)), folders=_without_folders_of(masks, listed)) if masks else listed


def _without_folders_of(masks: Iterable[PathParts], files: Files) -> frozenset[PathParts]:
    """Return the folders but for those that have masks and no images."""
    kept = {parts[:end] for parts in files.images for end in range(len(parts))}
    return files.folders - ({parts[:end] for parts in masks for end in range(len(parts))} - kept)


def without_folder(files: Files, folder: PathParts) -> Files:
    """Return the files that do not lie in a folder, in which masks are; of a root, all but its masks."""
    depth = len(folder)
    if not depth:
        return replace(files, masks=())
    images, masks, others = (
        tuple(parts for parts in each if parts[:depth] != folder) for each in (files.images, files.masks, files.others)
    )
    folders = frozenset(parts for parts in files.folders if parts[:depth] != folder)
    return replace(files, images=images, masks=masks, others=others, folders=folders)


def _check_size(size: int) -> None:
    if size > BYTE_LIMIT:
        raise UnreadableImageError(f"has {size:,} bytes, over the limit of {BYTE_LIMIT:,}; make the images smaller")


def is_visible(parts: PathParts) -> bool:
    """Whether no folder or file of a path is hidden."""
    return not any(part.startswith(".") or part == "__MACOSX" for part in parts)


def outer_folders(files: Files) -> PathParts:
    """Return the path of the nested folders that contain everything else, as in an archive of one folder."""
    outer: PathParts = ()
    while True:
        below = {parts[: len(outer) + 1] for parts in (*files.images, *files.folders) if len(parts) > len(outer)}
        if len(below) > 1 or below <= set(files.images):
            return outer
        outer = below.pop()
