"""Changes made to images."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

BLOCK = 4096
"""Images turned at once, so that memory does not grow with the data."""


def rotate(pixels: UInt8[Tensor, "N C H W"], degrees: Float[Tensor, " N"]) -> UInt8[Tensor, "N C H W"]:
    """Each image turned counter-clockwise about its centre by its own angle, bilinear, zeros from outside."""
    turned = torch.empty_like(pixels)
    for start in range(0, len(pixels), BLOCK):
        rows = slice(start, start + BLOCK)
        turned[rows] = _rotate(pixels[rows].float(), degrees[rows].float() * (math.pi / 180))
    return turned


def _rotate(x: Float[Tensor, "N C H W"], angle: Float[Tensor, " N"]) -> UInt8[Tensor, "N C H W"]:
    height, width = x.shape[2:]
    cos, sin, zero = torch.cos(angle), torch.sin(angle), torch.zeros_like(angle)
    # the grid's axes run from -1 to 1 whatever the sides: their ratio keeps oblong images unsheared
    where = torch.stack([cos, -sin * (height / width), zero, sin * (width / height), cos, zero], dim=1).reshape(
        -1, 2, 3
    )
    grid = functional.affine_grid(where, list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid, align_corners=False).round_().clamp_(0, 255).to(torch.uint8)
