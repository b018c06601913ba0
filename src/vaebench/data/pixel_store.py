"""Pixels of many images in one file on the disk, written block by block; stopped, it goes on where it was."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np
from jaxtyping import UInt8

from vaebench.core.errors import VaebenchError
from vaebench.data.images import Progress
from vaebench.data.listing import Files, PathParts
from vaebench.data.photos import PreprocessingRule, map_images

KEPT_EVERY = 2000
"""Images between two notes of what is done: at most these are read again after a kill."""


class Written(NamedTuple):
    """What is in the file: names of its rows, and why others are not there."""

    names: list[str]
    skipped: dict[str, str]


def write_pixels(
    files: Files,
    images: Sequence[PathParts],
    rule: PreprocessingRule,
    path: Path,
    progress: Progress,
    identity: str = "",
) -> Written:
    """Write the pixels (N, C, H, W) of what can be read to an .npy file.

    Until it is whole it is called ``path.part``, with ``path.part.jsonl`` beside it; a later call with the same
    ``identity``, rule and images goes on after them.

    Raises:
        VaebenchError: the folder cannot be written.
    """
    chosen = Files(files.root, tuple(images), files.folders, files.read, files.stamp)
    shape = (rule.channels, rule.height, rule.width)
    part, notes = path.with_name(f"{path.name}.part"), path.with_name(f"{path.name}.part.jsonl")
    key = {"identity": identity, "rule": rule.model_dump(), "images": len(images)}
    header, size = _header(0, shape), int(np.prod(shape))
    done, written = _kept(notes, key)
    if not part.exists() or part.stat().st_size < len(header) + size * len(written.names):
        done, written = 0, Written([], {})
    with _opened(part, notes, key, header, len(header) + size * len(written.names) if done else 0) as (pixels, lines):
        each = map_images(chosen, rule.pixels, f"reading {files.title}", progress, done)
        while block := list(islice(each, KEPT_EVERY)):
            names = ["/".join(parts) for parts, found in block if not isinstance(found, str)]
            skipped = {"/".join(parts): found for parts, found in block if isinstance(found, str)}
            pixels.write(b"".join(found.tobytes() for _, found in block if not isinstance(found, str)))
            pixels.flush()
            os.fsync(pixels.fileno())
            done += len(block)
            lines.write(json.dumps({"done": done, "names": names, "skipped": skipped}) + "\n")
            lines.flush()
            written.names.extend(names)
            written.skipped.update(skipped)
        pixels.seek(0)
        pixels.write(_header(len(written.names), shape))
        pixels.flush()
        os.fsync(pixels.fileno())
    part.replace(path)
    notes.unlink()
    return written


def _kept(notes: Path, key: dict[str, Any]) -> tuple[int, Written]:
    """How many images an earlier call has done, if it was about the same; a line cut off by a kill does not count."""
    done, written = 0, Written([], {})
    try:
        lines = notes.read_text(encoding="ascii").split("\n")[:-1]
        if not lines or json.loads(lines[0]) != key:
            return 0, written
        for line in map(json.loads, lines[1:]):
            done = int(line["done"])
            written.names.extend(line["names"])
            written.skipped.update(line["skipped"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0, Written([], {})
    return done, written


@contextmanager
def _opened(
    part: Path, notes: Path, key: dict[str, Any], header: bytes, kept: int
) -> Iterator[tuple[io.BufferedRandom, TextIO]]:
    """Both files, cut to what was noted (``kept`` bytes) or begun anew; pixels at their end."""
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        if not kept:
            part.write_bytes(header)
            notes.write_text(json.dumps(key) + "\n", encoding="ascii")
        else:
            whole = notes.read_text(encoding="ascii")
            notes.write_text(whole[: whole.rfind("\n") + 1], encoding="ascii")
        with part.open("r+b") as pixels, notes.open("a", encoding="ascii") as lines:
            pixels.seek(kept or len(header))
            pixels.truncate()
            yield pixels, lines
    except OSError as error:
        raise VaebenchError(
            f"{part.parent} cannot be written ({error.strerror}); choose another folder or free some space"
        ) from error


def _header(count: int, shape: tuple[int, int, int]) -> bytes:
    """An .npy header; numpy leaves room in it, so that its length does not depend on the count."""
    text = io.BytesIO()
    np.lib.format.write_array_header_1_0(text, {"descr": "|u1", "fortran_order": False, "shape": (count, *shape)})
    return text.getvalue()


def read_pixels(path: Path) -> UInt8[np.ndarray, "N C H W"]:
    """The pixels as they lie on the disk; changes are not written back."""
    found: np.ndarray = np.load(path, mmap_mode="c", allow_pickle=False)
    return found
