"""The same function with fewer or quicker steps, for evaluation only: batch normalisation folded into the layer before
it, thin transposed convolutions as plain ones."""

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
"""Channels up to which a transposed convolution that widens is quicker as :class:`SubPixel`."""


def fold_batch_norm(module: M) -> M:
    """A copy in evaluation mode in which a normalisation that follows a layer directly is part of that layer, and
    transposed convolutions to few channels are :class:`SubPixel`.

    Equal but for rounding; not to be trained.
    """
    copy = deepcopy(module).eval()
    for part in copy.modules():
        if isinstance(part, nn.Sequential):
            _fold(part)
            for index, layer in enumerate(part):
                if type(layer) is nn.ConvTranspose2d and _is_thin(layer):  # OneChannel is quicker as it is
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
    alike = all(len(set(sizes)) == 1 for sizes in (layer.kernel_size, layer.stride, layer.padding, layer.dilation))
    plain = alike and layer.dilation[0] == layer.groups == 1 and layer.kernel_size[0] > int(layer.padding[0])
    return plain and layer.stride[0] > 1 and layer.out_channels <= THIN


class SubPixel(nn.Module):
    """A transposed convolution of stride S as a plain one to S x S times its channels, which then lie side by side.

    Pixel S m + a of the result is the sum over d of x[m + d] w[a + P - S d], P the padding: Shi et al. 2016,
    arXiv:1609.07009, section 2.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, layer: nn.ConvTranspose2d) -> None:
        super().__init__()
        kernel, self.stride, padding = layer.kernel_size[0], layer.stride[0], int(layer.padding[0])
        self.longer = [kernel - 2 * padding - self.stride + more for more in layer.output_padding]
        self.before, self.after = (kernel - 1 - padding) // self.stride, (self.stride - 1 + padding) // self.stride
        steps = torch.arange(-self.before, self.after + 1)
        taps = torch.arange(self.stride)[:, None] + padding - self.stride * steps
        taps = torch.where((taps >= 0) & (taps < kernel), taps, kernel).flatten()  # one tap more, which is 0
        weight = F.pad(layer.weight.detach(), (0, 1, 0, 1))[:, :, taps][..., taps]
        weight = weight.unflatten(3, (self.stride, -1)).unflatten(2, (self.stride, -1)).permute(1, 2, 4, 0, 3, 5)
        weight = weight.flatten(0, 2).contiguous(memory_format=torch.channels_last)
        bias = weight.new_zeros(layer.out_channels) if layer.bias is None else layer.bias.detach()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias.repeat_interleave(self.stride**2))

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B O V U"]:
        """What the layer gives."""
        given = x.shape[2:]
        rows, columns = (side * self.stride + more for side, more in zip(given, self.longer, strict=True))
        below, right = (
            math.ceil(side / self.stride) + self.after - one for side, one in zip((rows, columns), given, strict=True)
        )
        if below == right == self.before:  # no copy of x
            found = F.conv2d(x, self.weight, self.bias, padding=self.before)
        else:
            found = F.conv2d(F.pad(x, (self.before, right, self.before, below)), self.weight, self.bias)
        return F.pixel_shuffle(found, self.stride)[:, :, :rows, :columns]
