"""What the report and the summary say of a user's encoder: what it costs, and whether it is worth that."""

from __future__ import annotations

from typing import Any

from vaebench.classification.encoder_methods import ALL_METHODS, ENCODER_METHODS
from vaebench.classification.encoder_steps import EncoderCost
from vaebench.classification.selection import AccuracyDifference, MethodSelection
from vaebench.plotting.style import signed


def encoder_sentences(cost: EncoderCost | None, selection: MethodSelection | None) -> list[str]:
    """Return whether an encoder was worth it, and what it cost; nothing without an encoder."""
    if cost is None:
        return []
    if selection is None:
        return [f"The encoder {cost.description.file} was not used, as methods cannot be compared."]
    return [
        comparison(selection),
        f"The encoder {cost.description.file} has {cost.megabytes:.3g} MB and took {cost.seconds:.3g} s for all images "
        f"with one thread, {cost.milliseconds:.2g} ms per image.",
    ]


def best_methods(selection: MethodSelection) -> tuple[str, str]:
    """Return the best method with the encoder and the best one without it; one of them is the selected method."""

    def rank(name: str) -> tuple[bool, float]:
        return name == selection.method, selection.accuracies[name]

    names = set(selection.accuracies)
    return max(sorted(names & set(ENCODER_METHODS)), key=rank), max(sorted(names - set(ENCODER_METHODS)), key=rank)


def advantage(selection: MethodSelection) -> AccuracyDifference:
    """Return the accuracy of the best method with the encoder minus that of the best one without it."""
    with_it, without = best_methods(selection)
    if selection.method == with_it:
        return selection.difference_to(without)
    mean, low, high = selection.difference_to(with_it)
    return AccuracyDifference(0.0 - mean, 0.0 - high, 0.0 - low)


def comparison(selection: MethodSelection) -> str:
    """Return a sentence about the difference of the best method with the encoder and the best one without it."""
    with_it, without = (ALL_METHODS[name].title for name in best_methods(selection))
    mean, low, high = (100 * each for each in advantage(selection))
    worth = "The encoder was worth it" if low > 0 else "The encoder was not worth it"
    if low <= 0 <= high:
        worth = "These labels do not tell whether the encoder is worth it"
    return (
        f"{worth}: {with_it}, the best method with it, is {abs(mean):.1f} points "
        f"{'more' if mean >= 0 else 'less'} accurate than {without}, the best without it (difference "
        f"{signed(mean, '.1f')}, 95 % interval: {signed(low, '.1f')} to {signed(high, '.1f')})."
    )


def encoder_summary(cost: EncoderCost | None, selection: MethodSelection | None) -> dict[str, Any] | None:
    """Return the same as JSON values."""
    if cost is None:
        return None
    summary: dict[str, Any] = {
        "description": cost.description.model_dump(mode="json"),
        "megabytes": round(cost.megabytes, 3),
        "images": cost.images,
        "seconds": round(cost.seconds, 3),
        "milliseconds_per_image": round(cost.milliseconds, 3),
        "sentences": list(cost.sentences),
    }
    if selection is None:
        return summary
    with_it, without = best_methods(selection)
    return {**summary, "best_with": with_it, "best_without": without, "difference": advantage(selection)._asdict()}
