"""Accuracy and calibration of one method on one draw of labels, computed once and kept as a step."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vaebench.core.frozen import stable_key
from vaebench.deprecated import upgrade_rows
from vaebench.evaluation.calibration import apply_temperature, calibration_error, log_loss
from vaebench.few_label_benchmark.context import DatasetContext, LabelDraw
from vaebench.few_label_benchmark.methods import FewLabelMethod, Prediction
from vaebench.semi_supervised.label_propagation import uniform_class_fractions

TEMPERATURES = (1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0)
Result = dict[str, Any]
ResultTasks = dict[str, Callable[[], Result]]
"""Functions that compute a result, or read it if it is kept, by the name of its step."""


def result_tasks(context: DatasetContext, name: str, method: FewLabelMethod, count: int, draws: int) -> ResultTasks:
    """Results of a method on draws of ``count`` labels per class; see :func:`compute_result`."""
    return {
        f"{context.name}/{name}/{count}-{draw}": partial(compute_result, context, name, method, count, draw)
        for draw in range(draws)
    }


def compute_result(context: DatasetContext, name: str, method: FewLabelMethod, count: int, draw: int) -> Result:
    """Result of a method on one draw of ``count`` labels per class, read if it was computed before.

    Returns:
        Accuracies ``validation`` and ``test``; ``uniform_validation`` and ``uniform_test``, accuracies under the
        assumption that all classes are equally frequent, where the method supports it; ``seconds`` and ``images`` seen;
        ``tempered``: calibration error and log loss (nats per image) of both parts with logits divided by each of
        ``TEMPERATURES``.
    """
    labels = context.draw_labels(count, draw)
    identity = {
        "settings": method.settings,
        "data": context.data.fingerprint,
        "model": stable_key(context.model),
        "dimensions": context.dimensions,
        "passes": context.passes,
        "augmentation": stable_key(context.augmentation),
        "rows": labels.rows.tolist(),
    }
    step = f"{context.name}/{name}/{count}-{draw}"
    result: Result = upgrade_rows(
        context.experiment.step(step, identity, lambda: evaluate_draw(context, method, labels))
    )
    return result


def evaluate_draw(context: DatasetContext, method: FewLabelMethod, labels: LabelDraw) -> Result:
    """Result of a method on one draw of labels; see :func:`compute_result`."""
    method.prepare(context)
    start = time.monotonic()
    prediction = method.fit_predict(context, labels)
    result: Result = {"seconds": time.monotonic() - start, "images": prediction.images_seen, "tempered": {}}
    uniform = with_uniform_classes(prediction)
    for part, images in context.parts.items():
        truth, probabilities = images.labels, prediction.probabilities[part]
        result[part] = _accuracy(probabilities, truth)
        if uniform is not None:
            result[f"uniform_{part}"] = _accuracy(uniform[part], truth)
        tempered = [apply_temperature(probabilities, temperature) for temperature in TEMPERATURES]
        result["tempered"] |= {
            f"calibration_{part}": [calibration_error(one, truth) for one in tempered],
            f"log_loss_{part}": [log_loss(one, truth) for one in tempered],
        }
    return result


def with_uniform_classes(prediction: Prediction) -> dict[str, Float[Tensor, "N Y"]] | None:
    """Log-probabilities with an offset per class such that all classes are equally frequent in the training part."""
    if prediction.train_probabilities is None:
        return None
    logs = prediction.train_probabilities.double().clamp(min=1e-12).log().numpy()
    offsets = (uniform_class_fractions(logs, softness=1 / max(float(logs.std()), 1e-9)) - logs)[0]
    return {
        part: probabilities.double().clamp(min=1e-12).log() + torch.from_numpy(offsets)
        for part, probabilities in prediction.probabilities.items()
    }


def _accuracy(scores: Float[Tensor, "N Y"], labels: Int[Tensor, " N"]) -> float:
    return float((scores.argmax(1) == labels).double().mean())
