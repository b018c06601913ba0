"""Accuracy and calibration of one method on one draw of labels, computed once and kept as a step."""

from __future__ import annotations

import time
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor

from vaebench.core.frozen import stable_key
from vaebench.deprecated import upgrade_rows
from vaebench.evaluation.calibration import apply_temperature, calibration_error, log_loss
from vaebench.few_label_benchmark.context import PARTS, DatasetContext, LabelDraw
from vaebench.few_label_benchmark.methods import FewLabelMethod, with_uniform_classes

TEMPERATURES = (1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0)


def compute_result(
    context: DatasetContext, name: str, method: FewLabelMethod, settings: str, count: int, draw: int
) -> dict[str, Any]:
    """Result of a method on one draw of ``count`` labels per class, read if it was computed before.

    Returns:
        Accuracies ``validation`` and ``test``; ``uniform_validation`` and ``uniform_test``, accuracies under the
        assumption that all classes are equally frequent, where the method supports it; ``seconds`` and ``images`` seen;
        ``tempered``: calibration error and log loss (nats per image) of both parts with logits divided by each of
        ``TEMPERATURES``.
    """
    labels = context.draw_labels(count, draw)
    identity = {
        "settings": settings,
        "data": context.data.fingerprint,
        "model": stable_key(context.model),
        "dimensions": context.dimensions,
        "passes": context.passes,
        "augmentation": stable_key(context.augmentation),
        "rows": labels.rows.tolist(),
    }
    step = f"{context.name}/{name}/{count}-{draw}"
    kept = context.experiment.step(step, identity, lambda: evaluate_draw(context, method, labels))
    result: dict[str, Any] = upgrade_rows(kept)
    return result


def evaluate_draw(context: DatasetContext, method: FewLabelMethod, labels: LabelDraw) -> dict[str, Any]:
    """Result of a method on one draw of labels; see :func:`compute_result`."""
    method.prepare(context)
    start = time.monotonic()
    prediction = method.fit_predict(context, labels)
    result: dict[str, Any] = {"seconds": time.monotonic() - start, "images": prediction.images_seen, "tempered": {}}
    for part in PARTS:
        truth, probabilities = context.parts[part].labels, prediction.probabilities[part]
        result[part] = _accuracy(probabilities, truth)
        tempered = [apply_temperature(probabilities, temperature) for temperature in TEMPERATURES]
        result["tempered"] |= {
            f"calibration_{part}": [calibration_error(one, truth) for one in tempered],
            f"log_loss_{part}": [log_loss(one, truth) for one in tempered],
        }
    if (uniform := with_uniform_classes(prediction)) is not None:
        result |= {f"uniform_{part}": _accuracy(uniform[part], context.parts[part].labels) for part in PARTS}
    return result


def _accuracy(scores: Float[Tensor, "N Y"], labels: Int[Tensor, " N"]) -> float:
    return float((scores.argmax(1) == labels).double().mean())
