"""Differences between methods, draw by draw: where a plain method wins, what each part of the whole method is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from vaebench.core.statistics import mean_interval

Row = dict[str, Any]


class Difference(NamedTuple):
    """Accuracy of one method minus that of another over the draws that both have, and its 95 % interval."""

    mean: float
    interval: tuple[float, float] | None

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.interval is not None and (self.interval[0] > 0 or self.interval[1] < 0)

    def __str__(self) -> str:
        """In points: "+1.2 (0.4 to 2.0)", in bold where it is clear."""
        words = f"{100 * self.mean:+.1f}"
        if self.interval is not None:
            words += f" ({100 * self.interval[0]:+.1f} to {100 * self.interval[1]:+.1f})"
        return f"**{words}**" if self.clear else words


WITHOUT = "the whole, without "
"""How the words of a method without a part begin."""

Key = tuple[str, str, int]
"""Data set, method, labels a class."""


def by_key(rows: Sequence[Row]) -> dict[Key, Row]:
    """Test accuracies from a number of labels a class."""
    return {
        (row["data"], row["method"], row["labels_per_class"]): row
        for row in rows
        if row["split"] == "test" and row["metric"] == "accuracy" and row["labels_per_class"] != "all"
    }


def difference(found: Mapping[Key, Row], first: Key, second: Key) -> Difference | None:
    """One method minus the other, if both were measured: every method reads the same draws in the same order."""
    if first not in found or second not in found:
        return None
    one, other = found[first]["values"], found[second]["values"]
    both = min(len(one), len(other))
    apart = [a - b for a, b in zip(one[:both], other[:both], strict=True)]
    return Difference(sum(apart) / both, mean_interval(apart) if both > 1 else None)


def plain_table(rows: Sequence[Row]) -> str:
    """Latents against pixels, and the whole method against its rival, as a table in Markdown."""
    found = by_key(rows)
    heads = (
        "VAE's line - pixels' line",
        "VAE's graph - pixels' graph",
        "chosen graph - VAE's graph",
        "whole - chosen graph",
        "whole - CNN, augmented",
    )
    lines = [f"| data | labels a class | {' | '.join(heads)} |", "|---" * (len(heads) + 2) + "|"]
    for data in dict.fromkeys(key[0] for key in found):
        for count in sorted({key[2] for key in found if key[0] == data}):
            pairs = (
                ("elbo-line", "pixels-line"),
                ("elbo-poisson", "pixels-poisson"),
                ("frozen", "elbo-poisson"),
                ("whole", "frozen"),
                ("whole", "supervised-augmented"),
            )
            cells = [difference(found, (data, one, count), (data, other, count)) for one, other in pairs]
            if any(cells):
                lines.append(f"| {data} | {count} | {' | '.join(str(cell or '') for cell in cells)} |")
    return "\n".join(lines) + "\n"


Parts = dict[str, dict[tuple[str, int], Difference | None]]
"""What each part of the whole method is worth, by its words, then by data set and labels a class."""


def parts(rows: Sequence[Row]) -> Parts:
    """The whole method minus itself without one part, wherever it was measured."""
    found = by_key(rows)
    words = {row["method"]: row["words"].removeprefix(WITHOUT) for row in rows if row["group"] == "without"}
    measured = list(dict.fromkeys((key[0], key[2]) for key in found if key[1] in words))
    return {
        said: {
            (data, count): difference(found, (data, "whole", count), (data, part, count)) for data, count in measured
        }
        for part, said in words.items()
    }


def parts_table(rows: Sequence[Row]) -> str:
    """What the parts are worth, as a table in Markdown."""
    found = parts(rows)
    if not found:
        return ""
    measured = next(iter(found.values()))
    lines = [
        f"| part | {' | '.join(f'{data}, {count}' for data, count in measured)} |",
        "|---" * (len(measured) + 1) + "|",
    ]
    lines += [
        f"| {words} | {' | '.join(str(cell or '') for cell in cells.values())} |" for words, cells in found.items()
    ]
    return "\n".join(lines) + "\n"


def generative_verdict(rows: Sequence[Row]) -> str:
    """Whether the generative term pays in accuracy, and what it keeps, in a sentence or two."""
    found = by_key(rows)
    at = [key for key in found if key[1] == "without-generative"]
    cells = [(key, difference(found, (key[0], "whole", key[2]), key)) for key in at]
    clear = [(key, cell) for key, cell in cells if cell is not None and cell.clear]
    if not cells:
        return ""
    if clear:
        said = "; ".join(f"{key[0]} at {key[2]}: {cell}" for key, cell in clear)
        words = f"In accuracy the generative term makes a clear difference in {len(clear)} of {len(cells)} cases"
        words += f" ({said})."
    else:
        words = f"In accuracy the generative term makes no clear difference in any of {len(cells)} cases."
    return words + _bounds(rows)


def _bounds(rows: Sequence[Row]) -> str:
    elbo = {(row["data"], row["method"]): row["mean"] for row in rows if row["metric"] == "elbo"}
    said = [
        f"on {data} {elbo[data, 'before']:.1f} nats per image before self-training, {elbo[data, 'whole']:.1f} after "
        f"it, {elbo[data, 'without-generative']:.1f} after it without the term"
        for data in dict.fromkeys(data for data, _ in elbo)
    ]
    return f" What it keeps is the generative model: the ELBO is {'; '.join(said)}." if said else ""
