"""Numbers that spoil a training: NaN and infinity, which are reported, and subnormal numbers, which are cleared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from vaebench.models.loss import LossOutput
from vaebench.training.metrics import MetricAccumulator

CHECK_EVERY = 50
"""Steps between checks of the loss: a check waits for the device."""
CLEAR_EVERY = 100
"""Steps between two calls: fewer than a moment takes to decay from :data:`NEGLIGIBLE` to subnormal numbers."""
NEGLIGIBLE = 1e-30
"""Moments below this change a weight by less than its precision, unless the weight is next to zero itself."""


class FiniteCheck:
    """Checks the losses of a training in blocks of :data:`CHECK_EVERY` steps.

    Args:
        steps: number of steps of the training, for the error message.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.unchecked: list[tuple[int, LossOutput]] = []

    def add(self, step: int, output: LossOutput) -> None:
        """Add the output of a step, and check every :data:`CHECK_EVERY` steps.

        Raises:
            FloatingPointError: see :meth:`check`.
        """
        self.unchecked.append((step, LossOutput(output.loss.detach(), output.components)))
        if len(self.unchecked) >= CHECK_EVERY:
            self.check()

    def check(self) -> None:
        """Check the losses added since the last check.

        Raises:
            FloatingPointError: a loss is not finite; the message names the first such step and its components.
        """
        if not self.unchecked:
            return
        finite = torch.stack([output.loss for _, output in self.unchecked]).isfinite()
        if not bool(finite.all()):
            step, output = self.unchecked[int((~finite).nonzero()[0])]
            means = {name: float(value.double().mean()) for name, value in output.components.items()}
            raise self.error(f"the loss is {output.loss.item()} at step {step}", means)
        self.unchecked.clear()

    def check_weights(self, weights: Iterable[Tensor], step: int, metrics: MetricAccumulator) -> None:
        """Check the weights after a step, as a finite loss can have an infinite gradient.

        Raises:
            FloatingPointError: a weight is not finite.
        """
        if not all(bool(weight.isfinite().all()) for weight in weights):
            raise self.error(f"some weights are not finite after step {step}", metrics.means())

    def error(self, problem: str, means: Mapping[str, float]) -> FloatingPointError:
        """The error that reports a diverged training."""
        listed = ", ".join(f"{name} {value:.4g}" for name, value in means.items())
        return FloatingPointError(
            f"{problem} of {self.steps} (means: {listed}); the last good weights are kept: "
            "lower the learning rate, clip gradients (clip_norm) or raise the scale's floor"
        )


@torch.no_grad()
def clear_subnormals(optimiser: torch.optim.Optimizer) -> None:
    """Set negligible moments of an optimiser to zero, in place: with subnormal numbers CPUs are many times slower.

    The mean gradient of a weight without gradient (of a dead unit, or of a pixel that is always 0) decays by a tenth
    per step but never reaches zero, as nine tenths of the smallest number round to itself. After some hundred steps a
    large part of all moments would remain subnormal.
    """
    for state in optimiser.state.values():
        for moments in state.values():
            if isinstance(moments, Tensor) and moments.dim():
                moments.copy_(F.hardshrink(moments, NEGLIGIBLE))
