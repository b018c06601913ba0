"""Reading: how images are read, and sentences with counts about all that is left out, guessed or scaled."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vaebench.core.errors import VaebenchError
from vaebench.data.image_set import ImageSet
from vaebench.data.preprocessing import TINT, PreprocessingRule
from vaebench.data.printing import printable
from vaebench.data.survey import Survey


@dataclass(frozen=True)
class Reading:
    """How images are read: what a user can choose."""

    side: int | None = None
    """Side in pixels of the square that images are scaled to; by default as :func:`choose_rule` says."""
    labels: tuple[str, ...] = ()
    """Tables of file and label; ``FILE:COLUMN`` states the column of labels."""
    projection: str | None = None
    """How the planes of a stack become one image."""
    masks: str | None = None
    """Images of two values whose zeros mark unknown pixels, as :func:`vaebench.data.masks.with_masks` matches them."""


def check_readable(path: Path, readable: int, skipped: dict[str, str]) -> None:
    """Raise VaebenchError where no image can be read, with the most common reason."""
    if not readable:
        reason, count = Counter(skipped.values()).most_common(1)[0]
        each = (
            "its only image cannot be read" if len(skipped) == 1 else f"none of its {len(skipped):,} images can be read"
        )
        why = f"{count:,} for one reason: it" if len(skipped) > 1 else "it"
        raise VaebenchError(f"{path}: {each}; {why} {reason}")


def describe_reading(
    images: ImageSet, seen: Survey, rule: PreprocessingRule, damaged: dict[str, str] | None = None
) -> tuple[str, ...]:
    """Return sentences with counts about all that was left out, guessed or scaled."""
    skipped = seen.skipped | (damaged or {})
    sentences = list(images.warnings)
    sentences += _left_out(skipped)
    if others := images.other_files:
        listed = ", ".join(f"{suffix} {count:,}" for suffix, count in sorted(others.items())[:8])
        count = sum(others.values())
        sentences.append(f"{count:,} file{'s that are' if count > 1 else ' that is'} no image left out: {listed}")
    sentences += [f"{count_images(count)} {note}" for note, count in seen.notes.items()]
    return (*sentences, *_scaling(seen, rule))


def _left_out(skipped: dict[str, str]) -> list[str]:
    """A sentence for each of the five most frequent reasons, and one for the rest."""
    reasons = Counter(skipped.values()).most_common(5)
    sentences = []
    for reason, count in reasons:
        name = next(name for name, each in skipped.items() if each == reason)
        sentences.append(f"{count_images(count)} left out, for example {printable(name)}: {reason}")
    if more := len(skipped) - sum(count for _, count in reasons):
        sentences.append(f"{count_images(more)} more left out; vaebench inspect --json names each with its reason")
    return sentences


def describe_greyed(names: list[str]) -> tuple[str, ...]:
    """Return a sentence about images in colour that are read as grey, if there are any."""
    if not names:
        return ()
    are = f"{count_images(len(names))} in colour {'is' if len(names) == 1 else 'are'}"
    return (f"{are} read as grey, as those sampled are grey, for example {printable(names[0])}",)


def count_images(count: int) -> str:
    return f"{count:,} image{'' if count == 1 else 's'}"


def _scaling(seen: Survey, rule: PreprocessingRule) -> list[str]:
    """Sentences about size, channels and values."""
    sentences = []
    sizes = {(info.width, info.height) for info in seen.formats}
    if sizes != {(rule.width, rule.height)}:
        (low_w, low_h), (high_w, high_h) = (tuple(f(s[i] for s in sizes) for i in (0, 1)) for f in (min, max))
        stored = f"{low_w} x {low_h}" + (f" to {high_w} x {high_h}" if len(sizes) > 1 else "")
        sentences.append(f"images of {stored} pixels are scaled to fit {rule.width} x {rule.height}")
    if rule.kind == "grey" and any(info.kind == "colour" for info in seen.formats):
        sentences.append("all sampled images of three colours are grey: images are read as grey, with one channel")
    if seen.tinted and rule.kind == "grey":
        have = "have" if seen.tinted > 1 else "has"
        sentences.append(
            f"{count_images(seen.tinted)} of those sampled {have} channels differing by at most {TINT} of 255 levels, "
            "as lossy formats leave them, and count as grey"
        )
    if rule.kind == "channels":
        sentences.append(f"images have {rule.channels} channels: {', '.join(map(printable, rule.channel_names))}")
    if seen.unknown:
        sentences.append(f"{count_images(seen.unknown)} of those sampled have pixels that are not known")
    if rule.low:
        sentences.append(f"{rule.scale}; {_clipped(seen, rule):.2%} of the sampled values lie beyond and are clipped")
    names = rule.channel_names or ("the images",)
    constant = [name for name, low, high in zip(names, rule.low, rule.high, strict=False) if high == low + 1 != 1]
    if constant:
        sentences.append(f"one value in all sampled images: {', '.join(map(printable, constant))}")
    return sentences


def _clipped(seen: Survey, rule: PreprocessingRule) -> float:
    """Fraction of the sampled values of the rule's own type that lie beyond its range."""
    low, high = np.array(rule.low), np.array(rule.high)
    each = [v for values in seen.values.values() for v in values if v.shape[1] == rule.channels]
    beyond = [((v < low) | (v > high)).mean() for v in each]
    return float(np.mean(beyond)) if beyond else 0.0
