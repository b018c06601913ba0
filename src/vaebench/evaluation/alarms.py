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
    total, use = len(bounds.kl_per_latent), bounds.code_use
    single = 0 if use is None else int((use.entropies < DEAD_BELOW).sum())
    checks = {
        "dead-latents": (
            use is None and bounds.dead > 0,
            f"{bounds.dead} of {total} latents have collapsed to the prior (mean KL below {DEAD_BELOW} nats); "
            f"the code effectively has {total - bounds.dead} dimensions",
        ),
        "unused-codes": (
            single > 0,
            f"in {single} of {use and len(use.sizes)} groups almost all test images have the same code (entropy below "
            f"{DEAD_BELOW} nats); the decoder learns nothing from it: use fewer groups, or a lower learning rate",
        ),
        "posterior-collapse": (
            use is None and bounds.kl < COLLAPSED_BELOW,
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
