"""The test images of the map: where each lies, what it looks like, what it is coded to."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image
from sklearn.decomposition import PCA

LOSSLESS_BYTES = 2_000_000
"""Of pixels: the sheet keeps them all to the bit up to here, above it is compressed with losses."""
QUALITY = 85


@dataclass(frozen=True)
class Points:
    """M test images.

    Attributes:
        images: uint8 (M, C, H, W), made smaller where they were large.
        mean, log_variance: of q(z|x), each (M, D).
        labels: (M,), -1 where there is none.
        tsne: places on a plane (M, 2).
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
        """Whether the sheet keeps the pixels to the bit."""
        return self.images.nbytes <= LOSSLESS_BYTES

    @property
    def columns(self) -> int:
        """Of the sheet."""
        return math.ceil(math.sqrt(len(self)))

    def sheet(self) -> bytes:
        """All images in one WebP, row by row."""
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
        """The two first principal axes of the means, the centre, and the share of variance of each axis."""
        with np.errstate(invalid="ignore"):  # codes that are all alike have no variance to share
            found = PCA(2, svd_solver="full").fit(self.mean)
        return found.components_, found.mean_, np.nan_to_num(found.explained_variance_ratio_)

    @property
    def ground(self) -> int:
        """0 where images stand on black, 255 where on white: by the pixels at their edges."""
        edges = [self.images[..., 0, :], self.images[..., -1, :], self.images[..., 0], self.images[..., -1]]
        return 255 if np.mean([edge.mean() for edge in edges]) > 127 else 0


def reach(codes: Float[np.ndarray, "M D"]) -> Float[np.ndarray, " D"]:
    """How far each latent's slider goes to both sides: 3, or as far as the codes do."""
    found: np.ndarray = np.maximum(3.0, np.ceil(2 * np.abs(codes).max(0)) / 2)
    return found


def packed(values: Float[np.ndarray, ...]) -> tuple[float, bytes]:
    """Numbers as 16-bit integers, little end first, and the step between them; exact to half a step."""
    step = float(np.abs(values).max()) / 32767 or 1.0
    return step, np.rint(values / step).astype("<i2").tobytes()
