"""Pictures of images with 1 to 16 channels: grey, colour, or a composite of up to three channels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from vaebench.plotting.palette import clean, shortened

COLOURS = ("red", "green", "blue")
MAX_NAME = 24


def is_composite(channels: int, names: Sequence[str] = ()) -> bool:
    """Whether pictures of these images are composites: not of grey ones, nor of three channels that are the colours."""
    are_colours = not names or tuple(name.lower() for name in names) in (COLOURS, ("r", "g", "b"))
    return channels != 1 and not (channels == 3 and are_colours)


def channel_titles(channels: int, names: Sequence[str] = ()) -> list[str]:
    """The channels' names as shown, by default "channel 1" and so on."""
    shown = [shortened(clean(name), MAX_NAME) for name in names] if len(names) == channels else [""] * channels
    return [name if name.strip() else f"channel {index + 1}" for index, name in enumerate(shown)]


def composite(images: UInt8[np.ndarray, "*batch C H W"]) -> UInt8[np.ndarray, "*batch K H W"]:
    """Images of one channel as they are; others with the first three channels as red, green and blue, none as 0."""
    channels = images.shape[-3]
    if channels == 2:
        return np.concatenate([images, np.zeros_like(images[..., :1, :, :])], -3)
    return images[..., :3, :, :]


def composite_description(channels: int, names: Sequence[str] = ()) -> str:
    """The colours of a composite in words: "red is channel 1, green channel 2, blue channel 3"."""
    pairs = list(zip(COLOURS, channel_titles(channels, names), strict=False))
    return ", ".join([f"{pairs[0][0]} is {pairs[0][1]}", *(f"{colour} {name}" for colour, name in pairs[1:])])
