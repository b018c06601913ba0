"""Statistics of pixels: ink, slant, stroke thickness, sharpness, fraction of black and white."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

Pixels = Float[Tensor, "N C H W"]


def ink(x: Pixels) -> Float[Tensor, " N"]:
    """Mean intensity of each image, in [0, 1]."""
    return x.mean((1, 2, 3))


def slant(x: Pixels) -> Float[Tensor, " N"]:
    """Angle of each image's strokes to the vertical, in degrees, positive where the top leans to the right.

    Computed from second moments of the intensity: a shape sheared by s pixels per row has covariance(column, row) /
    variance(row) = s. It is 0 for an empty image.
    """
    intensity = x.sum(1).double()
    rows = torch.arange(x.shape[2], dtype=torch.float64).view(1, -1, 1)
    columns = torch.arange(x.shape[3], dtype=torch.float64).view(1, 1, -1)
    mass = intensity.sum((1, 2), keepdim=True).clamp(min=1e-12)
    down = rows - (intensity * rows).sum((1, 2), keepdim=True) / mass
    across = columns - (intensity * columns).sum((1, 2), keepdim=True) / mass
    variance = (intensity * down.square()).sum((1, 2)).clamp(min=1e-12)
    shear = (intensity * down * across).sum((1, 2)) / variance
    return -shear.atan().rad2deg()


def total_variation(x: Pixels) -> Float[Tensor, " N"]:
    """Sum of absolute differences of vertically and horizontally adjacent pixels, for each image."""
    return (x.diff(dim=2).abs().sum((1, 2, 3)) + x.diff(dim=3).abs().sum((1, 2, 3))).double()


def thickness(x: Pixels) -> Float[Tensor, " N"]:
    """Mean stroke thickness of each image in pixels: twice the area over the length of the outline.

    It is exact for long bars along the axes: a bar of width w and length l has area w l and an outline of about 2 l.
    """
    return 2 * x.sum((1, 2, 3)).double() / total_variation(x).clamp(min=1e-12)


def sharpness(x: Pixels) -> float:
    """Root mean squared difference of vertically and horizontally adjacent pixels.

    Blur lowers it. Absolute differences would not change: those of an edge over several pixels have the same sum.
    """
    return float(((x.diff(dim=2).square().mean() + x.diff(dim=3).square().mean()) / 2).sqrt())


def binary_fraction(x: Pixels, margin: float = 0.1) -> float:
    """Fraction of pixels within ``margin`` of 0 or of 1."""
    return float(((x < margin) | (x > 1 - margin)).double().mean())
