"""Modules and batches shared by the tests of models."""

import torch
from torch import nn
from torch.distributions import MultivariateNormal

from vaebench.data.images import Batch


class Affine(nn.Module):
    """x W^T + b; outputs have the given shape, and the constants ``tail`` appended."""

    def __init__(self, weight, bias, shape=None, tail=None):
        super().__init__()
        self.weight, self.bias, self.shape = nn.Parameter(weight), nn.Parameter(bias), shape
        self.tail = None if tail is None else nn.Parameter(tail)

    def forward(self, x):
        y = x.flatten(1) @ self.weight.T + self.bias
        if self.tail is not None:
            return torch.cat([y, self.tail.expand(len(x), -1)], -1)
        return y if self.shape is None else y.unflatten(1, self.shape)


class DensityLogits(nn.Module):
    """log p(x|y) of six pixels, or of the first six features: logits of the exact p(y|x) under a uniform p(y)."""

    def __init__(self, densities):
        super().__init__()
        self.densities = densities

    def forward(self, x):
        return torch.stack([density.log_prob(x.flatten(1)[:, :6]) for density in self.densities], 1)


def unlabelled(x):
    """A batch of images without labels."""
    return Batch(x, torch.full((len(x),), -1))


def linear_gaussian_classes(latent, classes, scale):
    """Parameters of x = W z + b_y + noise of this scale, W with orthogonal columns, so that p(z|x,y) is diagonal.

    Returns W, b (one column per class), the encoder's matrix, the precision of p(z|x,y), and the densities p(x|y).
    """
    torch.manual_seed(0)
    columns, _ = torch.linalg.qr(torch.randn(6, latent))
    w, b = columns * torch.tensor([1.5, 0.6]), torch.randn(6, classes)
    precision = 1 + (w * w).sum(0) / scale**2
    encode = w.T / scale**2 / precision[:, None]
    covariance = w @ w.T + scale**2 * torch.eye(6)
    densities = [MultivariateNormal(b[:, y], covariance) for y in range(classes)]
    return w, b, encode, precision, densities
