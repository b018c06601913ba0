"""Random augmentation of images."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from vaebench.core.frozen import Frozen
from vaebench.data.images import Batch
from vaebench.data.pixels import Pixels, split_unknown

BLOCK = 4096
"""Number of images rotated at a time, which bounds the memory."""
NEGLIGIBLE = 1e-3
"""Weight of unknown pixels in an interpolated one up to which it counts as known: above the rounding of coordinates."""
SIDE = 28
"""Side in pixels of the images that the presets are given for."""
KNOTS = 4
"""Knots along each side of the grid for elastic distortion."""


def rotate(pixels: Pixels, degrees: Float[Tensor, " N"]) -> Pixels:
    """Rotate each image counter-clockwise about its centre by its own angle, bilinear, padded with zeros.

    A pixel that is interpolated from an unknown one is unknown.
    """
    rotated = torch.empty_like(pixels)
    for start in range(0, len(pixels), BLOCK):
        rows = slice(start, start + BLOCK)
        angle = degrees[rows].float() * (math.pi / 180)
        if pixels.is_floating_point():
            x, known = split_unknown(pixels[rows].clone())
            x, known = _sample_known(x, known, _rotation_grid(pixels[rows], angle))
            rotated[rows] = x.masked_fill(~known, math.nan)
        else:
            x = _sample(pixels[rows].float(), _rotation_grid(pixels[rows], angle))
            rotated[rows] = x.round_().clamp_(0, 255).to(torch.uint8)
    return rotated


def _sample(x: Float[Tensor, "N C H W"], grid: Float[Tensor, "N H W 2"]) -> Float[Tensor, "N C H W"]:
    return functional.grid_sample(x, grid, align_corners=False)


def _sample_known(
    x: Float[Tensor, "N C H W"], known: Bool[Tensor, "N C H W"], grid: Float[Tensor, "N H W 2"]
) -> tuple[Float[Tensor, "N C H W"], Bool[Tensor, "N C H W"]]:
    """The images at the points of ``grid``, and which of their pixels are known; the others are 0."""
    x, unknown = _sample(torch.cat([x, (~known).to(x.dtype)], 1), grid).chunk(2, 1)
    known = unknown <= NEGLIGIBLE
    return x.where(known, 0.0), known


def _rotation_grid(pixels: Pixels, angle: Float[Tensor, " N"]) -> Float[Tensor, "N H W 2"]:
    height, width = pixels.shape[2:]
    cos, sin, zero = torch.cos(angle), torch.sin(angle), torch.zeros_like(angle)
    # the grid's axes run from -1 to 1 for any size: the aspect ratio keeps oblong images unsheared
    rows = [cos, -sin * (height / width), zero, sin * (width / height), cos, zero]
    return functional.affine_grid(torch.stack(rows, 1).view(-1, 2, 3), list(pixels.shape), align_corners=False)


class Augmentation(Frozen):
    """Random rotation, scaling, shear, translation, elastic distortion, reflection, gamma and cutout of each image.

    Bilinear, padded with zeros. Amounts are drawn uniformly from -amount to +amount with torch's global generator.
    Which transformations preserve the class is prior knowledge, so results state the augmentation.
    """

    rotation: float = Field(0.0, ge=0, le=180)
    """Degrees."""
    scale: float = Field(0.0, ge=0, lt=1)
    """Relative change of width and height, drawn independently."""
    shear: float = Field(0.0, ge=0)
    """Horizontal shift in pixels per pixel of height."""
    shift: float = Field(0.0, ge=0)
    """Pixels, along both axes."""
    elastic: float = Field(0.0, ge=0)
    """Standard deviation in pixels of the displacements of a grid of 4x4 knots."""
    mirror: bool = False
    """Whether half of the images are flipped horizontally."""
    gamma: float = Field(0.0, ge=0)
    """Each channel is raised to the power exp(amount), which keeps 0 and 1."""
    cutout: int = Field(0, ge=0)
    """Side in pixels of a square of zeros, centred on a random pixel. DeVries & Taylor 2017."""

    def scaled(self, side: int) -> Augmentation:
        """Return the augmentation for images of another side in pixels, given that of ``SIDE`` pixels."""
        factor = side / SIDE
        lengths = {
            "shift": self.shift * factor,
            "elastic": self.elastic * factor,
            "cutout": round(self.cutout * factor),
        }
        return self.model_copy(update=lengths)

    @property
    def amounts(self) -> dict[str, float]:
        """The nonzero settings by name."""
        return {name: value for name, value in self.model_dump().items() if value}

    def __call__(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """Return the augmented images, in the same range."""
        return self._augment(x, None)[0]

    def augment(self, batch: Batch) -> Batch:
        """Return the batch of augmented images; a pixel that is interpolated from an unknown one is unknown."""
        x, known = self._augment(batch.x, batch.known)
        return Batch(x, batch.labels, known)

    def _augment(
        self, x: Float[Tensor, "B C H W"], known: Bool[Tensor, "B C H W"] | None
    ) -> tuple[Float[Tensor, "B C H W"], Bool[Tensor, "B C H W"] | None]:
        if any((self.rotation, self.scale, self.shear, self.shift, self.elastic, self.mirror)):
            grid = self._warp_grid(x)
            x, known = (_sample(x, grid), None) if known is None else _sample_known(x, known, grid)
        if self.gamma:
            power = torch.stack([_uniform(x, self.gamma) for _ in range(x.shape[1])], 1).exp()
            x = x.clamp(min=0) ** power[:, :, None, None]
        return self._cut_out(x) if self.cutout else x, known

    def _warp_grid(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B H W 2"]:
        height, width = x.shape[2:]
        grid = functional.affine_grid(self._affine(x), list(x.shape), align_corners=False)
        if self.elastic:
            knots = torch.randn(len(x), 2, KNOTS, KNOTS, device=x.device, dtype=x.dtype) * self.elastic
            displacement = _interpolation(height, x) @ knots @ _interpolation(width, x).T
            grid = grid + displacement.permute(0, 2, 3, 1) * x.new_tensor([2 / width, 2 / height])
        return grid

    def _cut_out(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        rows, columns = (
            (torch.arange(side, device=x.device) - torch.randint(side, (len(x), 1), device=x.device) + self.cutout // 2)
            for side in x.shape[2:]
        )
        inside = ((rows >= 0) & (rows < self.cutout))[:, :, None] & ((columns >= 0) & (columns < self.cutout))[:, None]
        return x.masked_fill(inside[:, None], 0.0)

    def _affine(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B 2 3"]:
        """Affine maps from output to input, composed in pixels about the centre, then scaled to axes from -1 to 1."""
        height, width = x.shape[2:]
        angle = _uniform(x, self.rotation * math.pi / 180)
        rotation = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(-1, 2, 2)
        one, zero = torch.ones_like(angle), torch.zeros_like(angle)
        shear = torch.stack([one, _uniform(x, self.shear), zero, one], 1).view(-1, 2, 2)
        scale = torch.stack([1 + _uniform(x, self.scale), 1 + _uniform(x, self.scale)], 1)
        if self.mirror:
            scale[:, 0] *= torch.randint(0, 2, (len(x),), device=x.device) * 2 - 1
        shift = torch.stack([_uniform(x, self.shift), _uniform(x, self.shift)], 1)
        half = x.new_tensor([width / 2, height / 2])
        linear = rotation @ shear @ torch.diag_embed(scale)
        return torch.cat([linear * half / half[:, None], (shift / half)[:, :, None]], 2)


def bolder(augmentation: Augmentation) -> Augmentation:
    """Return the augmentation with twice the gamma and a cutout 1.5 times as large; 0.3 and 6 where they were zero."""
    gamma, cutout = augmentation.gamma or 0.15, augmentation.cutout or 4
    return Augmentation(**augmentation.model_dump() | {"gamma": 2 * gamma, "cutout": round(1.5 * cutout)})


def _interpolation(side: int, like: Tensor) -> Float[Tensor, "S K"]:
    """Bicubic weights of the knots for each pixel of a row; the product is faster than ``interpolate`` on a batch."""
    knots = torch.eye(KNOTS, device=like.device, dtype=like.dtype)[None]
    weights = functional.interpolate(knots[:, :, None], (1, side), mode="bicubic", align_corners=True)
    return weights[0, :, 0].T


def _uniform(x: Float[Tensor, "B C H W"], amount: float) -> Float[Tensor, " B"]:
    return (torch.rand(len(x), device=x.device, dtype=x.dtype) * 2 - 1) * amount


AUGMENTATIONS: dict[str, Augmentation] = {
    "digits": Augmentation(rotation=10, scale=0.1, shear=0.15, shift=0.7),
    "mnist": Augmentation(rotation=15, scale=0.15, shear=0.25, shift=2.5, elastic=0.6),
    "fashion-mnist": Augmentation(rotation=6, scale=0.1, shift=2, mirror=True, gamma=0.3, cutout=8),
    "quickdraw": Augmentation(rotation=15, scale=0.15, shear=0.2, shift=2, elastic=0.6, mirror=True),
    "cifar10": Augmentation(rotation=6, scale=0.2, shift=4, mirror=True, gamma=0.5, cutout=8),
}
"""Class-preserving augmentation of each data set, chosen by eye before any training."""
BOLDER: dict[str, Augmentation] = {name: bolder(AUGMENTATIONS[name]) for name in AUGMENTATIONS if name != "digits"}
"""Stronger augmentation for the pairs of a contrastive VAE, which needs no class labels; 8x8 images are too small."""
GENTLE = Augmentation(rotation=5, scale=0.05, shift=1)
"""Default augmentation of unknown images."""
PRESETS: dict[str, Augmentation] = {
    "gentle": GENTLE,
    "strokes": Augmentation(rotation=15, scale=0.15, shear=0.2, shift=2, elastic=0.6),
    "objects": Augmentation(rotation=6, scale=0.1, shift=2, mirror=True, gamma=0.3, cutout=8),
    "photographs": Augmentation(rotation=6, scale=0.2, shift=4, mirror=True, gamma=0.5, cutout=8),
    "microscopy": Augmentation(rotation=180, scale=0.1, shift=2, mirror=True, gamma=0.3, cutout=6),
}
"""Augmentation by the kind of images of 28 pixels: prior knowledge of which changes keep the class. Gentle for any;
strokes for handwriting and drawings; objects that stand upright and may be mirrored; photographs, the same with more
variation of place and light; microscopy and aerial images, which have no upright position."""
