"""Faster CPU versions of torch layers, with the same parameters and function up to rounding; and residual blocks."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class _ToLayout(torch.autograd.Function):
    """Copy images to channels-last layout and their gradient to contiguous layout, or the reverse."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, channels_last: bool) -> Tensor:
        return _to_layout(x, channels_last)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, bool], output: Tensor) -> None:
        ctx.channels_last = inputs[1]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _to_layout(gradients[0], not ctx.channels_last), None


def _to_layout(x: Tensor, channels_last: bool) -> Tensor:
    if not channels_last:
        return x.clone(memory_format=torch.contiguous_format)
    # as memory_format=torch.channels_last, which vmap does not support
    return x.permute(0, 2, 3, 1).clone(memory_format=torch.contiguous_format).permute(0, 3, 1, 2)


class Flatten(nn.Flatten):
    """``nn.Flatten`` of images whose gradient is in channels-last layout: convolutions whose values and gradients have
    different layouts take five times as long."""

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D"]:
        """The values of each image, (B, C * H * W)."""
        if x.requires_grad:
            x = _ToLayout.apply(x, False)
        return super().forward(x)


class Unflatten(nn.Unflatten):
    """``nn.Unflatten`` to images in channels-last layout whose gradient is contiguous; see :class:`Flatten`."""

    def forward(self, x: Float[Tensor, "B D"]) -> Float[Tensor, "B C H W"]:
        """The rows as images."""
        images = super().forward(x)
        if images.requires_grad:
            images = _ToLayout.apply(images, True)
        return images


class OneChannel(nn.ConvTranspose2d):
    """A strided transposed convolution to one channel, on the CPU as one matrix product that gives each pixel's patch
    and a sum of overlapping patches, in a quarter of the time."""

    def forward(self, x: Float[Tensor, "B C H W"], output_size: list[int] | None = None) -> Float[Tensor, "B 1 V U"]:
        """The layer's output; computed by torch's own layer on a GPU and in exports."""
        if output_size is not None or not x.is_cpu or torch.compiler.is_exporting():
            return super().forward(x, output_size)
        channels, padding = len(self.weight), cast("tuple[int, int]", self.padding)
        products = x.permute(0, 2, 3, 1).reshape(-1, channels) @ self.weight.reshape(channels, -1)
        patches = products.view(len(x), math.prod(x.shape[2:]), products.shape[1]).transpose(1, 2).to(self.weight.dtype)
        sides = zip(x.shape[2:], self.stride, padding, self.kernel_size, self.output_padding, strict=True)
        height, width = ((side - 1) * stride - 2 * pad + kernel + extra for side, stride, pad, kernel, extra in sides)
        output = F.fold(patches, (height, width), self.kernel_size, padding=padding, stride=self.stride)
        return output if self.bias is None else output + self.bias


class ResidualBlock(nn.Module):
    """activation(x + body(x)). He et al. 2016, "Deep residual learning for image recognition", eq. 1."""

    def __init__(self, body: nn.Module, activation: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.activation = activation

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """The images with the body's output added."""
        y: Tensor = self.activation(x + self.body(x))
        return y
