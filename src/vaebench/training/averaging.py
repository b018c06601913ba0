"""The exponential moving average of weights and buffers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

Update = Callable[[Any, Any, Tensor | int], None]


def moving_average(decay: float) -> Update:
    """The function that moves averages towards current values, by ``1 - decay`` of the difference.

    Equal values stay the same bits. Whole numbers, such as the counts of batch normalisation, are copied: torch's own
    function rounds their averages down, by which a count that does not change becomes smaller.
    """
    average = get_ema_multi_avg_fn(decay)

    @torch.no_grad()
    def update(averages: Any, current: Any, count: Tensor | int) -> None:
        if averages[0].is_floating_point():
            average(averages, current, count)
            return
        for value, new in zip(averages, current, strict=True):
            value.copy_(new)

    return update
