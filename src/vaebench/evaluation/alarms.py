"""ALARMS: named faults of a trained VAE that would mislead the reader of a figure."""

from __future__ import annotations

from typing import NamedTuple

from vaebench.evaluation.bounds import DEAD_BELOW, Bounds

COLLAPSED_BELOW = 0.5
SATURATED_ABOVE = 0.01


class Alarm(NamedTuple):
    """The name of a fault and its message."""

    name: str
    message: str


def dead_latents(bounds: Bounds) -> str | None:
    """Latents without information: usual at a high beta, wasted otherwise."""
    if not bounds.dead:
        return None
    total = len(bounds.kl_per_latent)
    return (
        f"{bounds.dead} of {total} latents have collapsed to the prior (mean KL below {DEAD_BELOW} nats); "
        f"the code effectively has {total - bounds.dead} dimensions"
    )


def posterior_collapse(bounds: Bounds) -> str | None:
    """Codes with almost no information about the image."""
    if bounds.kl >= COLLAPSED_BELOW:
        return None
    return (
        f"the KL of the whole code is {bounds.kl:.3g} nats, so the decoder ignores it: lower beta, warm it up, "
        "or check that likelihood and KL are on the same scale"
    )


def saturated_decoder(bounds: Bounds) -> str | None:
    """Pixels of which the decoder is certain and wrong."""
    if bounds.saturated <= SATURATED_ABOVE:
        return None
    return (
        f"at {bounds.saturated:.1%} of the pixels the decoder is certain (within 0.001 of black or white) and wrong: "
        "lower the learning rate, or choose a likelihood that fits the pixels"
    )


ALARMS = {
    "dead-latents": dead_latents,
    "posterior-collapse": posterior_collapse,
    "saturated-decoder": saturated_decoder,
}


def alarms(bounds: Bounds) -> list[Alarm]:
    """Return the alarms that these bounds raise."""
    return [Alarm(name, message) for name, check in ALARMS.items() if (message := check(bounds))]
