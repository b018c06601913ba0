"""Cells: one method, one data set, one draw of labels; each is done once and kept."""

from __future__ import annotations

import time
from typing import Any

from vaebench.evaluation.calibration import calibration_error, log_loss, tempered
from vaebench.frozen import stable_key
from vaebench.ladder.arena import PARTS, Arena, Given
from vaebench.ladder.methods import Guess, Method, corrected

TEMPERATURES = (1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0)


def cell(arena: Arena, name: str, method: Method, settings: str, count: int, draw: int) -> dict[str, Any]:
    """Accuracy on the held and test parts, ``seconds`` and ``images``; ``tempered``: calibration error and log loss
    (nats per image) of both parts at each of ``TEMPERATURES``, by which logits are divided.

    ``uniform_held`` and ``uniform_test`` are accuracies where classes of equal size are assumed.
    """
    given = arena.given(count, draw)
    identity = {
        "settings": settings,
        "data": arena.study.fingerprint(arena.data),
        "model": stable_key(arena.model),
        "dimensions": arena.dimensions,
        "passes": arena.passes,
        "augmentation": stable_key(arena.augmentation),
        "rows": given.rows.tolist(),
    }
    return arena.study.step(f"{arena.name}/{name}/{count}-{draw}", identity, lambda: measured(arena, method, given))


def measured(arena: Arena, method: Method, given: Given) -> dict[str, Any]:
    """One draw answered and scored."""
    method.prepare(arena)
    start = time.monotonic()
    guess = method.answer(arena, given)
    found: dict[str, Any] = {"seconds": time.monotonic() - start, "images": guess.images, "tempered": {}}
    for part in PARTS:
        labels, shares = arena.parts[part].labels, guess.probabilities[part]
        found[part] = float((shares.argmax(1) == labels).double().mean())
        cooler = [tempered(shares, temperature) for temperature in TEMPERATURES]
        found["tempered"] |= {
            f"calibration_{part}": [calibration_error(one, labels) for one in cooler],
            f"log_loss_{part}": [log_loss(one, labels) for one in cooler],
        }
    return found | _uniform(arena, guess)


def _uniform(arena: Arena, guess: Guess) -> dict[str, float]:
    even = corrected(guess)
    if even is None:
        return {}
    return {
        f"uniform_{part}": float((even[part].argmax(1) == arena.parts[part].labels).double().mean()) for part in PARTS
    }
