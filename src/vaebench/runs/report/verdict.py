"""`verdict()`: the few-label accuracies in sentences: against which baselines the VAE wins, loses, or neither.

Comparisons are fair: every representation is evaluated with the same probe, chosen before any score was known, and on
the same label draws, so that differences are paired by draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vaebench.core.statistics import difference_interval
from vaebench.evaluation.learning_curves import LabelCount
from vaebench.plotting.style import representation_title
from vaebench.runs.report.tables import (
    RowsByFeature,
    label_counts,
    labels_text,
    probe_names,
    rows_of_probe,
    without_probe,
)
from vaebench.runs.rows import ResultRow
from vaebench.runs.run import Run

Outcome = Literal["win", "lose", "unclear", "one draw"]
UNIT = " labels per class"
BASELINES = {
    "pixels": "raw pixels",
    "images": "the supervised network",
    "graph": "label propagation on the frozen latents",
    "vae": "the frozen latents",
    "autoencoder": "the plain autoencoder",
    "pca": "PCA",
    "random": "the random encoder",
}
"""Baselines by representation, the most informative first."""
SUBJECTS = {"self-trained": "Self-trained VAEs", "vae": "Latents", "vae-sampled": "Latents"}
"""Subjects of the verdict by representation; the first measured one is used."""
SHORT = {
    "self-trained": "self-trained",
    "graph": "label propagation",
    "vae": "latents",
    "vae-sampled": "sampled latents",
    "images": "supervised",
    "pca": "PCA",
    "random": "random encoder",
}
"""Short names for lists of accuracies; other representations are named as in the rows."""


@dataclass(frozen=True)
class BaselineComparison:
    """Accuracy of the subject minus that of a baseline at one label count, with its 95 % interval."""

    baseline: str
    labels_per_class: LabelCount
    difference: float
    interval: tuple[float, float] | None
    outcome: Outcome


@dataclass(frozen=True)
class Verdict:
    """The verdict on one subject.

    Attributes:
        subject: title of the evaluated representation.
        probe: the probe of the representations.
        summary: sentences on the most informative baselines and on all baselines together.
        others: one sentence on each remaining baseline.
        numbers: the main accuracies at each label count.
        comparisons: every comparison.
        notes: caveats.
    """

    subject: str
    probe: str
    summary: list[str]
    others: list[str]
    numbers: list[str]
    comparisons: list[BaselineComparison]
    notes: list[str]


def verdict(run: Run) -> Verdict | None:
    """Return the verdict on the run's VAE, or None if the run has no accuracies of it."""
    probe = default_probe(run)
    rows = rows_of_probe(run, probe)
    present = {features for features, _ in rows}
    subject = next((name for name in SUBJECTS if name in present), None)
    if subject is None:
        return None
    title, first = SUBJECTS[subject], 4 if subject == "self-trained" else 2
    methods = [method.name for method in run.recipe.evaluation.semi_supervised]
    baselines = [name for name in (*BASELINES, *methods) if name != subject and name in present]
    counts = [count for count in label_counts(run) if (subject, count) in rows]
    comparisons = [
        compare_rows(rows[subject, count], rows[baseline, count])
        for baseline in baselines
        for count in counts
        if (baseline, count) in rows
    ]
    sentences = [baseline_sentence(title, [c for c in comparisons if c.baseline == name]) for name in baselines]
    return Verdict(
        title,
        probe,
        summary=sentences[:first] + _overall_sentence(comparisons, baselines),
        others=sentences[first:],
        numbers=[_accuracies_at(run, count, [subject, *baselines[:first]], rows) for count in counts],
        comparisons=comparisons,
        notes=_notes(run, comparisons),
    )


def default_probe(run: Run) -> str:
    """The probe used in the verdict: logistic regression, or else the first of the recipe; never the best one."""
    probes = [probe for probe in probe_names(run) if probe not in without_probe(run)]
    return "logistic" if "logistic" in probes or not probes else probes[0]


def compare_rows(subject: ResultRow, baseline: ResultRow) -> BaselineComparison:
    """Compare two rows of one label count, paired by draw if both have the same number of draws."""
    first, second = subject["values"], baseline["values"]
    interval = difference_interval(first, second, paired=len(first) == len(second))
    low, high = interval or (0.0, 0.0)
    outcome: Outcome = "one draw" if interval is None else "win" if low > 0 else "lose" if high < 0 else "unclear"
    difference = subject["mean"] - baseline["mean"]
    return BaselineComparison(baseline["features"], subject["labels_per_class"], difference, interval, outcome)


def baseline_sentence(subject: str, comparisons: list[BaselineComparison]) -> str:
    """One baseline over all label counts: "Latents beat PCA at 1 to 10 labels per class and lose at 100."."""
    name = comparisons[0].baseline
    baseline = BASELINES.get(name, representation_title(name))
    tested = [c for c in comparisons if c.outcome != "one draw"]
    if not tested:
        return f"{subject} against {baseline}: no verdict, because there is only one draw of labels."
    counts = [c.labels_per_class for c in tested]
    at = {o: [c.labels_per_class for c in tested if c.outcome == o] for o in ("win", "lose", "unclear")}
    if at["unclear"] == counts:
        lower = subject[0].lower() + subject[1:]
        return f"No clear difference between {lower} and {baseline} {_where(counts, counts, 'any')}."
    if at["win"]:
        sentence = f"{subject} beat {baseline} {_where(at['win'], counts)}"
        sentence += f" and lose {_range_text(at['lose'], counts)}" if at["lose"] else ""
    else:
        sentence = f"{subject} lose to {baseline} {_where(at['lose'], counts)}"
    return sentence + (f"; no clear difference {_range_text(at['unclear'], counts)}." if at["unclear"] else ".")


def _where(some: Sequence[LabelCount], counts: Sequence[LabelCount], every: str = "every") -> str:
    """Some or all of the tested counts in words, with their unit."""
    if len(some) < len(counts):
        return _range_text(some, counts, UNIT)
    if len(counts) == 1:
        return f"{_range_text(counts, counts, UNIT)}, the only count with several draws"
    return f"at {every} label count"


def _range_text(some: Sequence[LabelCount], counts: Sequence[LabelCount], unit: str = "") -> str:
    """Some of all counts in words, three or more neighbours as a range: "at 1, 3 and 10", "from 100"."""
    if unit and some == [1]:
        return f"at {labels_text(1)}"
    places = [counts.index(count) for count in some]
    if len(places) > 1 and places == list(range(places[0], len(counts))):
        return f"from {some[0]}{unit} upwards"
    phrases = []
    for group in np.split(places, np.flatnonzero(np.diff(places) > 1) + 1):
        names = [str(counts[place]) for place in group]
        phrases += names if len(names) < 3 else [f"{names[0]} to {names[-1]}"]
    return f"at {', '.join(phrases[:-1])}{' and ' if len(phrases) > 1 else ''}{phrases[-1]}{unit}"


def _overall_sentence(comparisons: list[BaselineComparison], baselines: list[str]) -> list[str]:
    """At which label counts the subject beats every baseline, even if there are none."""
    tested = [c for c in comparisons if c.outcome != "one draw"]
    counts = list(dict.fromkeys(c.labels_per_class for c in tested))
    if len(baselines) < 2 or not counts:
        return []
    best = [n for n in counts if all(c.outcome == "win" for c in tested if c.labels_per_class == n)]
    if not best:
        return [f"They beat all {len(baselines)} baselines at no label count."]
    return [f"They beat all {len(baselines)} baselines {_where(best, counts)}."]


def _accuracies_at(run: Run, count: LabelCount, names: list[str], rows: RowsByFeature) -> str:
    """Accuracies at one label count: "10 labels per class: latents 0.82, pixels 0.77"."""
    draws = rows[names[0], count]["n"]
    means = [f"{SHORT.get(name, name)} {rows[name, count]['mean']:.2f}" for name in names if (name, count) in rows]
    labels = f"All {run.results['data']['images']['train']:,} labels" if count == "all" else labels_text(count)
    return f"{labels}{' (one draw)' if draws == 1 else ''}: {', '.join(means)}"


def _notes(run: Run, comparisons: list[BaselineComparison]) -> list[str]:
    notes = []
    if tested := sum(c.outcome != "one draw" for c in comparisons):
        notes = [
            "A difference is called clear if its 95 % interval over the label draws excludes 0. About one in twenty of "
            f"the {tested} comparisons would do so by chance.",
            "The draws vary the labels only: each network was trained once, with one seed.",
        ]
    counts = label_counts(run)
    if missing := [str(count) for count in run.recipe.evaluation.labels_per_class if count not in counts]:
        notes.append(f"Skipped, because some class has too few training images: {', '.join(missing)} labels per class.")
    return notes
