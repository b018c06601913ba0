"""Cells: one method, one data set, one draw of labels; each is done once and kept."""

from __future__ import annotations

import time
from typing import Any

from vaebench.core.frozen import stable_key
from vaebench.evaluation.calibration import apply_temperature, calibration_error, log_loss
from vaebench.few_label_benchmark.context import PARTS, DatasetContext, LabelDraw
from vaebench.few_label_benchmark.methods import FewLabelMethod, Prediction, with_uniform_classes

TEMPERATURES = (1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0)


def result(
    context: DatasetContext, name: str, method: FewLabelMethod, settings: str, count: int, draw: int
) -> dict[str, Any]:
    """Accuracy on the held and test parts, ``seconds`` and ``images``; ``tempered``: calibration error and log loss
    (nats per image) of both parts at each of ``TEMPERATURES``, by which logits are divided.

    ``uniform_held`` and ``uniform_test`` are accuracies where classes of equal size are assumed.
    """
    given = context.given(count, draw)
    identity = {
        "settings": settings,
        "data": context.experiment.fingerprint(context.data),
        "model": stable_key(context.model),
        "dimensions": context.dimensions,
        "passes": context.passes,
        "augmentation": stable_key(context.augmentation),
        "rows": given.rows.tolist(),
    }
    return context.experiment.step(
        f"{context.name}/{name}/{count}-{draw}", identity, lambda: measured(context, method, given)
    )


def measured(context: DatasetContext, method: FewLabelMethod, given: LabelDraw) -> dict[str, Any]:
    """One draw answered and scored."""
    method.prepare(context)
    start = time.monotonic()
    guess = method.answer(context, given)
    found: dict[str, Any] = {"seconds": time.monotonic() - start, "images": guess.images, "tempered": {}}
    for part in PARTS:
        labels, shares = context.parts[part].labels, guess.probabilities[part]
        found[part] = float((shares.argmax(1) == labels).double().mean())
        cooler = [apply_temperature(shares, temperature) for temperature in TEMPERATURES]
        found["tempered"] |= {
            f"calibration_{part}": [calibration_error(one, labels) for one in cooler],
            f"log_loss_{part}": [log_loss(one, labels) for one in cooler],
        }
    return found | _uniform(context, guess)


def _uniform(context: DatasetContext, guess: Prediction) -> dict[str, float]:
    even = with_uniform_classes(guess)
    if even is None:
        return {}
    return {
        f"uniform_{part}": float((even[part].argmax(1) == context.parts[part].labels).double().mean()) for part in PARTS
    }
