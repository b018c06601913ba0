"""Faster equivalents of networks for inference: folded batch normalisation and sub-pixel convolutions."""

from __future__ import annotations

import math
from copy import deepcopy
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

M = TypeVar("M", bound=nn.Module)
THIN = 4
"""Largest number of output channels for which a strided transposed convolution is faster as :class:`SubPixel`."""


def fold_batch_norm(module: M) -> M:
    """Return a copy in evaluation mode with batch normalisation merged into the layer directly before it, and with
    strided transposed convolutions to few channels replaced by :class:`SubPixel`.

    The copy equals the module up to rounding and is for inference only.
    """
    copy = deepcopy(module).eval()
    for part in copy.modules():
        if isinstance(part, nn.Sequential):
            _fold(part)
            for index, layer in enumerate(part):
                if type(layer) is nn.ConvTranspose2d and _is_thin(layer):  # OneChannel is faster unchanged
                    part[index] = SubPixel(layer)
    return copy


def _fold(layers: nn.Sequential) -> None:
    for index in range(len(layers) - 1):
        layer, norm = layers[index], layers[index + 1]
        if isinstance(norm, nn.BatchNorm2d) and isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            fused: nn.Module = fuse_conv_bn_eval(layer, norm, transpose=isinstance(layer, nn.ConvTranspose2d))
        elif isinstance(norm, nn.BatchNorm1d) and isinstance(layer, nn.Linear):
            fused = fuse_linear_bn_eval(layer, norm)
        else:
            continue
        layers[index], layers[index + 1] = fused, nn.Identity()


def _is_thin(layer: nn.ConvTranspose2d) -> bool:
    square = all(len(set(sizes)) == 1 for sizes in (layer.kernel_size, layer.stride, layer.padding, layer.dilation))
    supported = square and layer.dilation[0] == layer.groups == 1 and layer.kernel_size[0] > int(layer.padding[0])
    return supported and layer.stride[0] > 1 and layer.out_channels <= THIN


class SubPixel(nn.Module):
    """A transposed convolution of stride S as a convolution to S^2 times as many channels and a pixel shuffle.

    Pixel S m + a of the output is the sum over d of x[m + d] w[a + P - S d], with P the padding: Shi et al. 2016,
    arXiv:1609.07009, section 2.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, layer: nn.ConvTranspose2d) -> None:
        super().__init__()
        kernel, self.stride, padding = layer.kernel_size[0], layer.stride[0], int(layer.padding[0])
        self.extra = [kernel - 2 * padding - self.stride + extra for extra in layer.output_padding]
        self.before, self.after = (kernel - 1 - padding) // self.stride, (self.stride - 1 + padding) // self.stride
        steps = torch.arange(-self.before, self.after + 1)
        taps = torch.arange(self.stride)[:, None] + padding - self.stride * steps
        taps = torch.where((taps >= 0) & (taps < kernel), taps, kernel).flatten()  # index of an added tap that is 0
        weight = F.pad(layer.weight.detach(), (0, 1, 0, 1))[:, :, taps][..., taps]
        weight = weight.unflatten(3, (self.stride, -1)).unflatten(2, (self.stride, -1)).permute(1, 2, 4, 0, 3, 5)
        weight = weight.flatten(0, 2).contiguous(memory_format=torch.channels_last)
        bias = weight.new_zeros(layer.out_channels) if layer.bias is None else layer.bias.detach()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias.repeat_interleave(self.stride**2))

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B O V U"]:
        """The output of the transposed convolution."""
        sides = x.shape[2:]
        rows, columns = (side * self.stride + extra for side, extra in zip(sides, self.extra, strict=True))
        below, right = (
            math.ceil(size / self.stride) + self.after - side for size, side in zip((rows, columns), sides, strict=True)
        )
        if below == right == self.before:  # no copy of x
            output = F.conv2d(x, self.weight, self.bias, padding=self.before)
        else:
            output = F.conv2d(F.pad(x, (self.before, right, self.before, below)), self.weight, self.bias)
        return F.pixel_shuffle(output, self.stride)[:, :, :rows, :columns]
