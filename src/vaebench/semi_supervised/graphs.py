"""Graph: the weighted nearest-neighbour graph of codes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse

from vaebench.semi_supervised.neighbours import nearest

NEIGHBOURS = 10
SHARPNESS = 4.0
"""The weight of neighbour j of i is exp(-4 d_ij^2 / d_ik^2), where d_ik is the distance to the farthest neighbour."""


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
