"""Account: sums of the loss and its parts over the epoch under way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from vaebench.models.loss import LossOutput

TRACE_EVERY = 50
"""Steps that one entry of an epoch's ``trace`` is the mean of."""


@dataclass
class MetricAccumulator:
    """What has been added up since the epoch began, in double precision, where the model is."""

    sums: dict[str, Tensor] = field(default_factory=dict)
    images: int = 0
    marks: list[dict[str, Any]] = field(default_factory=list)
    """The sums every 50 steps."""

    def add(self, step: int, terms: LossOutput, images: int) -> None:
        """One step's loss and parts."""
        self.images += images
        for name, value in {"loss": terms.loss.detach() * images, **terms.components}.items():
            total = value.sum().double()
            self.sums[name] = self.sums[name] + total if name in self.sums else total
        if step % TRACE_EVERY == 0:
            self.marks.append({"step": step, "images": self.images, **self.sums})

    def means(self) -> dict[str, float]:
        """Per image."""
        return {name: float(total / self.images) for name, total in self.sums.items()}

    def trace(self) -> list[dict[str, Any]]:
        """Means of loss and parts between the marks."""
        before: dict[str, Any] = dict.fromkeys((*self.sums, "images"), 0)
        found = []
        for mark in self.plain_marks():
            images = mark["images"] - before["images"]
            found.append({"step": mark["step"]} | {name: (mark[name] - before[name]) / images for name in self.sums})
            before = mark
        return found

    def empty(self) -> None:
        """Set all to zero, the same steps kept: what other processes hold once the first has their sums."""
        self.sums = {name: torch.zeros_like(total) for name, total in self.sums.items()}
        self.images = 0
        self.marks = [{name: value if name == "step" else 0 for name, value in mark.items()} for mark in self.marks]

    def plain_marks(self) -> list[dict[str, Any]]:
        """The marks as numbers, for JSON."""
        return [{name: float(v) if isinstance(v, Tensor) else v for name, v in mark.items()} for mark in self.marks]
