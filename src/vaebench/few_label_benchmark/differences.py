"""Paired differences in accuracy between methods, over the draws of labels that both have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from vaebench.core.statistics import mean_interval
from vaebench.few_label_benchmark.titles import ABLATIONS

Row = dict[str, Any]
Key = tuple[str, str, int]
"""Data set, method, labels per class."""
COMPARISONS = {
    "VAE - pixels, linear probes": ("elbo-line", "pixels-line"),
    "VAE - pixels, Poisson learning": ("elbo-poisson", "pixels-poisson"),
    "selected - VAE, label propagation": ("frozen", "elbo-poisson"),
    "self-training - selected, label propagation": ("whole", "frozen"),
    "self-training - CNN, augmented": ("whole", "supervised-augmented"),
}
"""Pairs of methods to compare, by column title."""


class Difference(NamedTuple):
    """Mean accuracy of one method minus that of another over their common draws, with its 95 % interval."""

    mean: float
    interval: tuple[float, float] | None

    @property
    def significant(self) -> bool:
        """Whether the interval excludes 0."""
        return self.interval is not None and (self.interval[0] > 0 or self.interval[1] < 0)

    def __str__(self) -> str:
        """The difference in percentage points, such as "+1.2 (+0.4 to +2.0)", in bold where it is significant."""
        text = f"{100 * self.mean:+.1f}"
        if self.interval is not None:
            text += f" ({100 * self.interval[0]:+.1f} to {100 * self.interval[1]:+.1f})"
        return f"**{text}**" if self.significant else text


def by_key(rows: Sequence[Row]) -> dict[Key, Row]:
    """Rows of test accuracy from a number of labels per class."""
    return {
        (row["data"], row["method"], row["labels_per_class"]): row
        for row in rows
        if row["split"] == "test" and row["metric"] == "accuracy" and row["labels_per_class"] != "all"
    }


def difference(rows: Mapping[Key, Row], first: Key, second: Key) -> Difference | None:
    """Difference of two methods, None unless both were run. Their draws are paired: all methods read the same draws in
    the same order."""
    if first not in rows or second not in rows:
        return None
    one, other = rows[first]["values"], rows[second]["values"]
    both = min(len(one), len(other))
    gaps = [a - b for a, b in zip(one[:both], other[:both], strict=True)]
    return Difference(sum(gaps) / both, mean_interval(gaps) if both > 1 else None)


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Table in Markdown; cells that are None are empty."""
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    lines += [f"| {' | '.join('' if cell is None else str(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines)


def comparison_table(rows: Sequence[Row]) -> str:
    """Differences of ``COMPARISONS`` by data set and labels per class, as a table in Markdown."""
    accuracies, table = by_key(rows), []
    for data in dict.fromkeys(key[0] for key in accuracies):
        for count in sorted({key[2] for key in accuracies if key[0] == data}):
            cells = [
                difference(accuracies, (data, one, count), (data, other, count)) for one, other in COMPARISONS.values()
            ]
            if any(cells):
                table.append([data, count, *cells])
    return markdown_table(["data", "labels per class", *COMPARISONS], table)


def component_effects(rows: Sequence[Row]) -> dict[str, dict[tuple[str, int], Difference | None]]:
    """Full method minus each ablation, by component, then by data set and labels per class."""
    accuracies = by_key(rows)
    measured = list(dict.fromkeys((data, count) for data, method, count in accuracies if method in ABLATIONS))
    return {
        component: {
            (data, count): difference(accuracies, (data, "whole", count), (data, ablation, count))
            for data, count in measured
        }
        for ablation, component in ABLATIONS.items()
        if any(method == ablation for _, method, _ in accuracies)
    }


def ablation_table(rows: Sequence[Row]) -> str:
    """Effects of the components as a table in Markdown, empty if no ablation was run."""
    effects = component_effects(rows)
    if not effects:
        return ""
    columns = ["component", *(f"{data}, {count}" for data, count in next(iter(effects.values())))]
    return markdown_table(columns, ([component, *cells.values()] for component, cells in effects.items()))


def describe_generative_term(rows: Sequence[Row]) -> str:
    """Effect of the generative term on accuracy and on the ELBO, in a sentence or two."""
    accuracies = by_key(rows)
    ablations = [key for key in accuracies if key[1] == "without-generative"]
    if not ablations:
        return ""
    effects = [(key, difference(accuracies, (key[0], "whole", key[2]), key)) for key in ablations]
    significant = [f"{key[0]} at {key[2]}: {gap}" for key, gap in effects if gap is not None and gap.significant]
    cases = f"{len(significant) or 'none'} of {len(effects)} cases"
    details = f" ({'; '.join(significant)})" if significant else ""
    return f"The generative term changes accuracy significantly in {cases}{details}." + _describe_elbo(rows)


def _describe_elbo(rows: Sequence[Row]) -> str:
    elbo = {(row["data"], row["method"]): row["mean"] for row in rows if row["metric"] == "elbo"}
    sentences = [
        f"on {data} {elbo[data, 'before']:.1f} nats per image before self-training, {elbo[data, 'whole']:.1f} after "
        f"it, {elbo[data, 'without-generative']:.1f} after it without the term"
        for data in dict.fromkeys(data for data, _ in elbo)
    ]
    return f" It preserves the generative model: the ELBO is {'; '.join(sentences)}." if sentences else ""
