"""Small pictures of stored images and of pixels, for pages."""

from __future__ import annotations

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image

from vaebench.data.image_set import ImageSet, UnreadableImageError
from vaebench.data.preprocessing import PreprocessingRule


def as_rgb(pixels: Shaped[np.ndarray, "C H W"]) -> UInt8[np.ndarray, "H W 3"]:
    """Return pixels for display: grey three times, of other channels the first three, unknown pixels black."""
    if pixels.dtype != np.uint8:
        pixels = np.rint(np.nan_to_num(pixels) * 255).astype(np.uint8)
    if len(pixels) == 2:
        pixels = np.concatenate([pixels, np.zeros_like(pixels[:1])])
    return np.moveaxis(np.repeat(pixels, 3, axis=0) if len(pixels) == 1 else pixels[:3], 0, 2)


def enlarge(pixels: Shaped[np.ndarray, "C H W"], side: int) -> Image.Image:
    """Return a small image with each pixel repeated, at most ``side`` pixels wide and high."""
    image = Image.fromarray(np.ascontiguousarray(as_rgb(pixels)))
    scale = max(1, side // max(image.size))
    return image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)


def thumbnail(images: ImageSet, row: int, rule: PreprocessingRule, side: int) -> Image.Image | None:
    """Return an RGB picture of a stored image, at most ``side`` wide and high; None if it cannot be read."""
    try:
        raw = images.read(row, side)
        height, width = raw.values.shape[:2]
        scale = min(1.0, side / max(height, width))
        size = {"height": max(1, round(height * scale)), "width": max(1, round(width * scale))}
        return enlarge(rule.model_copy(update=size).pixels(raw), side)
    except UnreadableImageError:
        return None
