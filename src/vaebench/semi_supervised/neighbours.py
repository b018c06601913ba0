"""Exact nearest neighbours of many queries among many codes, by Euclidean distance."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

BLOCK = 64
MAX_DISTANCES = 2**21
"""Distances held at once, which fit a processor's cache."""
MIN_QUERIES = 32
"""Minimum number of queries at once, since each product reads all codes."""


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
