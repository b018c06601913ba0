"""Alarms: named faults of a trained VAE that would mislead the reader of a figure."""

from __future__ import annotations

from typing import NamedTuple

from vaebench.evaluation.bounds import DEAD_BELOW, Bounds

COLLAPSED_BELOW = 0.5
SATURATED_ABOVE = 0.01


class Alarm(NamedTuple):
    """The name of a fault and its message."""

    name: str
    message: str


def alarms(bounds: Bounds) -> list[Alarm]:
    """Return the alarms that these bounds raise."""
    total = len(bounds.kl_per_latent)
    checks = {
        "dead-latents": (
            bounds.dead > 0,
            f"{bounds.dead} of {total} latents have collapsed to the prior (mean KL below {DEAD_BELOW} nats); "
            f"the code effectively has {total - bounds.dead} dimensions",
        ),
        "posterior-collapse": (
            bounds.kl < COLLAPSED_BELOW,
            f"the KL of the whole code is {bounds.kl:.3g} nats, so the decoder ignores it: lower beta, warm it up, "
            "or check that likelihood and KL are on the same scale",
        ),
        "saturated-decoder": (
            bounds.saturated > SATURATED_ABOVE,
            f"at {bounds.saturated:.1%} of the pixels the decoder is certain (within 0.001 of black or white) and "
            "wrong: lower the learning rate, or choose a likelihood that fits the pixels",
        ),
    }
    return [Alarm(name, message) for name, (raised, message) in checks.items() if raised]
