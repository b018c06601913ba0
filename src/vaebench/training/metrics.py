"""The loss and its components, accumulated over an epoch of training or over validation images."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from vaebench.data.images import Source
from vaebench.models.loss import LossOutput, Objective

TRACE_EVERY = 50
"""Steps over which one entry of an epoch's ``trace`` is averaged."""
VALIDATION_SEED = 20_131_220


@dataclass
class MetricAccumulator:
    """Totals of the loss and its components since the epoch began, in double precision, on the model's device."""

    totals: dict[str, Tensor] = field(default_factory=dict)
    images: int = 0
    snapshots: list[dict[str, Any]] = field(default_factory=list)
    """Totals with ``step`` and ``images``, every :data:`TRACE_EVERY` steps."""

    def update(self, step: int, output: LossOutput, images: int) -> None:
        """Add the loss and components of one step on ``images`` images."""
        self.images += images
        for name, value in {"loss": output.loss.detach() * images, **output.components}.items():
            total = value.sum().double()
            self.totals[name] = self.totals[name] + total if name in self.totals else total
        if step % TRACE_EVERY == 0:
            self.snapshots.append({"step": step, "images": self.images, **self.totals})

    def means(self) -> dict[str, float]:
        """Means per image of the loss and its components."""
        return {name: float(total / self.images) for name, total in self.totals.items()}

    def trace(self) -> list[dict[str, Any]]:
        """Means per image between consecutive snapshots, with the last ``step`` of each."""
        previous: dict[str, Any] = dict.fromkeys((*self.totals, "images"), 0)
        trace = []
        for snapshot in self.numeric_snapshots():
            images = snapshot["images"] - previous["images"]
            means = {name: (snapshot[name] - previous[name]) / images for name in self.totals}
            trace.append({"step": snapshot["step"]} | means)
            previous = snapshot
        return trace

    def reset(self) -> None:
        """Set totals to zero but keep the steps of snapshots, as on the processes whose totals the main one has."""
        self.totals = {name: torch.zeros_like(total) for name, total in self.totals.items()}
        self.images = 0
        self.snapshots = [
            {name: value if name == "step" else 0 for name, value in snapshot.items()} for snapshot in self.snapshots
        ]

    def numeric_snapshots(self) -> list[dict[str, Any]]:
        """The snapshots with numbers instead of tensors, for JSON."""
        return [
            {name: float(value) if isinstance(value, Tensor) else value for name, value in snapshot.items()}
            for snapshot in self.snapshots
        ]


@torch.no_grad()
def validate(model: nn.Module, objective: Objective, source: Source, batch: int = 500) -> dict[str, float]:
    """Means over ``source`` of the loss at the end of training and of its components, in fp32, with a fixed seed."""
    model.eval()
    metrics = MetricAccumulator()
    device = next(model.parameters()).device
    with torch.random.fork_rng():
        torch.manual_seed(VALIDATION_SEED)
        for step, rows in enumerate(torch.arange(len(source)).split(batch), start=1):
            metrics.update(step, objective(model, source.batch(rows).to(device), 1.0), len(rows))
    return metrics.means()
