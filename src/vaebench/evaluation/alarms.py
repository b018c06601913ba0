"""ALARMS: what would fool the reader of a figure, called by name."""

from __future__ import annotations

from dataclasses import dataclass

from vaebench.evaluation.bounds import DEAD_BELOW, Bounds

COLLAPSED_BELOW = 0.5
SATURATED_ABOVE = 0.01


@dataclass(frozen=True)
class Alarm:
    """One named fault and its sentence."""

    name: str
    message: str


def dead_latents(found: Bounds) -> Alarm | None:
    """Some latents carry nothing: usual at a high beta, a waste otherwise."""
    if not found.dead:
        return None
    total = len(found.kl_per_latent)
    return Alarm(
        "dead-latents",
        f"{found.dead} of {total} latents have fallen to the prior (mean KL below {DEAD_BELOW} nats); "
        f"the code in truth has {total - found.dead} dimensions",
    )


def posterior_collapse(found: Bounds) -> Alarm | None:
    """The code says next to nothing about the image."""
    if found.kl >= COLLAPSED_BELOW:
        return None
    return Alarm(
        "posterior-collapse",
        f"the whole code carries {found.kl:.3g} nats, so the decoder ignores it: lower beta, warm it up, "
        "or check that likelihood and KL are on the same scale",
    )


def saturated_decoder(found: Bounds) -> Alarm | None:
    """The decoder is certain and wrong."""
    if found.saturated <= SATURATED_ABOVE:
        return None
    return Alarm(
        "saturated-decoder",
        f"at {found.saturated:.1%} of the pixels the decoder is certain (within 0.001 of black or white) and wrong: "
        "lower the learning rate, or choose a likelihood that fits the pixels",
    )


ALARMS = {
    "dead-latents": dead_latents,
    "posterior-collapse": posterior_collapse,
    "saturated-decoder": saturated_decoder,
}


def alarms(found: Bounds) -> list[Alarm]:
    """The alarms that go off."""
    return [alarm for check in ALARMS.values() if (alarm := check(found)) is not None]
