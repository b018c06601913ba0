"""NETWORKS: configurations of encoders and the decoders that mirror them.

A decoder restores the exact size of the image whatever strides, pooling and padding the encoder has.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal, Protocol, cast, runtime_checkable

from pydantic import Field, model_validator
from torch import nn

from vaebench.core.errors import VaebenchError
from vaebench.core.frozen import NONE_IS_A_WORD, Frozen, one_of
from vaebench.models.layers import Flatten, OneChannel, ResidualBlock, Unflatten

Shape = tuple[int, int, int]
"""Channels, height, width of an image."""
Activation = Literal["relu", "leaky-relu", "selu", "sigmoid", "tanh", "silu"]
BatchNorm = Annotated[Literal["none", "before", "after"], NONE_IS_A_WORD]
Widths = tuple[Annotated[int, Field(ge=1)], ...]
Dropout = Annotated[float, Field(ge=0, lt=1)]

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky-relu": nn.LeakyReLU,
    "selu": nn.SELU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "silu": nn.SiLU,
}


@runtime_checkable
class Network(Protocol):
    """An encoder and the decoder that mirrors it."""

    def encoder(self, shape: Shape, outputs: int) -> nn.Module:
        """Images (B, *shape) to raw values (B, outputs)."""
        ...

    def decoder(self, latent: int, shape: Shape) -> nn.Module:
        """Codes (B, latent) to raw values (B, *shape)."""
        ...


class MLP(Frozen):
    """Fully connected layers; the decoder has the same widths in reverse order."""

    kind: Literal["mlp"] = "mlp"
    hidden: Widths = (500, 500)
    """Widths of the encoder's hidden layers; an empty tuple gives a linear encoder."""
    activation: Activation = "relu"
    batch_norm: BatchNorm = "none"
    """Batch normalisation before or after each activation, or none."""
    dropout: Dropout = 0.0
    """Dropout after each hidden layer."""

    def encoder(self, shape: Shape, outputs: int) -> nn.Module:
        widths = (math.prod(shape), *self.hidden)
        return nn.Sequential(nn.Flatten(), *_dense(self, widths), nn.Linear(widths[-1], outputs))

    def decoder(self, latent: int, shape: Shape) -> nn.Module:
        widths = (latent, *reversed(self.hidden))
        last = nn.Linear(widths[-1], math.prod(shape))
        return nn.Sequential(*_dense(self, widths), last, nn.Unflatten(1, shape))


class Conv(Frozen):
    """Convolutions, each followed by pooling if ``pool`` > 1, then fully connected layers.

    ``kernel``, ``stride``, ``padding`` and ``pool`` take one value for all layers or one per layer. The decoder
    inverts pooling by nearest-neighbour upsampling and convolutions by transposed convolutions.
    """

    kind: Literal["conv"] = "conv"
    filters: Widths = (32, 64, 64)
    """Number of filters of each convolution."""
    kernel: Widths = (4,)
    stride: Widths = (2, 2, 1)
    padding: tuple[Annotated[int, Field(ge=0)], ...] = (1,)
    pool: Widths = (1,)
    """Size of the max-pooling after each convolution; 1 means none."""
    hidden: Widths = ()
    """Fully connected layers between the convolutions and the code."""
    activation: Activation = "relu"
    batch_norm: BatchNorm = "before"
    """Batch normalisation before or after each activation, or none."""
    dropout: Dropout = 0.0
    """Dropout after each hidden fully connected layer."""

    @model_validator(mode="after")
    def _check_lengths(self) -> Conv:
        if not self.filters:
            raise ValueError("filters is empty; expected at least one convolution (or the kind 'mlp')")
        for name in ("kernel", "stride", "padding", "pool"):
            values = getattr(self, name)
            if len(values) not in (1, len(self.filters)):
                raise ValueError(
                    f"{name} has {len(values)} values {values} for {len(self.filters)} filters; "
                    "give one for all layers or one per layer"
                )
        return self

    def _layer(self, index: int) -> tuple[int, int, int, int]:
        """Kernel, stride, padding and pool of a layer."""
        kernel, stride, padding, pool = (
            values[index if len(values) > 1 else 0] for values in (self.kernel, self.stride, self.padding, self.pool)
        )
        return kernel, stride, padding, pool

    def _sizes(self, shape: Shape) -> list[tuple[Shape, Shape]]:
        """Shapes before the convolution and before the pooling of each layer; as last entry, the final shape twice.

        Raises:
            VaebenchError: the images are too small.
        """
        sizes, (channels, *size) = [], shape
        for index, filters in enumerate(self.filters):
            kernel, stride, padding, pool = self._layer(index)
            after = [(n + 2 * padding - kernel) // stride + 1 for n in size]
            pooled = [n // pool for n in after]
            if min(size) + 2 * padding < kernel or min(pooled) < 1:
                raise VaebenchError(
                    f"images of {shape[1]}x{shape[2]} pixels are too small for convolution {index + 1} of "
                    f"{len(self.filters)} (kernel {kernel}, stride {stride}, pool {pool}); "
                    "use fewer layers, smaller strides or more padding"
                )
            sizes.append(((channels, size[0], size[1]), (filters, after[0], after[1])))
            channels, size = filters, pooled
        final = (channels, size[0], size[1])
        return [*sizes, (final, final)]

    def encoder(self, shape: Shape, outputs: int) -> nn.Module:
        sizes = self._sizes(shape)
        layers: list[nn.Module] = []
        for index, (before, after) in enumerate(sizes[:-1]):
            kernel, stride, padding, pool = self._layer(index)
            norm = nn.BatchNorm2d(after[0]) if self.batch_norm != "none" else None
            layers += _activated(self, nn.Conv2d(before[0], after[0], kernel, stride, padding), norm)
            layers += [nn.MaxPool2d(pool)] if pool > 1 else []
        widths = (math.prod(sizes[-1][0]), *self.hidden)
        return nn.Sequential(*layers, Flatten(), *_dense(self, widths), nn.Linear(widths[-1], outputs))

    def decoder(self, latent: int, shape: Shape) -> nn.Module:
        sizes = self._sizes(shape)
        final = sizes[-1][0]
        widths = (latent, *reversed(self.hidden), math.prod(final))
        layers = [*_dense(self, widths), Unflatten(1, final)]
        for index in reversed(range(len(self.filters))):
            before, after = sizes[index]
            if self._layer(index)[3] > 1:
                layers.append(nn.Upsample(size=after[1:], mode="nearest"))
            layer = self._transposed(index, before, after)
            norm = nn.BatchNorm2d(before[0]) if self.batch_norm != "none" else None
            layers += _activated(self, layer, norm) if index else [layer]
        return nn.Sequential(*layers)

    def _transposed(self, index: int, before: Shape, after: Shape) -> nn.ConvTranspose2d:
        """The transposed convolution from the shape after convolution ``index`` to the shape before it."""
        kernel, stride, padding, _ = self._layer(index)
        missing = [b - ((a - 1) * stride - 2 * padding + kernel) for a, b in zip(after[1:], before[1:], strict=True)]
        layer = OneChannel if before[0] == 1 < stride else nn.ConvTranspose2d
        return layer(after[0], before[0], kernel, stride, padding, (missing[0], missing[1]))


class Residual(Frozen):
    """Residual blocks after each halving of the image, for images of about 64 pixels and more.

    Blocks are those of He et al. 2016, "Deep residual learning", figure 2: two convolutions of 3 x 3, each normalised,
    added to their input before the second activation. The encoder halves by strided convolutions, the decoder doubles
    by nearest-neighbour upsampling before a convolution, which leaves no checkerboard (Odena et al. 2016).
    """

    kind: Literal["residual"] = "residual"
    filters: Widths = Field((32, 64, 128, 256), min_length=1)
    """Number of filters after each halving."""
    blocks: int = Field(1, ge=0)
    """Residual blocks after each halving."""
    activation: Activation = "relu"

    def _shapes(self, shape: Shape) -> list[Shape]:
        """Shape of the image and after each halving."""
        shapes = [shape]
        for filters in self.filters:
            shapes.append((filters, (shapes[-1][1] + 1) // 2, (shapes[-1][2] + 1) // 2))
        return shapes

    def encoder(self, shape: Shape, outputs: int) -> nn.Module:
        shapes, layers = self._shapes(shape), []
        for before, after in pairwise(shapes):
            layers += self._convolution(before[0], after[0], stride=2) + self._blocks(after[0])
        return nn.Sequential(*layers, Flatten(), nn.Linear(math.prod(shapes[-1]), outputs))

    def decoder(self, latent: int, shape: Shape) -> nn.Module:
        shapes = self._shapes(shape)
        layers: list[nn.Module] = [nn.Linear(latent, math.prod(shapes[-1])), Unflatten(1, shapes[-1])]
        for after, before in pairwise(reversed(shapes)):
            layers += [*self._blocks(after[0]), nn.Upsample(size=before[1:], mode="nearest")]
            last = before is shapes[0]
            layers += [nn.Conv2d(after[0], before[0], 3, padding=1)] if last else self._convolution(after[0], before[0])
        return nn.Sequential(*layers)

    def _blocks(self, filters: int) -> list[nn.Module]:
        activation = ACTIVATIONS[self.activation]
        return [
            ResidualBlock(
                nn.Sequential(*self._convolution(filters, filters), *self._convolution(filters, filters)[:2]),
                activation(),
            )
            for _ in range(self.blocks)
        ]

    def _convolution(self, inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
        """A convolution without bias, its normalisation and its activation."""
        convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        return [convolution, nn.BatchNorm2d(outputs), ACTIVATIONS[self.activation]()]


def _dense(network: MLP | Conv, widths: tuple[int, ...]) -> list[nn.Module]:
    """Fully connected layers of these widths, each with activation, normalisation and dropout."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        norm = nn.BatchNorm1d(outputs) if network.batch_norm != "none" else None
        layers += _activated(network, nn.Linear(inputs, outputs), norm)
        layers += [nn.Dropout(network.dropout)] if network.dropout else []
    return layers


def _activated(
    network: MLP | Conv, layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d, norm: nn.Module | None
) -> list[nn.Module]:
    """The layer, its activation and its normalisation, in the order of ``network.batch_norm``.

    A bias directly before normalisation has no effect and is frozen: its gradient is 0 and costs time to compute.
    """
    activation = ACTIVATIONS[network.activation]()
    if norm is None:
        return [layer, activation]
    if network.batch_norm == "after":
        return [layer, activation, norm]
    cast(nn.Parameter, layer.bias).requires_grad_(False)
    return [layer, norm, activation]


NETWORKS = {"mlp": MLP, "conv": Conv, "residual": Residual}

if TYPE_CHECKING:
    AnyNetwork = Network
else:
    AnyNetwork = one_of(NETWORKS)
