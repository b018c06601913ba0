"""The test images of the map: their pixels, codes, labels and positions."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image
from sklearn.decomposition import PCA

MAX_LOSSLESS_BYTES = 2_000_000
"""Size of the pixels above which the sprite sheet is compressed lossily."""
QUALITY = 85


@dataclass(frozen=True)
class Points:
    """M test images.

    Attributes:
        images: uint8 (M, C, H, W); large images are reduced.
        mean, log_variance: parameters of q(z|x), each (M, D).
        labels: class indices (M,), -1 for unlabelled images.
        tsne: t-SNE coordinates (M, 2).
    """

    images: UInt8[np.ndarray, "M C H W"]
    mean: Float[np.ndarray, "M D"]
    log_variance: Float[np.ndarray, "M D"]
    labels: Int[np.ndarray, " M"]
    tsne: Float[np.ndarray, "M 2"]

    def __len__(self) -> int:
        return len(self.mean)

    @property
    def lossless(self) -> bool:
        """Whether the sprite sheet is lossless."""
        return self.images.nbytes <= MAX_LOSSLESS_BYTES

    @property
    def columns(self) -> int:
        """Columns of the sprite sheet."""
        return math.ceil(math.sqrt(len(self)))

    def sheet(self) -> bytes:
        """Return the sprite sheet: all images in one WebP, row by row."""
        count, channels, height, width = self.images.shape
        rows = math.ceil(count / self.columns)
        cells = np.zeros((rows * self.columns, channels, height, width), np.uint8)
        cells[:count] = self.images
        grid = cells.reshape(rows, self.columns, channels, height, width).transpose(0, 3, 1, 4, 2)
        pixels = grid.reshape(rows * height, self.columns * width, channels)
        picture = Image.fromarray(pixels[..., 0] if channels == 1 else pixels[..., :3]).convert("RGB")
        file = io.BytesIO()
        picture.save(file, "WEBP", lossless=self.lossless, quality=100 if self.lossless else QUALITY, method=4)
        return file.getvalue()

    def pca(self) -> tuple[Float[np.ndarray, "2 D"], Float[np.ndarray, " D"], Float[np.ndarray, " 2"]]:
        """First two principal axes of the means, their centre, and the variance ratio of each axis."""
        with np.errstate(invalid="ignore"):  # identical codes have no variance
            pca = PCA(2, svd_solver="full").fit(self.mean)
        return pca.components_, pca.mean_, np.nan_to_num(pca.explained_variance_ratio_)

    @property
    def background(self) -> int:
        """Background of the images, estimated from their edge pixels: 0 (black) or 255 (white)."""
        edges = [self.images[..., 0, :], self.images[..., -1, :], self.images[..., 0], self.images[..., -1]]
        return 255 if np.mean([edge.mean() for edge in edges]) > 127 else 0


def slider_ranges(codes: Float[np.ndarray, "M D"]) -> Float[np.ndarray, " D"]:
    """Half-width of each latent's slider: at least 3, and wide enough for all codes."""
    ranges: np.ndarray = np.maximum(3.0, np.ceil(2 * np.abs(codes).max(0)) / 2)
    return ranges


def quantise(values: Float[np.ndarray, ...]) -> tuple[float, bytes]:
    """Return a step size and the values as little-endian 16-bit multiples of it, exact to half a step."""
    step = float(np.abs(values).max()) / 32767 or 1.0
    return step, np.rint(values / step).astype("<i2").tobytes()
