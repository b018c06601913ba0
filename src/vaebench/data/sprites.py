"""Procedural images with known factors, for measures of disentanglement.

The shapes are vaebench's own, not dSprites, so results on them do not compare with published ones. No shape is
rotationally symmetric, so all five factors can be recovered from an image. Images are 32x32 instead of 64x64: the
factors remain visible, and with a quarter of the pixels a laptop trains on them in minutes.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from vaebench.core.errors import VaebenchError
from vaebench.data.images import Images

SIDE = 32
SHAPES = ("wedge", "half-disc", "ell")
FACTORS = {"shape": len(SHAPES), "scale": 4, "rotation": 16, "x": 10, "y": 10}
"""Number of values of each factor, in the order of the columns."""
RADII = torch.linspace(4.0, 8.0, FACTORS["scale"])
"""Distance in pixels from the centre of a shape to its farthest point, for each scale."""
PLACES = torch.linspace(10.0, SIDE - 10.0, FACTORS["x"])
"""Distance in pixels from the left edge (x) or the upper edge (y) to the centre of a shape."""


def factor_grid() -> Int[np.ndarray, "N 5"]:
    """Return the factor indices of all images of the data set ``sprites``: every combination once, shuffled so that
    any first rows cover all scales, rotations and positions."""
    grid = np.stack(np.meshgrid(*map(np.arange, FACTORS.values()), indexing="ij"), axis=-1).reshape(-1, len(FACTORS))
    return np.random.default_rng(0).permutation(grid)


def render(factors: Int[np.ndarray, "N 5"]) -> Images:
    """Render the images of these factor indices (columns as in ``FACTORS``), white on black, labelled by shape.

    Edges are antialiased. Rotation index r is a counter-clockwise rotation by r/16 of a circle.

    Raises:
        VaebenchError: an index is out of range.
    """
    for (name, count), column in zip(FACTORS.items(), factors.T, strict=True):
        invalid = column[(column < 0) | (column >= count)]
        if len(invalid):
            raise VaebenchError(f"factors has {name} index {invalid[0]}; expected 0 to {count - 1}")
    indices = torch.from_numpy(np.ascontiguousarray(factors)).long()
    pixels = torch.cat([_render(block) for block in torch.split(indices, 2048)])
    return Images(pixels, indices[:, 0].clone(), SHAPES)


def _render(indices: Int[Tensor, "N 5"]) -> UInt8[Tensor, "N 1 H W"]:
    shape, scale, rotation, x, y = indices.T
    centres = torch.arange(SIDE) + 0.5
    radius, angle = RADII[scale, None, None], (2 * math.pi / FACTORS["rotation"]) * rotation[:, None, None]
    right = (centres[None, None, :] - PLACES[x, None, None]) / radius
    up = (PLACES[y, None, None] - centres[None, :, None]) / radius
    u = torch.cos(angle) * right + torch.sin(angle) * up
    v = torch.cos(angle) * up - torch.sin(angle) * right
    outside = torch.stack([_wedge(u, v), _half_disc(u, v), _ell(u, v)])[shape, torch.arange(len(indices))]
    covered = (0.5 - outside * radius).clamp(0, 1)  # a pixel whose centre lies on the edge is half covered
    return (255 * covered).round().to(torch.uint8)[:, None]


# Signed distances to the edge of each shape, in units of its radius; negative inside.


def _wedge(u: Float[Tensor, "N H W"], v: Float[Tensor, "N H W"]) -> Float[Tensor, "N H W"]:
    side = (1.8 * u.abs() + 0.6 * (v - 1)) / math.hypot(1.8, 0.6)
    return torch.maximum(side, -0.8 - v)


def _half_disc(u: Float[Tensor, "N H W"], v: Float[Tensor, "N H W"]) -> Float[Tensor, "N H W"]:
    return torch.maximum(torch.hypot(u, v + 0.4) - 0.9, -0.4 - v)


def _ell(u: Float[Tensor, "N H W"], v: Float[Tensor, "N H W"]) -> Float[Tensor, "N H W"]:
    upright = torch.maximum((u + 0.35).abs() - 0.25, v.abs() - 0.75)
    foot = torch.maximum(u.abs() - 0.6, (v + 0.5).abs() - 0.25)
    return torch.minimum(upright, foot)
