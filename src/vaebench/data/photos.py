"""Preprocessing of images of any size, mode and orientation to one shape; unreadable files are skipped by name."""

from __future__ import annotations

import io
import warnings
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError
from pydantic import Field

from vaebench.core.cores import available_cores
from vaebench.core.frozen import Frozen
from vaebench.data.images import Progress, ignore_progress
from vaebench.data.listing import FORMATS, Files, PathParts, UnreadableImageError, printable

SIDE = 32
"""Default side of the preprocessed images, in pixels."""
SMALLEST_SIDE = 8
PIXEL_LIMIT = 80_000_000
"""Pixels of the largest image that is read; decoded, it takes 240 MB."""
BLOCK = 200
"""Most images that a thread processes at a time."""
THREADS = min(8, available_cores())
GREY_MODES = ("1", "L", "LA", "La")
T = TypeVar("T")


class PreprocessingRule(Frozen):
    """Conversion of an image to pixels: rotated as its EXIF data says, first frame, transparent parts on black,
    scaled to fit (bilinear, antialiased) and centred on black. Nothing is cropped."""

    height: int = Field(ge=1)
    width: int = Field(ge=1)
    channels: int = Field(ge=1)
    white: int = Field(65535, ge=1)
    """White level of images with more than 8 bits: 4095 for a 12-bit camera."""

    @property
    def description(self) -> str:
        """The rule in words."""
        colour = "grey" if self.channels == 1 else "colour"
        return (
            f"rotated as EXIF says, first frame, transparent parts on black, scaled to fit "
            f"{self.width} x {self.height} pixels, centred on black, {colour}"
        )

    def pixels(self, image: Image.Image) -> UInt8[np.ndarray, "C H W"]:
        """Return the preprocessed pixels of an image that was just opened.

        Raises:
            UnreadableImageError: floats out of range.
        """
        image = _upright(image, max(self.width, self.height), self.white)
        image = image.convert("L" if self.channels == 1 else "RGB")
        if image.size != (self.width, self.height):
            image = ImageOps.pad(image, (self.width, self.height), Image.Resampling.BILINEAR)
        return channels_first(image)


class ImageInfo(NamedTuple):
    """Properties of an image file."""

    size: tuple[int, int]
    """Width and height."""
    grey: bool
    highest: int
    """Highest value of an image with more than 8 bits, otherwise 0."""
    notes: tuple[str, ...]


class Survey(NamedTuple):
    """Properties of all image files."""

    images: tuple[PathParts, ...]
    infos: tuple[ImageInfo, ...]
    skipped: dict[str, str]
    """Reason for each unreadable file, by name."""

    @property
    def notes(self) -> dict[str, int]:
        """Number of images to which each note applies."""
        return dict(Counter(note for info in self.infos for note in info.notes))

    def rule(self, side: int | None) -> PreprocessingRule:
        """Return the preprocessing for these images."""
        channels = 1 if all(info.grey for info in self.infos) else 3
        white = 2 ** max(max(info.highest for info in self.infos).bit_length(), 9) - 1
        return rule_for([info.size for info in self.infos], side, channels, white)


def rule_for(
    sizes: Sequence[tuple[int, int]], side: int | None, channels: int, white: int = 65535
) -> PreprocessingRule:
    """Return the preprocessing for images of these widths and heights.

    To a square of ``side`` pixels; if ``side`` is None, to the images' own size if it is the same for all and small,
    otherwise to a square of at most 32 pixels.
    """
    width, height = min(sizes)
    same = len(set(sizes)) == 1 and SMALLEST_SIDE <= min(width, height) <= max(width, height) <= SIDE
    if side is not None or not same:
        longer = int(np.median([max(size) for size in sizes]))
        width = height = side or min(SIDE, max(SMALLEST_SIDE, longer))
    return PreprocessingRule(height=height, width=width, channels=channels, white=white)


def survey(files: Files, progress: Progress = ignore_progress) -> Survey:
    """Read the properties of all images; only those with more than 8 bits are decoded."""
    results = dict(map_images(files, _info, f"scanning {files.title}", progress))
    infos = {parts: result for parts, result in results.items() if not isinstance(result, str)}
    skipped = {"/".join(parts): result for parts, result in results.items() if isinstance(result, str)}
    return Survey(tuple(infos), tuple(infos.values()), skipped)


def thumbnail(read: Callable[[PathParts], bytes], parts: PathParts, side: int, white: int) -> Image.Image | None:
    """Return an RGB image for display, at most ``side`` pixels wide and high; None if the file cannot be read."""

    def shrink(image: Image.Image) -> Image.Image:
        image = _upright(image, side, white).convert("RGB")
        if max(image.size) < side:
            return enlarge(image, side)
        image.thumbnail((side, side))
        return image

    result = _apply(read, parts, shrink, PIXEL_LIMIT)
    return None if isinstance(result, str) else result


def channels_first(image: Image.Image) -> UInt8[np.ndarray, "C H W"]:
    """Return the pixels of a grey or RGB image."""
    array = np.asarray(image)
    return array[None] if array.ndim == 2 else np.moveaxis(array, 2, 0)


def to_image(pixels: UInt8[np.ndarray, "C H W"]) -> Image.Image:
    """Return a grey or RGB image: the inverse of :func:`channels_first`."""
    return Image.fromarray(pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, 2))


def enlarge(image: Image.Image, side: int) -> Image.Image:
    """Return a small image with each pixel repeated, at most ``side`` pixels wide and high."""
    scale = max(1, side // max(image.size))
    return image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)


def on_black(image: Image.Image) -> Image.Image:
    """Composite a transparent image with a black background."""
    if not image.has_transparency_data:
        return image
    foreground = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", foreground.size, (0, 0, 0, 255)), foreground).convert("RGB")


def map_images(
    files: Files,
    function: Callable[[Image.Image], T],
    task: str,
    progress: Progress = ignore_progress,
    first: int = 0,
    pixel_limit: int | None = None,
    threads: int | None = None,
) -> Generator[tuple[PathParts, T | str], None, None]:
    """Apply ``function`` to the opened images in threads, from index ``first`` on; yield each path and result.

    The result of an image that cannot be read, or has more than ``pixel_limit`` pixels, is the reason in words.
    """
    limit, threads = pixel_limit or PIXEL_LIMIT, threads or THREADS
    size = min(BLOCK, max(1, (len(files.images) - first) // (2 * threads)))  # a few images, too, occupy all threads
    blocks = [files.images[start : start + size] for start in range(first, len(files.images), size)]
    pool, ahead, done = ThreadPoolExecutor(threads), 2 * threads, first

    def apply(block: Sequence[PathParts]) -> list[T | str]:
        return [_apply(files.read, parts, function, limit) for parts in block]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, on damaged or huge files, which are reported here
        try:
            for start in range(0, len(blocks), ahead):
                submitted = blocks[start : start + ahead]
                for block, results in zip(submitted, pool.map(apply, submitted), strict=True):
                    yield from zip(block, results, strict=True)
                    done += len(block)
                    progress(task, done / len(files.images))
        finally:
            pool.shutdown(cancel_futures=True)


def _apply(
    read: Callable[[PathParts], bytes], parts: PathParts, function: Callable[[Image.Image], T], pixel_limit: int
) -> T | str:
    """Return the function's result for an image, or the reason why it cannot be read."""
    try:
        data = read(parts)
        if not data:
            return "is empty"
        with Image.open(io.BytesIO(data), formats=sorted(set(FORMATS.values()))) as image:
            if image.width * image.height > pixel_limit:
                return f"is {image.width} x {image.height}, over the limit of {pixel_limit:,} pixels"
            return function(image)
    except UnreadableImageError as error:
        return str(error)
    except FileNotFoundError:
        return "is a broken link, or was removed"
    except PermissionError:
        return "is not readable: permission denied"
    except (Image.DecompressionBombError, MemoryError):
        return f"is over the limit of {pixel_limit:,} pixels"
    except UnidentifiedImageError:
        return "is not an image that can be read (damaged, or not of the type that its name says)"
    except Exception as error:  # Pillow and zipfile raise a dozen kinds on damaged files
        return f"is damaged ({printable(str(error))[:80] or type(error).__name__})"


def _info(image: Image.Image) -> ImageInfo:
    orientation = image.getexif().get(0x0112, 1)
    stored = image.format != "TIFF"  # whose size is already that of the turned image (Pillow from 11.0)
    size = image.size[::-1] if stored and orientation in (5, 6, 7, 8) else image.size
    deep = image.mode.startswith(("I", "F"))
    properties = {
        "turned by EXIF": orientation not in (0, 1),
        "animated, first frame taken": getattr(image, "n_frames", 1) > 1,
        "more than 8 bits": deep,
        "transparent parts laid on black": image.has_transparency_data,
    }
    highest = int(image.getextrema()[1]) if deep and image.mode != "F" else 0  # type: ignore[arg-type]
    notes = tuple(note for note, applies in properties.items() if applies)
    return ImageInfo(size, image.mode in GREY_MODES or deep, highest, notes)


def _upright(image: Image.Image, side: int, white: int) -> Image.Image:
    """Return a just opened image with 8 bits, turned as its EXIF data says, on black."""
    image.draft(image.mode, (2 * side, 2 * side))  # JPEG: decode at the resolution needed
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        array = np.asarray(image, dtype=np.float32)
        if image.mode == "F":
            if not (np.isfinite(array).all() and 0 <= array.min() <= array.max() <= 1):
                raise UnreadableImageError("has floats outside 0 to 1")
            white = 1
        image = Image.fromarray(np.clip(np.rint(array * (255 / white)), 0, 255).astype(np.uint8))
    return on_black(image)
