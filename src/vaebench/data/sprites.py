"""Procedural images with known factors, for scores that ask whether latents found them.

These are vaebench's own shapes, not dSprites: numbers made with them compare to no published ones. No shape
looks the same after a part of a full turn, so all five factors can be read from an image. Images are 32x32,
not 64x64: the factors are as plain to see, and four times fewer pixels let a laptop train on them in minutes.
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
"""The factors, in the order of their columns, and how many values each takes."""

RADII = torch.linspace(4.0, 8.0, FACTORS["scale"])
"""Pixels from the centre of a shape to its farthest point, for each scale."""

PLACES = torch.linspace(10.0, SIDE - 10.0, FACTORS["x"])
"""Pixels from the left edge (x) or the upper edge (y) to the centre of a shape."""

BLOCK = 2048


def factor_grid() -> Int[np.ndarray, "N 5"]:
    """The factor indices of every image of the data set ``sprites``, in its order: each combination once,
    shuffled so that the first rows are of all sizes, turns and places."""
    grid = np.stack(np.meshgrid(*map(np.arange, FACTORS.values()), indexing="ij"), axis=-1).reshape(-1, len(FACTORS))
    return np.random.default_rng(0).permutation(grid)


def render(factors: Int[np.ndarray, "N 5"]) -> Images:
    """The images of these factor indices (columns as in ``FACTORS``), white on black, labelled by shape.

    Edges are antialiased. Rotation index r is a counter-clockwise turn by r/16 of a circle.

    Raises:
        VaebenchError: an index outside its factor's values.
    """
    for (name, count), column in zip(FACTORS.items(), factors.T, strict=True):
        wrong = column[(column < 0) | (column >= count)]
        if len(wrong):
            raise VaebenchError(f"factors has {name} index {wrong[0]}; expected 0 to {count - 1}")
    indices = torch.from_numpy(np.ascontiguousarray(factors)).long()
    pixels = torch.cat([_render(block) for block in torch.split(indices, BLOCK)])
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


# Distances outside the edge of each shape, in units of its radius; negative inside.


def _wedge(u: Float[Tensor, "N H W"], v: Float[Tensor, "N H W"]) -> Float[Tensor, "N H W"]:
    side = (1.8 * u.abs() + 0.6 * (v - 1)) / math.hypot(1.8, 0.6)
    return torch.maximum(side, -0.8 - v)


def _half_disc(u: Float[Tensor, "N H W"], v: Float[Tensor, "N H W"]) -> Float[Tensor, "N H W"]:
    return torch.maximum(torch.hypot(u, v + 0.4) - 0.9, -0.4 - v)


def _ell(u: Float[Tensor, "N H W"], v: Float[Tensor, "N H W"]) -> Float[Tensor, "N H W"]:
    upright = torch.maximum((u + 0.35).abs() - 0.25, v.abs() - 0.75)
    foot = torch.maximum(u.abs() - 0.6, (v + 0.5).abs() - 0.25)
    return torch.minimum(upright, foot)
