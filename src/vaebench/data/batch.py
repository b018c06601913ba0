"""Batch: images with their labels, and which of their pixels are known."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vaebench.data.pixels import split_unknown


@dataclass(frozen=True)
class Batch:
    """Input of an objective: ``x`` in [0, 1] (or features) and ``labels``, -1 where unlabelled."""

    x: Float[Tensor, "B ..."]
    labels: Int[Tensor, " B"]
    known: Bool[Tensor, "B ..."] | None = None
    """Which pixels are known, where some are not; ``x`` is 0 at the others. None means all."""

    def to(self, device: torch.device | str | None) -> Batch:
        """Return this batch on ``device``."""
        known = None if self.known is None else self.known.to(device)
        return Batch(self.x.to(device), self.labels.to(device), known)

    def take(self, rows: Int[Tensor, " M"] | Bool[Tensor, " B"] | slice) -> Batch:
        """Return the images of these rows."""
        return Batch(self.x[rows], self.labels[rows], None if self.known is None else self.known[rows])

    def per_class(self) -> Batch:
        """Return this batch with an axis of length 1 after the first, to be compared with one output per class."""
        return Batch(self.x[:, None], self.labels, None if self.known is None else self.known[:, None])


def join(*batches: Batch) -> Batch:
    """Return one batch of the images of all ``batches``."""
    x, labels = torch.cat([batch.x for batch in batches]), torch.cat([batch.labels for batch in batches])
    if all(batch.known is None for batch in batches):
        return Batch(x, labels)
    known = [torch.ones_like(batch.x, dtype=torch.bool) if batch.known is None else batch.known for batch in batches]
    return Batch(x, labels, torch.cat(known))


def float_batch(pixels: Float[Tensor, "B C H W"], labels: Int[Tensor, " B"], incomplete: bool) -> Batch:
    """Return the batch of float pixels in [0, 1], which may be overwritten; ``incomplete`` if some may be NaN."""
    pixels = pixels.to(torch.get_default_dtype())
    if not incomplete:
        return Batch(pixels, labels)
    x, known = split_unknown(pixels)
    return Batch(x, labels, known)
