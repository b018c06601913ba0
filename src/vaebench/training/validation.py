"""Evaluation of an objective on validation images."""

from __future__ import annotations

import torch
from torch import nn

from vaebench.data.images import Source
from vaebench.models.loss import Objective
from vaebench.training.metrics import MetricAccumulator

SEED = 20_131_220


@torch.no_grad()
def validate(model: nn.Module, objective: Objective, source: Source, batch: int = 500) -> dict[str, float]:
    """Means over ``source`` of the loss at the end of training and of its components, in fp32, with a fixed seed."""
    model.eval()
    metrics = MetricAccumulator()
    device = next(model.parameters()).device
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        for step, rows in enumerate(torch.arange(len(source)).split(batch), start=1):
            metrics.update(step, objective(model, source.batch(rows).to(device), 1.0), len(rows))
    return metrics.means()
