"""Images in one .npy file that may be larger than memory: written in chunks, read in windows of shuffled blocks."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np
import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from vaebench.core.errors import VaebenchError
from vaebench.data.batch import Batch, float_batch
from vaebench.data.image_set import ImageSet
from vaebench.data.images import HIDDEN, Progress, ignore_progress
from vaebench.data.preprocessing import PreprocessingRule
from vaebench.data.survey import map_rows, preprocessor

CHUNK = 2000
"""Images between two entries of the journal: at most this many are read again after a kill."""


class Blocks:
    """Unlabelled images of an .npy file (N, C, H, W), uint8 or float32: a source of batches that needs little memory.

    An epoch reads windows of blocks drawn from the whole file and visits the images of each window in random order.
    Two windows are buffered, whatever the size of the file. The order depends on the seed alone.

    Args:
        path: the file.
        block_bytes: bytes read at a time; a block holds at least one image.
        window: number of blocks shuffled together; a file sorted by class needs many to mix the classes.

    Raises:
        VaebenchError: the file is missing or does not contain such an array.
    """

    def __init__(self, path: str | Path, *, block_bytes: int = 1 << 16, window: int = 256) -> None:
        self.path = Path(path)
        self.array_shape, self.start, dtype = _read_header(self.path)
        self.image_bytes = int(np.prod(self.shape)) * dtype.itemsize
        self.block = max(1, block_bytes // self.image_bytes)
        self.window = window
        blocks, slots = -(-len(self) // self.block), 2 * window
        self.dtype = torch.uint8 if dtype == np.uint8 else torch.float32
        self.buffer = torch.empty((slots, self.block, *self.shape), dtype=self.dtype)
        self.slot_of_block = np.full(blocks, -1)
        self.block_in_slot = np.full(slots, -1)
        self.last_used = np.zeros(slots, np.int64)
        self.clock = 0

    def __len__(self) -> int:
        return self.array_shape[0]

    def __repr__(self) -> str:
        c, h, w = self.shape
        return f"Blocks({self.path}: {len(self):,} of {c}x{h}x{w}, {self.block:,} a block, {self.window} a window)"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        return self.array_shape[1:]

    def order(self, seed: Sequence[int]) -> Iterator[Int[np.ndarray, " M"]]:
        """Yield every row once, in shuffled windows of random blocks."""
        generator = np.random.default_rng(seed)
        blocks = generator.permutation(len(self.slot_of_block))
        for first in range(0, len(blocks), self.window):
            starts = blocks[first : first + self.window] * self.block
            rows = (starts[:, None] + np.arange(self.block)).ravel()
            yield generator.permutation(rows[rows < len(self)])

    def batch(self, rows: Int[Tensor, " B"]) -> Batch:
        """Return the unlabelled batch of these rows, pixels in [0, 1].

        Raises:
            VaebenchError: the file was truncated or removed.
        """
        indices = rows.cpu().numpy()
        blocks = indices // self.block
        if len(needed := np.unique(blocks)) > len(self.block_in_slot):  # rows in another order than `order`
            pixels = torch.empty((len(indices), *self.shape), dtype=self.dtype)
            self._read((row, pixels[place : place + 1]) for place, row in enumerate(indices.tolist()))
        else:
            self._load(needed)
            places = self.slot_of_block[blocks] * self.block + indices % self.block
            pixels = self.buffer.flatten(0, 1).index_select(0, torch.from_numpy(places))
        labels = torch.full((len(rows),), HIDDEN)
        if self.dtype == torch.float32:
            return float_batch(pixels, labels, incomplete=True)
        return Batch(pixels.to(torch.get_default_dtype()).div_(255), labels)

    def _load(self, needed: Int[np.ndarray, " M"]) -> None:
        """Buffer these blocks, evicting the least recently used ones."""
        self.clock += 1
        slots = self.slot_of_block[needed]
        self.last_used[slots[slots >= 0]] = self.clock
        missing = needed[slots < 0]
        if not len(missing):
            return
        freed = np.argsort(self.last_used, kind="stable")[: len(missing)]
        evicted = self.block_in_slot[freed]
        self.slot_of_block[evicted[evicted >= 0]] = -1
        self.block_in_slot[freed] = -1
        firsts = (missing * self.block).tolist()
        self._read(
            (first, self.buffer[slot, : len(self) - first]) for first, slot in zip(firsts, freed.tolist(), strict=True)
        )
        self.slot_of_block[missing], self.block_in_slot[freed], self.last_used[freed] = freed, missing, self.clock

    def _read(self, requests: Iterable[tuple[int, Shaped[Tensor, "_ C H W"]]]) -> None:
        """Fill each tensor with consecutive images from the given row on, without an intermediate copy."""
        try:
            with self.path.open("rb") as file:
                for first, target in requests:
                    memory = target.numpy().reshape(-1).view(np.uint8).data
                    file.seek(self.start + first * self.image_bytes)
                    if file.readinto(memory) < len(memory):
                        raise VaebenchError(
                            f"{self.path} ends before image {first + len(target):,} of {len(self):,}; it was "
                            "truncated: write it again"
                        )
        except OSError as error:
            raise VaebenchError(f"{self.path} can no longer be read ({error.strerror}); restore it") from error


def read_npy_header(file: io.BufferedIOBase) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Return shape, Fortran order and type of an open .npy file, and move to its first value."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    header: tuple[tuple[int, ...], bool, np.dtype] = read(file)
    return header


def _read_header(path: Path) -> tuple[tuple[int, int, int, int], int, np.dtype]:
    """Return the shape of the array, the offset of its first image, and its type."""
    expected = "expected an .npy file of images (N, C, H, W), uint8 or float32, in C order"
    try:
        with path.open("rb") as file:
            shape, fortran_order, dtype = read_npy_header(file)
            start = file.tell()
    except (OSError, ValueError) as error:
        raise VaebenchError(f"{path} cannot be read ({error}); {expected}") from error
    if len(shape) != 4 or fortran_order or dtype not in (np.uint8, np.float32) or not all(shape):
        raise VaebenchError(f"{path} contains an array {shape} of {dtype}; {expected}")
    if path.stat().st_size < start + int(np.prod(shape, dtype=object)) * dtype.itemsize:
        raise VaebenchError(f"{path} ends before its last image; it was truncated: write it again")
    n, c, h, w = shape
    return (n, c, h, w), start, dtype


class Written(NamedTuple):
    """Names of the rows of a pixel file, the reason for each skipped image by name, and images that lost colours."""

    names: list[str]
    skipped: dict[str, str]
    greyed: list[str]


def write_pixels(
    images: ImageSet, rule: PreprocessingRule, path: Path, progress: Progress = ignore_progress, identity: str = ""
) -> Written:
    """Write the pixels (N, C, H, W) of all readable images to an .npy file.

    Until it is complete the file is called ``path.part``, and ``path.part.jsonl`` is a journal of the finished
    chunks; a later call with the same ``identity``, rule and number of images continues after them.

    Raises:
        VaebenchError: the folder cannot be written.
    """
    part, journal = path.with_name(f"{path.name}.part"), path.with_name(f"{path.name}.part.jsonl")
    key = {"identity": identity, "rule": rule.model_dump(mode="json"), "images": len(images)}
    header, size = _header(0, rule), int(np.prod(rule.shape)) * rule.dtype.itemsize
    done, written = _read_journal(journal, key)
    if not part.exists() or part.stat().st_size < len(header) + size * len(written.names):
        done, written = 0, Written([], {}, [])
    end = len(header) + size * len(written.names) if done else 0
    rows = range(done, len(images))
    lost: list[int] = []
    preprocess = preprocessor(images, rule, lost)
    with _open_files(part, journal, key, header, end) as (pixels, entries):
        results = map_rows(images, preprocess, rows, f"reading {images.title}", progress)
        for chunk in _chunks(results):
            names = [images.names[row] for row, result in chunk if not isinstance(result, str)]
            skipped = {images.names[row]: result for row, result in chunk if isinstance(result, str)}
            pixels.write(b"".join(result.tobytes() for _, result in chunk if not isinstance(result, str)))
            _sync(pixels)
            done += len(chunk)
            greyed = [images.names[row] for row in sorted({row for row, _ in chunk} & set(lost))]
            entry = {"done": done, "names": names, "skipped": skipped, "greyed": greyed}
            entries.write(json.dumps(entry) + "\n")
            entries.flush()
            written.names.extend(names)
            written.skipped.update(skipped)
            written.greyed.extend(greyed)
        pixels.seek(0)
        pixels.write(_header(len(written.names), rule))
        _sync(pixels)
    part.replace(path)
    journal.unlink()
    return written


def _chunks(results: Iterator[tuple[int, np.ndarray | str]]) -> Iterator[list[tuple[int, np.ndarray | str]]]:
    while chunk := list(islice(results, CHUNK)):
        yield chunk


def _sync(file: io.BufferedRandom) -> None:
    file.flush()
    os.fsync(file.fileno())


def _read_journal(journal: Path, key: dict[str, Any]) -> tuple[int, Written]:
    """Return the number of finished images and their results; 0 if the journal belongs to another ``key``."""
    done, written = 0, Written([], {}, [])
    try:
        lines = journal.read_text(encoding="ascii").split("\n")[:-1]  # a kill may have truncated the last line
        if not lines or json.loads(lines[0]) != key:
            return 0, written
        for entry in map(json.loads, lines[1:]):
            done = int(entry["done"])
            written.names.extend(entry["names"])
            written.skipped.update(entry["skipped"])
            written.greyed.extend(entry["greyed"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0, Written([], {}, [])
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


def _header(count: int, rule: PreprocessingRule) -> bytes:
    """Return an .npy header; numpy pads it, so its length does not depend on ``count``."""
    text = io.BytesIO()
    header = {"descr": rule.dtype.str, "fortran_order": False, "shape": (count, *rule.shape)}
    np.lib.format.write_array_header_1_0(text, header)
    return text.getvalue()


def read_pixels(path: Path) -> Shaped[np.ndarray, "N C H W"]:
    """Return the memory-mapped pixels, uint8 or float32; changes are not written back."""
    pixels: np.ndarray = np.load(path, mmap_mode="c", allow_pickle=False)
    return pixels
