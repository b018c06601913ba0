"""Layers of torch that take less time on a processor: same parameters, same function but for rounding."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class _Laid(torch.autograd.Function):
    """The same images, laid channels last in memory while their gradient is not, or the other way round."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, last: bool) -> Tensor:
        return _laid(x, last)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, bool], output: Tensor) -> None:
        ctx.last = inputs[1]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _laid(gradients[0], not ctx.last), None


def _laid(x: Tensor, last: bool) -> Tensor:
    if not last:
        return x.clone(memory_format=torch.contiguous_format)
    # what torch.channels_last does, which vmap does not know
    return x.permute(0, 2, 3, 1).clone(memory_format=torch.contiguous_format).permute(0, 3, 1, 2)


class Flatten(nn.Flatten):
    """Values of convolutions as rows, whose gradient lies channels last again: a step through values laid one way and
    gradients laid another takes five times as long."""

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D"]:
        """The values of each image, (B, C * H * W)."""
        if x.requires_grad:
            x = _Laid.apply(x, False)
        return super().forward(x)


class Unflatten(nn.Unflatten):
    """Rows as values for convolutions, channels last, whose gradient lies row by row again; see :class:`Flatten`."""

    def forward(self, x: Float[Tensor, "B D"]) -> Float[Tensor, "B C H W"]:
        """The rows as images of the shape that was given."""
        images = super().forward(x)
        if images.requires_grad:
            images = _Laid.apply(images, True)
        return images


class OneChannel(nn.ConvTranspose2d):
    """A transposed convolution to one channel that widens: on a processor one matrix product gives each pixel's patch,
    and patches are added up where they overlap, in a quarter of the time."""

    def forward(self, x: Float[Tensor, "B C H W"], output_size: list[int] | None = None) -> Float[Tensor, "B 1 V U"]:
        """What the layer gives; as torch computes it on a GPU, or where it is exported."""
        if output_size is not None or not x.is_cpu or torch.compiler.is_exporting():
            return super().forward(x, output_size)
        channels, padding = len(self.weight), cast("tuple[int, int]", self.padding)
        products = x.permute(0, 2, 3, 1).reshape(-1, channels) @ self.weight.reshape(channels, -1)
        patches = products.view(len(x), math.prod(x.shape[2:]), products.shape[1]).transpose(1, 2).to(self.weight.dtype)
        sides = zip(x.shape[2:], self.stride, padding, self.kernel_size, self.output_padding, strict=True)
        height, width = ((side - 1) * stride - 2 * cut + kernel + more for side, stride, cut, kernel, more in sides)
        found = F.fold(patches, (height, width), self.kernel_size, padding=padding, stride=self.stride)
        return found if self.bias is None else found + self.bias
