"""Graph: the weighted nearest-neighbour graph of codes, and the exact search for nearest neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import sparse
from torch import Tensor
from torch.nn import functional as F

NEIGHBOURS = 10
SHARPNESS = 4.0
"""The weight of neighbour j of i is exp(-4 d_ij^2 / d_ik^2), where d_ik is the distance to the farthest neighbour."""
BLOCK = 64
MAX_DISTANCES = 2**21
"""Distances held at once, which fit a processor's cache."""
MIN_QUERIES = 32
"""Minimum number of queries at once, since each product reads all codes."""


@dataclass(frozen=True)
class Graph:
    """Weights between codes and their nearest neighbours."""

    weights: sparse.csr_array
    """Symmetric weights (N, N) with a zero diagonal."""
    codes: Float[np.ndarray, "N D"]
    neighbours: int

    @classmethod
    def from_codes(cls, codes: Float[np.ndarray, "N D"], neighbours: int = NEIGHBOURS) -> Graph:
        """Build the graph of these codes, by Euclidean distance, with at most N - 1 neighbours."""
        count = min(neighbours, len(codes) - 1)
        distances, rows = _without_itself(*nearest(codes, codes, count + 1))
        weights = _weight_matrix(distances, rows, len(codes))
        return cls(sparse.csr_array((weights + weights.T) / 2), codes, count)

    def connect(self, codes: Float[np.ndarray, "M D"]) -> sparse.csr_array:
        """Weights (M, N) between new codes and their nearest neighbours in the graph; each row sums to 1."""
        distances, rows = nearest(self.codes, codes, self.neighbours)
        weights = _weight_matrix(distances, rows, self.weights.shape[0])
        return sparse.csr_array(weights / weights.sum(axis=1)[:, None])

    @property
    def degrees(self) -> Float[np.ndarray, " N"]:
        """Sum of the weights of each code."""
        return np.asarray(self.weights.sum(axis=1)).ravel()


def _without_itself(
    distances: Float[np.ndarray, "N K"], rows: Int[np.ndarray, "N K"]
) -> tuple[Float[np.ndarray, "N L"], Int[np.ndarray, "N L"]]:
    """Neighbours without the code itself, which is not the first, or not included, if more than K codes are equal."""
    itself = rows == np.arange(len(rows))[:, None]
    itself[~itself.any(1), -1] = True
    shape = len(rows), rows.shape[1] - 1
    return distances[~itself].reshape(shape), rows[~itself].reshape(shape)


def _weight_matrix(distances: np.ndarray, rows: np.ndarray, size: int) -> sparse.csr_array:
    squares = distances.astype(np.float64) ** 2
    farthest = np.where(squares[:, -1:] > 0, squares[:, -1:], 1.0)
    starts = np.arange(len(rows) + 1) * rows.shape[1]
    values = np.exp(-SHARPNESS * squares / farthest).ravel()
    return sparse.csr_array((values, rows.ravel(), starts), shape=(len(rows), size))


def nearest(
    codes: Float[np.ndarray, "N D"], queries: Float[np.ndarray, "M D"], count: int
) -> tuple[Float[np.ndarray, "M K"], Int[np.ndarray, "M K"]]:
    """Distances to the ``count`` <= N nearest codes of each query, in rising order, and their rows.

    At first only the minimum distance of each block of codes is compared: the K nearest codes lie in the K blocks with
    the smallest minimum. Codes whose distances differ by less than rounding may be exchanged.
    """
    known = torch.from_numpy(codes)
    middle = known.mean(0)
    known = known - middle  # centred, since squares of large coordinates lose precision
    padding = -len(known) % BLOCK
    squares = F.pad(known.square().sum(1), (0, padding), value=torch.inf)
    transposed = F.pad(known, (0, 0, 0, padding)).T.contiguous()
    parts = (torch.from_numpy(queries).to(known) - middle).split(max(MIN_QUERIES, MAX_DISTANCES // len(squares)))
    neighbours = [_nearest(known, transposed, squares, part, count) for part in parts]
    distances, rows = (torch.cat(part).numpy() for part in zip(*neighbours, strict=True))
    return distances, rows


def _nearest(
    known: Float[Tensor, "N D"],
    transposed: Float[Tensor, "D P"],
    squares: Float[Tensor, " P"],
    queries: Float[Tensor, "B D"],
    count: int,
) -> tuple[Float[Tensor, "B K"], Int[Tensor, "B K"]]:
    partial = torch.addmm(squares, queries, transposed, alpha=-2)  # squared distances less the square of each query
    least = partial.unflatten(1, (-1, BLOCK)).amin(2)
    blocks = least.topk(min(count, least.shape[1]), largest=False, sorted=False).indices
    rows = (blocks[:, :, None] * BLOCK + torch.arange(BLOCK)).flatten(1)
    rows = rows.gather(1, partial.gather(1, rows).topk(count, largest=False).indices)
    distances, order = (known[rows] - queries[:, None]).norm(dim=2).sort(1)
    return distances, rows.gather(1, order)
