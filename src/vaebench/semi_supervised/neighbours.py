"""nearest(): the nearest neighbours of many codes among many others, by Euclidean distance; none is missed."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

BLOCK = 64
AT_ONCE = 2**21
"""Distances held at a time: few enough for a processor's cache."""
LEAST = 32
"""Queries at a time, at the least: a product of fewer rows reads all codes for too little."""


def nearest(
    codes: Float[np.ndarray, "N D"], queries: Float[np.ndarray, "M D"], count: int
) -> tuple[Float[np.ndarray, "M K"], Int[np.ndarray, "M K"]]:
    """Distances to the ``count`` nearest codes of each query, rising, and the rows of these; ``count`` is at most N.

    Of each block of codes only the least distance is compared at first: the K nearest lie in the K blocks whose least
    are least. Codes whose distances differ by less than rounding may change places.
    """
    known = torch.from_numpy(codes)
    middle = known.mean(0)
    known = known - middle  # squares of what lies far from the origin would lose the differences
    empty = -len(known) % BLOCK
    squares = F.pad(known.square().sum(1), (0, empty), value=torch.inf)
    turned = F.pad(known, (0, 0, 0, empty)).T.contiguous()
    parts = (torch.from_numpy(queries).to(known) - middle).split(max(LEAST, AT_ONCE // len(squares)))
    found = [_nearest(known, turned, squares, part, count) for part in parts]
    distances, rows = (torch.cat(part).numpy() for part in zip(*found, strict=True))
    return distances, rows


def _nearest(
    known: Float[Tensor, "N D"],
    turned: Float[Tensor, "D P"],
    squares: Float[Tensor, " P"],
    queries: Float[Tensor, "B D"],
    count: int,
) -> tuple[Float[Tensor, "B K"], Int[Tensor, "B K"]]:
    far = torch.addmm(squares, queries, turned, alpha=-2)  # squared distances, less the square of each query
    least = far.unflatten(1, (-1, BLOCK)).amin(2)
    blocks = least.topk(min(count, least.shape[1]), largest=False, sorted=False).indices
    rows = (blocks[:, :, None] * BLOCK + torch.arange(BLOCK)).flatten(1)
    rows = rows.gather(1, far.gather(1, rows).topk(count, largest=False).indices)
    distances, order = (known[rows] - queries[:, None]).norm(dim=2).sort(1)
    return distances, rows.gather(1, order)
