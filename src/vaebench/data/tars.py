"""Members of a tar file, read in any order without unpacking to named files."""

from __future__ import annotations

import gzip
import os
import shutil
import tarfile
import tempfile
import weakref
import zlib
from pathlib import Path
from typing import IO, NamedTuple

from vaebench.core.errors import VaebenchError

TARS = (".tar", ".tar.gz", ".tgz")
BLOCK = 512
"""Bytes of a header of a tar; a block of zeros ends the file."""
PIECE = 1 << 20


class Place(NamedTuple):
    """Where the bytes of a member are."""

    offset: int
    size: int


class Tar:
    """The regular members of a tar file, by name; of members of the same name, the last.

    A gzipped tar is decompressed to a temporary file that has no name. Links, devices and sparse files are counted in
    ``ignored``. Reading is safe in several threads.

    Raises:
        VaebenchError: not a complete tar file, or it does not fit in the folder for temporary files.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files: dict[str, Place] = {}
        self.folders: list[str] = []
        self.ignored = 0
        try:
            file = path.open("rb") if path.suffix.lower() == ".tar" else _decompressed(path)
        except (OSError, EOFError, zlib.error) as error:
            raise _incomplete(path, error) from error
        self.close = weakref.finalize(self, file.close)
        self.descriptor = file.fileno()
        try:
            self._list(file)
        except Exception as error:  # tarfile raises half a dozen kinds on damaged headers
            self.close()
            raise error if isinstance(error, VaebenchError) else _incomplete(path, error) from error

    def read(self, place: Place) -> bytes:
        """Return the bytes of a member."""
        return os.pread(self.descriptor, place.size, place.offset)

    def _list(self, file: IO[bytes]) -> None:
        length = os.fstat(self.descriptor).st_size
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                if member.isdir():
                    self.folders.append(member.name)
                elif not member.isreg() or member.issparse():
                    self.ignored += 1
                elif member.offset_data + member.size > length:
                    raise ValueError(f"its last member {member.name[:40]!r} is cut off")
                else:
                    self.files[member.name] = Place(member.offset_data, member.size)
            end = tar.offset
        self._check_end(end, length)

    def _check_end(self, end: int, length: int) -> None:
        """Refuse a file that goes on where tarfile stops, as it does without an error at a damaged header."""
        if os.pread(self.descriptor, BLOCK, end).count(0) != BLOCK:
            raise ValueError("a header is damaged, or the end mark is missing")
        for start in range(end, length, PIECE):
            if (piece := os.pread(self.descriptor, PIECE, start)).count(0) != len(piece):
                raise VaebenchError(
                    f"{self.path} has more data after its end mark, as of several tar files joined into one; give them "
                    "as separate files in a folder"
                )


def _decompressed(path: Path) -> IO[bytes]:
    """Return a temporary file without a name that has the decompressed contents."""
    folder = tempfile.gettempdir()
    limit = shutil.disk_usage(folder).free // 2
    file = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the tar
    try:
        with gzip.open(path) as unzipped:
            while piece := unzipped.read(PIECE):
                file.write(piece)
                if (limit := limit - len(piece)) < 0:
                    raise VaebenchError(
                        f"{path} does not fit, decompressed, in half of the free space of {folder}; unpack it "
                        "elsewhere, or set TMPDIR to a folder with more space"
                    )
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def _incomplete(path: Path, error: Exception) -> VaebenchError:
    reason = str(error)[:80] or type(error).__name__
    return VaebenchError(f"{path} is not a complete tar file ({reason}); save or download it again")
