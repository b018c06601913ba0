"""Pixels of images: 8-bit, or floats in [0, 1] in which NaN stands for an unknown pixel."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, UInt8
from torch import Tensor

CHUNK = 10_000
"""Number of images hashed, searched or binarised at a time, because the pixels may be memory-mapped."""
Pixels = UInt8[Tensor, "N C H W"] | Float32[Tensor, "N C H W"]
"""Pixels from 0 to 255, or floats in [0, 1] in which NaN stands for an unknown pixel."""


def has_unknown(pixels: Pixels) -> bool:
    """Whether some pixel is NaN; the search ends at the first chunk that has one."""
    return pixels.is_floating_point() and any(bool(chunk.sum().isnan()) for chunk in pixels.split(CHUNK))


def with_one_nan(pixels: Pixels) -> Pixels:
    """The pixels with the same bits for every NaN."""
    return torch.where(pixels.isnan(), math.nan, pixels)


def split_unknown(pixels: Float[Tensor, "*shape"]) -> tuple[Float[Tensor, "*shape"], Bool[Tensor, "*shape"]]:
    """Float pixels with 0 in place of NaN, changed in place, and which pixels are known."""
    unknown = pixels.isnan()
    return pixels.masked_fill_(unknown, 0.0), unknown.logical_not_()


def sample_binary(pixels: Pixels, generator: torch.Generator) -> Pixels:
    """Black or white pixels of the same type, white with the grey value as probability; unknown ones stay unknown."""
    if not pixels.is_floating_point():
        return torch.bernoulli(pixels.float() / 255, generator=generator).mul(255).to(torch.uint8)
    probability, known = split_unknown(pixels.clone())
    return torch.bernoulli(probability, generator=generator).masked_fill(~known, math.nan)


def to_8_bits(pixels: UInt8[Tensor, "*shape"] | Float[Tensor, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Pixels for display, from 0 to 255: floats are clamped to [0, 1] and rounded, unknown ones are 0."""
    if pixels.is_floating_point():
        pixels = (pixels.nan_to_num(nan=0.0).clamp(0, 1) * 255).round().to(torch.uint8)
    return pixels.cpu().numpy()
