"""Class probabilities of trained networks for labelled images or codes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vaebench.data.images import Source
from vaebench.models.networks import Shape
from vaebench.training.compute import Compute


@runtime_checkable
class LabelledSource(Source, Protocol):
    """Images or codes with labels."""

    @property
    def labels(self) -> Tensor:
        """Labels (N,)."""
        ...

    @property
    def shape(self) -> Shape:
        """Shape of one image or code."""
        ...

    def take(self, rows: Int[Tensor, " M"]) -> LabelledSource:
        """The source with these rows only."""
        ...


Predict = Callable[[LabelledSource], Float[Tensor, "N Y"]]
"""Class probabilities for each image or code."""


def predict_with(model: nn.Module, seed: int, compute: Compute) -> Predict:
    """The prediction function of a trained network that returns logits; ``seed`` determines sampled codes."""

    @torch.no_grad()
    def predict(source: LabelledSource) -> Tensor:
        model.eval()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            batches = torch.arange(len(source)).split(1000)
            return torch.cat([model(source.batch(rows).x.to(compute.device)).cpu() for rows in batches]).softmax(-1)

    return predict
