"""Archives of container files, unpacked to a temporary folder and read as if they lay there."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from vaebench.core.errors import VaebenchError
from vaebench.data.decoding import DECODERS, suffix_of
from vaebench.data.formats.checks import fingerprint_of, listed
from vaebench.data.formats.folders import are_single_images, open_container_folder
from vaebench.data.formats.registry import container_suffix
from vaebench.data.image_set import ImageSet
from vaebench.data.listing import PathParts, TarContents, ZipContents, is_visible, title_of
from vaebench.data.printing import printable

Archive = ZipContents | TarContents


def holds_containers(archive: Archive) -> bool:
    """Whether an open zip or tar has container files and no image files."""
    return bool(_containers(archive.files))


@contextmanager
def open_container_archive(path: Path, archive: Archive) -> Iterator[ImageSet]:
    """List the images of the container files in an open zip or tar, as :func:`open_container_folder` does in a folder.

    The container files alone are unpacked, to a temporary folder that is removed when the context ends.

    Raises:
        VaebenchError: a damaged or encrypted archive, one too large to be unpacked, or as the readers of its files.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / path.name
        try:
            names = _unpack(path, archive, folder)
            images = open_container_folder(folder)
        except VaebenchError as error:
            raise VaebenchError(str(error).replace(str(folder), str(path))) from error
        if images is None:
            raise VaebenchError(
                f"{path} contains no image, but {listed(names)}; expected images or files of arrays: unpack it"
            )
        title = title_of(path).removesuffix(".tar")
        yield replace(images, path=path, title=title, fingerprint=fingerprint_of([path]))


def _containers(files: Sequence[PathParts]) -> list[PathParts]:
    """Return the container files; none where there are image files, which npy files may be."""
    visible = [parts for parts in files if parts and is_visible(parts)]
    arrays = [parts for parts in visible if suffix_of(parts[-1]) == ".npy"]
    if any(suffix_of(parts[-1]) in DECODERS and suffix_of(parts[-1]) != ".npy" for parts in visible):
        return []
    if are_single_images([parts[-1] for parts in arrays]):
        return []
    return sorted(parts for parts in visible if container_suffix(Path(parts[-1]), look=False))


def _unpack(path: Path, archive: Archive, folder: Path) -> list[str]:
    """Unpack the container files to a folder below which no name can leave it, and return their printable names."""
    members = _containers(archive.files)
    _check_space(path, sum(archive.stamp(parts)[0] for parts in members))
    for parts in members:
        target = folder.joinpath(*("_" if part in ("/", "..", ".") else part for part in parts))
        _copy(path, archive, parts, target)
    return [printable("/".join(parts)) for parts in members]


def _check_space(path: Path, needed: int) -> None:
    folder = tempfile.gettempdir()
    if needed > (limit := shutil.disk_usage(folder).free // 2):
        raise VaebenchError(
            f"{path} has {needed / 1e9:,.1f} GB when unpacked, more than half of the free space of {folder}, "
            f"{limit / 1e9:,.1f} GB; unpack it elsewhere, or set TMPDIR to a folder with more space"
        )


def _copy(path: Path, archive: Archive, parts: PathParts, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        archive.copy(parts, target)
    except Exception as error:  # zipfile raises a dozen kinds on damaged or encrypted members
        name, reason = printable("/".join(parts)), printable(str(error))[:80] or type(error).__name__
        raise VaebenchError(f"{path}: {name} cannot be unpacked ({reason}); save or download it again") from error
