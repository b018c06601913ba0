"""Finite: losses and weights that are no longer numbers, noticed before they are kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from vaebench.models.loss import LossOutput
from vaebench.training.metrics import MetricAccumulator

LOOK_EVERY = 50
"""Steps between looks at the loss: a look waits for the device, so not every step has one."""


class Finite:
    """The steps of a training since the last look at them.

    Args:
        steps: of the whole training, for the sentence that ends it.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.recent: list[tuple[int, LossOutput]] = []

    def saw(self, step: int, terms: LossOutput) -> None:
        """One step; now and then a look.

        Raises:
            FloatingPointError: as :meth:`look`.
        """
        self.recent.append((step, LossOutput(terms.loss.detach(), terms.components)))
        if len(self.recent) >= LOOK_EVERY:
            self.look()

    def look(self) -> None:
        """Stop at the first loss since the last look that is not finite.

        Raises:
            FloatingPointError: step and parts are named.
        """
        if not self.recent:
            return
        losses = torch.stack([terms.loss for _, terms in self.recent]).isfinite()
        if not bool(losses.all()):
            step, terms = self.recent[int((~losses).nonzero()[0])]
            parts = {name: float(value.double().mean()) for name, value in terms.components.items()}
            raise self.diverged(f"the loss is {terms.loss.item()} at step {step}", parts)
        self.recent.clear()

    def require(self, weights: Iterable[Tensor], step: int, account: MetricAccumulator) -> None:
        """A finite loss can still have had an infinite gradient: look at what it left.

        Raises:
            FloatingPointError: some weight is not finite.
        """
        if not all(bool(weight.isfinite().all()) for weight in weights):
            raise self.diverged(f"some weights are not finite after step {step}", account.means())

    def diverged(self, what: str, parts: Mapping[str, float]) -> FloatingPointError:
        """The error that ends a training whose numbers are no longer finite."""
        means = ", ".join(f"{name} {value:.4g}" for name, value in parts.items())
        return FloatingPointError(
            f"{what} of {self.steps} (means: {means}); the last good weights are kept: "
            "lower the learning rate, clip gradients (clip_norm) or raise the scale's floor"
        )
