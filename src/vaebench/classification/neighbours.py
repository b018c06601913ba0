"""NeighbourClassifier: the scores of the nearest of many stored codes, as a network."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vaebench.semi_supervised.graphs import NEIGHBOURS, SHARPNESS


class NeighbourClassifier(nn.Module):
    """Mean scores of the K nearest stored codes, weighted by exp(-4 d_j^2 / d_K^2), as :meth:`Graph.connect` does.

    Args:
        encoder: maps pixels to codes (B, D), or to more columns, of which the first D are codes; None for codes.
        codes: stored codes (N, D).
        scores: class scores (N, Y) of the stored codes.
        neighbours: K, at most N.
    """

    codes: Tensor
    scores: Tensor
    centre: Tensor

    def __init__(
        self,
        encoder: nn.Module | None,
        codes: Float[Tensor, "N D"],
        scores: Float[Tensor, "N Y"],
        neighbours: int = NEIGHBOURS,
    ) -> None:
        super().__init__()
        self.encoder = nn.Flatten() if encoder is None else encoder
        self.neighbours = min(neighbours, len(codes))
        self.register_buffer("codes", codes.float())
        self.register_buffer("scores", scores.float())
        self.register_buffer("centre", self.codes.mean(0) if len(codes) else self.codes.sum(0), persistent=False)

    def forward(self, x: Float[Tensor, "B ..."]) -> Float[Tensor, "B Y"]:
        """Logits: the weighted mean of the neighbours' scores."""
        queries = self.encoder(x)[:, : self.codes.shape[1]] - self.centre
        known = self.codes - self.centre  # large coordinates would lose precision in the squares
        partial = torch.addmm(known.square().sum(1), queries, known.T, alpha=-2)
        squares = partial + queries.square().sum(1, keepdim=True)
        nearest, rows = squares.topk(self.neighbours, largest=False)
        nearest = nearest.clamp(min=0)
        weights = (-SHARPNESS * nearest / nearest[:, -1:].clamp(min=1e-12)).exp()
        weights = weights / weights.sum(1, keepdim=True)
        logits: Tensor = (self.scores[rows] * weights[:, :, None]).sum(1)
        return logits
