"""Images of any size, mode and orientation, brought to one by a stated rule; what cannot be read is named, skipped."""

from __future__ import annotations

import io
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError
from pydantic import Field

from vaebench.core.frozen import Frozen
from vaebench.data.images import Progress
from vaebench.data.listing import FORMATS, Files, PathParts, UnreadableImageError, printable

SIDE = 32
"""Pixels of the longer side that images are brought to unless another is asked."""
LEAST_SIDE = 8
PIXEL_LIMIT = 80_000_000
"""Pixels of the largest image that is read: one decoded holds 240 MB."""
BLOCK = 200
THREADS = min(8, os.cpu_count() or 1)
GREY = ("1", "L", "LA", "La")
T = TypeVar("T")


class PreprocessingRule(Frozen):
    """How an image becomes pixels: turned as its EXIF says, the first of several frames, transparent parts on black,
    scaled to fit (bilinear, antialiased), centred on black. Nothing is cut off."""

    height: int = Field(ge=1)
    width: int = Field(ge=1)
    channels: int = Field(ge=1)
    white: int = Field(65535, ge=1)
    """The value of images with more than 8 bits that is white: 4095 for a 12-bit camera."""

    @property
    def description(self) -> str:
        """The rule for a reader."""
        colour = "grey" if self.channels == 1 else "colour"
        return (
            f"turned as EXIF says, first frame, transparent parts on black, scaled to fit {self.width} x {self.height} "
            f"pixels, centred on black, {colour}"
        )

    def pixels(self, image: Image.Image) -> UInt8[np.ndarray, "C H W"]:
        """The pixels of an image that was just opened.

        Raises:
            UnreadableImageError: floats out of range.
        """
        image.draft(image.mode, (2 * max(self.width, self.height),) * 2)  # JPEG: decode no more than is needed
        image = on_black(_eight_bits(ImageOps.exif_transpose(image), self.white))
        image = image.convert("L" if self.channels == 1 else "RGB")
        if image.size != (self.width, self.height):
            image = ImageOps.pad(image, (self.width, self.height), Image.Resampling.BILINEAR)
        array = np.asarray(image)
        return array[None] if array.ndim == 2 else np.moveaxis(array, 2, 0)


class Seen(NamedTuple):
    """What a first look tells of an image."""

    width: int
    height: int
    grey: bool
    highest: int
    """Of more than 8 bits, else 0."""
    notes: tuple[str, ...]


class Survey(NamedTuple):
    """A first look at all files."""

    images: tuple[PathParts, ...]
    seen: tuple[Seen, ...]
    skipped: dict[str, str]
    """Why, by name."""

    @property
    def notes(self) -> dict[str, int]:
        """How many images have each peculiarity."""
        return dict(Counter(note for one in self.seen for note in one.notes))

    def rule(self, side: int | None) -> PreprocessingRule:
        """Native size where all are alike and small; else a square of ``side`` pixels, 32 if not asked."""
        width, height = size_for([(one.width, one.height) for one in self.seen], side)
        channels = 1 if all(one.grey for one in self.seen) else 3
        highest = max(one.highest for one in self.seen)
        return PreprocessingRule(
            height=height, width=width, channels=channels, white=2 ** max(highest.bit_length(), 9) - 1
        )


def size_for(sizes: Sequence[tuple[int, int]], side: int | None) -> tuple[int, int]:
    """Width and height for images of these: their own where all are alike and small, else a square."""
    width, height = min(sizes)
    if side is None and len(set(sizes)) == 1 and LEAST_SIDE <= min(width, height) <= max(width, height) <= SIDE:
        return width, height
    longer = int(np.median([max(size) for size in sizes]))
    side = side or min(SIDE, max(LEAST_SIDE, longer))
    return side, side


def survey(files: Files, progress: Progress) -> Survey:
    """Open every image without decoding it, but for those of more than 8 bits."""
    images, seen, skipped = [], [], {}
    for parts, found in map_images(files, _look, f"looking through {files.title}", progress):
        if isinstance(found, str):
            skipped["/".join(parts)] = found
        else:
            images.append(parts)
            seen.append(found)
    return Survey(tuple(images), tuple(seen), skipped)


def thumbnail(read: Callable[[PathParts], bytes], parts: PathParts, side: int, white: int) -> Image.Image:
    """An image for a person to look at, at most so many pixels wide and high.

    Raises:
        UnreadableImageError: it cannot be read any more.
    """
    found = _open(read, parts, lambda image: _thumbnail(image, side, white))
    if isinstance(found, str):
        raise UnreadableImageError(found)
    return found


def _thumbnail(image: Image.Image, side: int, white: int) -> Image.Image:
    image.draft(image.mode, (2 * side, 2 * side))
    shown = on_black(_eight_bits(ImageOps.exif_transpose(image), white)).convert("RGB")
    if max(shown.size) < side:
        scale = max(1, side // max(shown.size))
        return shown.resize((shown.width * scale, shown.height * scale), Image.Resampling.NEAREST)
    shown.thumbnail((side, side))
    return shown


def on_black(image: Image.Image) -> Image.Image:
    """The image without transparency."""
    if not image.has_transparency_data:
        return image
    above = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", above.size, (0, 0, 0, 255)), above).convert("RGB")


def map_images(
    files: Files, do: Callable[[Image.Image], T], what: str, progress: Progress, first: int = 0
) -> Iterator[tuple[PathParts, T | str]]:
    """Every image's result in order from the first that is asked for, or why it has none."""
    blocks = [files.images[start : start + BLOCK] for start in range(first, len(files.images), BLOCK)]
    pool, ahead, done = ThreadPoolExecutor(THREADS), 2 * THREADS, first
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, on damaged or huge files: we say it ourselves
        try:
            for start in range(0, len(blocks), ahead):
                batch = blocks[start : start + ahead]
                for block, found in zip(
                    batch, pool.map(lambda block: [_open(files.read, parts, do) for parts in block], batch), strict=True
                ):
                    yield from zip(block, found, strict=True)
                    done += len(block)
                    progress(what, done / len(files.images))
        finally:
            pool.shutdown(cancel_futures=True)


def _open(read: Callable[[PathParts], bytes], parts: PathParts, do: Callable[[Image.Image], T]) -> T | str:
    try:
        data = read(parts)
        if not data:
            return "is empty"
        with Image.open(io.BytesIO(data), formats=sorted(set(FORMATS.values()))) as image:
            if image.width * image.height > PIXEL_LIMIT:
                return f"is {image.width} x {image.height}, over the limit of {PIXEL_LIMIT:,} pixels"
            return do(image)
    except UnreadableImageError as error:
        return str(error)
    except (FileNotFoundError, PermissionError) as error:
        return "is a link to nothing, or was removed" if isinstance(error, FileNotFoundError) else "may not be read"
    except (Image.DecompressionBombError, MemoryError):
        return f"is over the limit of {PIXEL_LIMIT:,} pixels"
    except UnidentifiedImageError:
        return "is not an image that can be read (damaged, or of another kind than its name says)"
    except Exception as error:  # Pillow and zipfile raise a dozen kinds on damaged files
        return f"is damaged ({printable(str(error))[:80] or type(error).__name__})"


def _look(image: Image.Image) -> Seen:
    turned = image.getexif().get(0x0112, 1) not in (0, 1)
    width, height = image.size
    if image.getexif().get(0x0112, 1) in (5, 6, 7, 8):
        width, height = height, width
    deep = image.mode.startswith(("I", "F"))
    found = {
        "turned by EXIF": turned,
        "animated, first frame taken": getattr(image, "n_frames", 1) > 1,
        "more than 8 bits": deep,
        "transparent parts laid on black": image.has_transparency_data,
    }
    highest = int(image.getextrema()[1]) if deep and image.mode != "F" else 0  # type: ignore[arg-type]
    notes = tuple(note for note, there in found.items() if there)
    return Seen(width, height, image.mode in GREY or deep, highest, notes)


def _eight_bits(image: Image.Image, white: int) -> Image.Image:
    if not image.mode.startswith(("I", "F")):
        return image
    array = np.asarray(image, dtype=np.float32)
    if image.mode == "F":
        if not (np.isfinite(array).all() and 0 <= array.min() <= array.max() <= 1):
            raise UnreadableImageError("has floats outside 0 to 1")
        white = 1
    return Image.fromarray(np.clip(np.rint(array * (255 / white)), 0, 255).astype(np.uint8))
