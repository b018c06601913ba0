"""validate(): an objective on images that are not trained on."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vaebench.data.images import Source
from vaebench.models.loss import Objective

SEED = 20_131_220


@torch.no_grad()
def validate(model: nn.Module, objective: Objective, source: Source, batch: int = 500) -> dict[str, float]:
    """Means over ``source`` of the loss at the end of training and its parts, in fp32, with noise of a fixed seed."""
    model.eval()
    sums: dict[str, Tensor] = {}
    device = next(model.parameters()).device
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        for rows in torch.arange(len(source)).split(batch):
            terms = objective(model, source.batch(rows).to(device), 1.0)
            for name, value in {"loss": terms.loss * len(rows), **terms.components}.items():
                total = value.sum().double()
                sums[name] = sums[name] + total if name in sums else total
    return {name: float(total / len(source)) for name, total in sums.items()}
