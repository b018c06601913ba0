"""The losses of a model of which nothing is trained, in the form of a training."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import torch
from torch import nn

from vaebench.data.images import Source
from vaebench.models.loss import AttachableObjective, Objective
from vaebench.training.compute import Compute
from vaebench.training.loop import TrainingEvent, TrainingResult
from vaebench.training.metrics import validate


def evaluate_untrained(
    model: nn.Module,
    objective: Objective,
    parts: tuple[Source, Source],
    compute: Compute,
    callback: Callable[[TrainingEvent], None],
) -> TrainingResult:
    """Compute the losses of a model without trainable parameters; its weights are not changed.

    Args:
        parts: images of training and of validation.
        callback: receives the event of the only epoch, which has no step.

    Raises:
        FloatingPointError: a loss is not finite.
    """
    start = time.monotonic()
    compute = compute.resolve()
    compute.place(model)
    with torch.random.fork_rng():
        if isinstance(objective, AttachableObjective):
            torch.manual_seed(0)
            objective.attach(model)
        train, validation = (validate(model, objective, part) for part in parts)
        if isinstance(objective, AttachableObjective):
            objective.detach(model)
    if not (math.isfinite(train["loss"]) and math.isfinite(validation["loss"])):
        raise FloatingPointError(
            f"the loss of the weights is {train['loss']} on the training images; start from others"
        )
    record = {"epoch": 1, "step": 0, **train, "trace": []}
    record |= {f"validation_{name}": value for name, value in validation.items()}
    callback(TrainingEvent(1, 1, 0.0, record))
    return TrainingResult(model.eval(), [record], 1, time.monotonic() - start, [(0, compute.threads or 1)])
