"""What an inspection measures on every image: hashes, brightness and unknown pixels, in a few bytes an image."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int, Shaped, UInt8, UInt64

from vaebench.data.image_set import ImageSet, UnreadableImageError
from vaebench.data.images import Progress, ignore_progress
from vaebench.data.preprocessing import LUMA, PreprocessingRule
from vaebench.data.survey import map_rows

BLOCK = 100
"""Images that are measured together."""
PIXELS_BLOCK = 1 << 22
"""Values of an array of pixels that are measured together."""
HASH_ROWS, HASH_COLUMNS = 8, 9
"""Size to which an image is reduced for its difference hash, which compares each pixel with its right neighbour."""


class Measures(NamedTuple):
    """Measurements of N images by their preprocessed pixels; rows of unreadable images hold zeros."""

    known: Bool[np.ndarray, " N"]
    """Whether the image was measured."""
    pixel_hash: UInt64[np.ndarray, " N"]
    """64 bits of BLAKE2b of the pixels."""
    difference_hash: UInt64[np.ndarray, " N"]
    """Perceptual hash: images that look alike differ in a few bits."""
    small: UInt8[np.ndarray, "N 72"]
    """Mean brightness of 8 x 9 sections, from 0 to 255."""
    mean: Float32[np.ndarray, " N"]
    """Mean brightness from 0 to 1, of the known pixels."""
    constant: Bool[np.ndarray, " N"]
    """Whether all known pixels of each channel have one value."""
    grey: Bool[np.ndarray, " N"]
    """Whether the three channels of a colour image are equal."""
    unknown: Float32[np.ndarray, " N"]
    """Fraction of unknown pixels."""


def no_measures(count: int) -> Measures:
    """Return measurements of images of which none is measured yet."""
    small = np.zeros((count, HASH_ROWS * HASH_COLUMNS), np.uint8)
    hashes, flags = (np.zeros((2, count), each) for each in (np.uint64, bool))
    return Measures(
        known=np.zeros(count, bool),
        pixel_hash=hashes[0],
        difference_hash=hashes[1],
        small=small,
        mean=np.zeros(count, np.float32),
        constant=flags[0],
        grey=flags[1],
        unknown=np.zeros(count, np.float32),
    )


def measure_images(
    images: ImageSet, rule: PreprocessingRule, progress: Progress = ignore_progress
) -> tuple[Measures, dict[str, str]]:
    """Read each image once and measure it; also return the reason for each image that cannot be read, by name.

    No image is kept: memory does not grow by about 100 bytes an image.
    """
    at_least = max(rule.width, rule.height)
    starts = range(0, len(images), BLOCK)

    def measure_block(number: int) -> tuple[list[int], Measures, dict[int, str]]:
        pixels, rows, reasons = [], [], {}
        for row in range(starts[number], min(starts[number] + BLOCK, len(images))):
            try:
                pixels.append(rule.pixels(images.read(row, at_least)))
                rows.append(row)
            except UnreadableImageError as error:
                reasons[row] = str(error)
        return rows, measure(np.stack(pixels)) if rows else no_measures(0), reasons

    measures = no_measures(len(images))
    damaged: dict[str, str] = {}
    task = f"reading {images.title}"
    for _, result in map_rows(images, measure_block, range(len(starts)), task, progress, block=1):
        assert not isinstance(result, str)
        rows, block, reasons = result
        for whole, part in zip(measures, block, strict=True):
            whole[rows] = part
        damaged |= {images.names[row]: reason for row, reason in reasons.items()}
    return measures, damaged


def measure_pixels(
    pixels: Shaped[np.ndarray, "M C H W"],
    rows: Int[np.ndarray, " M"],
    count: int,
    callback: Callable[[float], None] = lambda done: None,
) -> Measures:
    """Measure preprocessed pixels that are in memory or memory-mapped.

    Args:
        pixels: uint8, or float32 from 0 to 1 with NaN where a pixel is not known.
        rows: row of the set that each of the M images has.
        count: number of images of the set.
        callback: receives the completed fraction in [0, 1].
    """
    measures = no_measures(count)
    step = max(1, PIXELS_BLOCK // max(1, int(np.prod(pixels.shape[1:]))))
    for start in range(0, len(pixels), step):
        block = measure(np.asarray(pixels[start : start + step]))
        for whole, part in zip(measures, block, strict=True):
            whole[rows[start : start + step]] = part
        callback(min(1.0, (start + step) / len(pixels)))
    return measures


def measure(pixels: Shaped[np.ndarray, "B C H W"]) -> Measures:
    """Measure a few images."""
    count = len(pixels)
    flat = pixels.reshape(count, pixels.shape[1], -1)
    hashes = b"".join(blake2b(each, digest_size=8).digest() for each in np.ascontiguousarray(flat))
    unknown: np.ndarray = np.isnan(flat).any(1) if flat.dtype.kind == "f" else np.zeros((count, 1), bool)
    lowest, highest = (flat.min(2), flat.max(2)) if not unknown.any() else _known_range(flat)
    grey = brightness(pixels)
    small = reduced(grey)
    return Measures(
        known=np.ones(count, bool),
        pixel_hash=np.frombuffer(hashes, np.uint64),
        difference_hash=difference_hash(small),
        small=np.rint(255 * small.reshape(count, -1)).astype(np.uint8),
        mean=_known_mean(grey),
        constant=(lowest == highest).all(1),
        grey=(flat[:, 1:] == flat[:, :1]).all((1, 2)) if flat.shape[1] == 3 else np.zeros(count, bool),
        unknown=unknown.mean(1).astype(np.float32),
    )


def _known_mean(grey: Float32[np.ndarray, "B H W"]) -> Float32[np.ndarray, " B"]:
    """Mean of the known pixels of each image; 0 where none is known."""
    counts = (~np.isnan(grey)).sum((1, 2))
    means: np.ndarray = np.nansum(grey, axis=(1, 2)) / np.maximum(counts, 1)
    return means.astype(np.float32)


def _known_range(flat: Float32[np.ndarray, "B C P"]) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest known value of each channel; 0 where none is known."""
    known = ~np.isnan(flat)
    ends = np.where(known, flat, np.inf).min(2), np.where(known, flat, -np.inf).max(2)
    return np.nan_to_num(ends[0], posinf=0), np.nan_to_num(ends[1], neginf=0)


def brightness(pixels: Shaped[np.ndarray, "B C H W"]) -> Float32[np.ndarray, "B H W"]:
    """Return grey images from 0 to 1: luma of three channels, the mean of other numbers; NaN stays."""
    scale = np.float32(1 / 255 if pixels.dtype == np.uint8 else 1)
    if pixels.shape[1] == 1:
        return pixels[:, 0].astype(np.float32) * scale
    weights = LUMA if pixels.shape[1] == 3 else np.full(pixels.shape[1], 1 / pixels.shape[1], np.float32)
    grey: np.ndarray = np.einsum("bchw,c->bhw", pixels.astype(np.float32), weights * scale)
    return grey


def reduced(grey: Float32[np.ndarray, "B H W"]) -> Float32[np.ndarray, "B 8 9"]:
    """Return the mean brightness of 8 x 9 equal sections; unknown pixels count as black."""
    height, width = grey.shape[1:]
    small: np.ndarray = _averages(HASH_ROWS, height) @ np.nan_to_num(grey) @ _averages(HASH_COLUMNS, width).T
    return small


def difference_hash(small: Float32[np.ndarray, "B 8 9"]) -> UInt64[np.ndarray, " B"]:
    """Return the difference hash of each image: 64 bits, set where a section is darker than its right neighbour.

    Differences below 1/255 count as none, so that flat areas give no random bits.
    """
    bits = (small[:, :, 1:] - small[:, :, :-1]) > 1 / 255
    return np.packbits(bits.reshape(len(small), 64), axis=1).view(np.uint64)[:, 0]


def _averages(to: int, size: int) -> Float32[np.ndarray, "T S"]:
    """Weights of the means of ``to`` equal sections of ``size`` pixels, of which a section may hold fractions."""
    edges = np.linspace(0, size, to + 1)
    left, right = np.maximum(edges[:-1, None], np.arange(size)), np.minimum(edges[1:, None], np.arange(1, size + 1))
    covered = np.clip(right - left, 0, None)
    weights: np.ndarray = covered / covered.sum(1, keepdims=True)
    return weights.astype(np.float32)
