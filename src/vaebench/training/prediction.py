"""Class probabilities of a trained network for labelled images or codes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vaebench.data.images import Batch
from vaebench.models.networks import Shape
from vaebench.training.compute import Compute


@runtime_checkable
class LabelledSource(Protocol):
    """Images or codes with labels."""

    @property
    def labels(self) -> Tensor:
        """Labels (N,)."""
        ...

    @property
    def shape(self) -> Shape:
        """The shape of one of them."""
        ...

    def __len__(self) -> int: ...

    def batch(self, rows: Int[Tensor, " B"]) -> Batch:
        """The batch of these rows."""
        ...

    def take(self, rows: Int[Tensor, " M"]) -> LabelledSource:
        """The images or codes of these rows."""
        ...


Predict = Callable[[LabelledSource], Float[Tensor, "N Y"]]
"""Class probabilities for each image or code."""


def predict_with(model: nn.Module, seed: int, compute: Compute) -> Predict:
    """A trained network's class probabilities; sampled codes are drawn with ``seed``."""

    @torch.no_grad()
    def predict(codes: LabelledSource) -> Tensor:
        model.eval()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            parts = torch.arange(len(codes)).split(1000)
            return torch.cat([model(codes.batch(rows).x.to(compute.device)).cpu() for rows in parts]).softmax(-1)

    return predict
