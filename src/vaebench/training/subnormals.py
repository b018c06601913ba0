"""Removal of subnormal numbers from optimiser states, with which CPUs compute many times more slowly."""

from __future__ import annotations

import torch
from torch.nn import functional as F

CLEAR_EVERY = 100
"""Steps between two calls: fewer than a moment takes to decay from :data:`NEGLIGIBLE` to subnormal numbers."""
NEGLIGIBLE = 1e-30
"""Moments below this change a weight by less than its precision, unless the weight is next to zero itself."""


@torch.no_grad()
def clear_subnormals(optimiser: torch.optim.Optimizer) -> None:
    """Set negligible moments of an optimiser to zero, in place.

    The mean gradient of a weight without gradient (of a dead unit, or of a pixel that is always 0) decays by a tenth
    per step but never reaches zero, as nine tenths of the smallest number round to itself. After some hundred steps a
    large part of all moments would remain subnormal.
    """
    for state in optimiser.state.values():
        for moments in state.values():
            if isinstance(moments, torch.Tensor) and moments.dim():
                moments.copy_(F.hardshrink(moments, NEGLIGIBLE))
