"""Batch normalisation folded into the layer before it: the same function with fewer steps, for evaluation only."""

from __future__ import annotations

from copy import deepcopy
from typing import TypeVar

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

M = TypeVar("M", bound=nn.Module)


def folded(module: M) -> M:
    """A copy in evaluation mode in which a normalisation that follows a layer directly is part of that layer.

    Equal but for rounding; not to be trained.
    """
    copy = deepcopy(module).eval()
    for part in copy.modules():
        if isinstance(part, nn.Sequential):
            _fold(part)
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
