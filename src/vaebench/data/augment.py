"""Changes made to images."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, UInt8
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from vaebench.core.frozen import Frozen

BLOCK = 4096
"""Images turned at once, so that memory does not grow with the data."""
KNOTS = 4
"""Of the grid that bends an image, along each side."""


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


class Augmentation(Frozen):
    """Each image of a batch changed on its own: turned, scaled, sheared, shifted, bent, mirrored, its tones moved, a
    square cut out of it.

    Bilinear, zeros from outside. Amounts are drawn evenly from -amount to +amount, from torch's global generator. What
    images may undergo and stay what they are is prior knowledge: a result names it.
    """

    rotation: float = Field(0.0, ge=0, le=180)
    """Degrees."""
    scale: float = Field(0.0, ge=0, lt=1)
    """Share by which each side grows or shrinks, the two sides on their own."""
    shear: float = Field(0.0, ge=0)
    """Pixels moved sideways a pixel of height."""
    shift: float = Field(0.0, ge=0)
    """Pixels, in both directions."""
    elastic: float = Field(0.0, ge=0)
    """Pixels by which a coarse grid of 4x4 knots is pulled, standard deviation."""
    mirror: bool = False
    """Left and right are changed in half of the images."""
    gamma: float = Field(0.0, ge=0)
    """Each channel is raised to the power exp(amount): 0 stays 0 and 1 stays 1."""
    cutout: int = Field(0, ge=0)
    """Side of a square of zeros, in pixels, its centre anywhere. DeVries & Taylor 2017."""

    @property
    def amounts(self) -> dict[str, float]:
        """What is switched on."""
        return {name: value for name, value in self.model_dump().items() if value}

    def __call__(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """The changed images, of the same range."""
        if any((self.rotation, self.scale, self.shear, self.shift, self.elastic, self.mirror)):
            x = self._moved(x)
        if self.gamma:
            power = torch.stack([_evenly(x, self.gamma) for _ in range(x.shape[1])], 1).exp()
            x = x.clamp(min=0) ** power[:, :, None, None]
        return self._cut(x) if self.cutout else x

    def _moved(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        height, width = x.shape[2:]
        where = functional.affine_grid(self._places(x), list(x.shape), align_corners=False)
        if self.elastic:
            knots = torch.randn(len(x), 2, KNOTS, KNOTS, device=x.device, dtype=x.dtype) * self.elastic
            pull = _between(height, x) @ knots @ _between(width, x).T
            where = where + pull.permute(0, 2, 3, 1) * x.new_tensor([2 / width, 2 / height])
        return functional.grid_sample(x, where, align_corners=False)

    def _cut(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        rows, columns = (
            (torch.arange(side, device=x.device) - torch.randint(side, (len(x), 1), device=x.device) + self.cutout // 2)
            for side in x.shape[2:]
        )
        inside = ((rows >= 0) & (rows < self.cutout))[:, :, None] & ((columns >= 0) & (columns < self.cutout))[:, None]
        return x.masked_fill(inside[:, None], 0.0)

    def _places(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B 2 3"]:
        """Where each output pixel is read: in pixels about the centre first, then on the axes from -1 to 1."""
        height, width = x.shape[2:]
        angle = _evenly(x, self.rotation * math.pi / 180)
        turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(-1, 2, 2)
        one, zero = torch.ones_like(angle), torch.zeros_like(angle)
        shear = torch.stack([one, _evenly(x, self.shear), zero, one], 1).view(-1, 2, 2)
        sides = torch.stack([1 + _evenly(x, self.scale), 1 + _evenly(x, self.scale)], 1)
        if self.mirror:
            sides[:, 0] *= torch.randint(0, 2, (len(x),), device=x.device) * 2 - 1
        moved = torch.stack([_evenly(x, self.shift), _evenly(x, self.shift)], 1)
        half = x.new_tensor([width / 2, height / 2])
        linear = turn @ shear @ torch.diag_embed(sides)
        return torch.cat([linear * half / half[:, None], (moved / half)[:, :, None]], 2)


def bolder(augmentation: Augmentation) -> Augmentation:
    """The same with tones moved twice as far and squares cut out that are half as large again; gamma 0.3 and squares
    of 6 pixels where there were none."""
    gamma, cutout = augmentation.gamma or 0.15, augmentation.cutout or 4
    return Augmentation(**augmentation.model_dump() | {"gamma": 2 * gamma, "cutout": round(1.5 * cutout)})


def _between(side: int, like: Tensor) -> Float[Tensor, "S K"]:
    """What each knot of a row adds to each pixel of it: bicubic interpolation of a few images at once is slow."""
    knots = torch.eye(KNOTS, device=like.device, dtype=like.dtype)[None]
    weights = functional.interpolate(knots[:, :, None], (1, side), mode="bicubic", align_corners=True)
    return weights[0, :, 0].T


def _evenly(x: Float[Tensor, "B C H W"], amount: float) -> Float[Tensor, " B"]:
    return (torch.rand(len(x), device=x.device, dtype=x.dtype) * 2 - 1) * amount


AUGMENTATIONS: dict[str, Augmentation] = {
    "digits": Augmentation(rotation=10, scale=0.1, shear=0.15, shift=0.7),
    "mnist": Augmentation(rotation=15, scale=0.15, shear=0.25, shift=2.5, elastic=0.6),
    "fashion-mnist": Augmentation(rotation=6, scale=0.1, shift=2, mirror=True, gamma=0.3, cutout=8),
    "quickdraw": Augmentation(rotation=15, scale=0.15, shear=0.2, shift=2, elastic=0.6, mirror=True),
    "cifar10": Augmentation(rotation=6, scale=0.2, shift=4, mirror=True, gamma=0.5, cutout=8),
}
"""What an image of each data set may undergo and stay in its class: judged by eye, before any fit."""
BOLDER: dict[str, Augmentation] = {name: bolder(AUGMENTATIONS[name]) for name in AUGMENTATIONS if name != "digits"}
"""What a VAE may take for the same image beside: it is not told of classes. On 8 x 8 pixels there is no room for it."""
GENTLE = Augmentation(rotation=5, scale=0.05, shift=1)
"""What is assumed of images that we have not seen."""
