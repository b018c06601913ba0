"""Numbers so close to zero that processors compute with them many times slower."""

from __future__ import annotations

import torch
from torch.nn import functional as F

EVERY = 100
"""Steps: fewer than a moment needs to fall from :data:`NEGLIGIBLE` to the subnormal numbers."""
NEGLIGIBLE = 1e-30
"""A moment below this moves a weight by less than it can hold, if the weight is not next to zero itself."""


@torch.no_grad()
def clear_subnormals(optimiser: torch.optim.Optimizer) -> None:
    """Set what has become negligible in an optimiser's moments to zero, in place.

    The mean gradient of a weight that has no gradient any more (of a unit that is dead, of a pixel that is never set)
    falls by a tenth a step, and never to zero: nine tenths of the smallest number round to itself. After some
    hundred steps a good part of all moments is subnormal for ever.
    """
    for state in optimiser.state.values():
        for moments in state.values():
            if isinstance(moments, torch.Tensor) and moments.dim():
                moments.copy_(F.hardshrink(moments, NEGLIGIBLE))
