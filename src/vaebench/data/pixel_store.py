"""Preprocessed pixels of many images in one .npy file, written in chunks; an interrupted write is resumed."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np
from jaxtyping import UInt8

from vaebench.core.errors import VaebenchError
from vaebench.data.images import Progress, ignore_progress
from vaebench.data.listing import Files, PathParts
from vaebench.data.photos import PreprocessingRule, map_images

CHUNK = 2000
"""Images between two entries of the journal: at most this many are read again after a kill."""


class Written(NamedTuple):
    """Names of the rows of a pixel file, and the reason for each skipped image by name."""

    names: list[str]
    skipped: dict[str, str]


def write_pixels(
    files: Files,
    images: Sequence[PathParts],
    rule: PreprocessingRule,
    path: Path,
    progress: Progress = ignore_progress,
    identity: str = "",
) -> Written:
    """Write the pixels (N, C, H, W) of all readable images to an .npy file.

    Until it is complete the file is called ``path.part``, and ``path.part.jsonl`` is a journal of the finished
    chunks; a later call with the same ``identity``, rule and number of images continues after them.

    Raises:
        VaebenchError: the folder cannot be written.
    """
    shape = (rule.channels, rule.height, rule.width)
    part, journal = path.with_name(f"{path.name}.part"), path.with_name(f"{path.name}.part.jsonl")
    key = {"identity": identity, "rule": rule.model_dump(), "images": len(images)}
    header, size = _header(0, shape), int(np.prod(shape))
    done, written = _read_journal(journal, key)
    if not part.exists() or part.stat().st_size < len(header) + size * len(written.names):
        done, written = 0, Written([], {})
    end = len(header) + size * len(written.names) if done else 0
    with _open_files(part, journal, key, header, end) as (pixels, entries):
        chosen = replace(files, images=tuple(images))
        results = map_images(chosen, rule.pixels, f"reading {files.title}", progress, done)
        while chunk := list(islice(results, CHUNK)):
            names = ["/".join(parts) for parts, result in chunk if not isinstance(result, str)]
            skipped = {"/".join(parts): result for parts, result in chunk if isinstance(result, str)}
            pixels.write(b"".join(result.tobytes() for _, result in chunk if not isinstance(result, str)))
            _sync(pixels)
            done += len(chunk)
            entries.write(json.dumps({"done": done, "names": names, "skipped": skipped}) + "\n")
            entries.flush()
            written.names.extend(names)
            written.skipped.update(skipped)
        pixels.seek(0)
        pixels.write(_header(len(written.names), shape))
        _sync(pixels)
    part.replace(path)
    journal.unlink()
    return written


def _sync(file: io.BufferedRandom) -> None:
    file.flush()
    os.fsync(file.fileno())


def _read_journal(journal: Path, key: dict[str, Any]) -> tuple[int, Written]:
    """Return the number of finished images and their results; 0 if the journal belongs to another ``key``."""
    done, written = 0, Written([], {})
    try:
        lines = journal.read_text(encoding="ascii").split("\n")[:-1]  # a kill may have truncated the last line
        if not lines or json.loads(lines[0]) != key:
            return 0, written
        for entry in map(json.loads, lines[1:]):
            done = int(entry["done"])
            written.names.extend(entry["names"])
            written.skipped.update(entry["skipped"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0, Written([], {})
    return done, written


@contextmanager
def _open_files(
    part: Path, journal: Path, key: dict[str, Any], header: bytes, end: int
) -> Iterator[tuple[io.BufferedRandom, TextIO]]:
    """Open both files for appending, truncated to the journal's state (``end`` bytes of pixels), or new if it is 0."""
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        if not end:
            part.write_bytes(header)
            journal.write_text(json.dumps(key) + "\n", encoding="ascii")
        else:
            text = journal.read_text(encoding="ascii")
            journal.write_text(text[: text.rfind("\n") + 1], encoding="ascii")
        with part.open("r+b") as pixels, journal.open("a", encoding="ascii") as entries:
            pixels.seek(end or len(header))
            pixels.truncate()
            yield pixels, entries
    except OSError as error:
        raise VaebenchError(
            f"{part.parent} cannot be written ({error.strerror}); choose another folder or free some space"
        ) from error


def _header(count: int, shape: tuple[int, int, int]) -> bytes:
    """Return an .npy header; numpy pads it, so its length does not depend on ``count``."""
    text = io.BytesIO()
    np.lib.format.write_array_header_1_0(text, {"descr": "|u1", "fortran_order": False, "shape": (count, *shape)})
    return text.getvalue()


def read_pixels(path: Path) -> UInt8[np.ndarray, "N C H W"]:
    """Return the memory-mapped pixels; changes are not written back."""
    pixels: np.ndarray = np.load(path, mmap_mode="c", allow_pickle=False)
    return pixels
