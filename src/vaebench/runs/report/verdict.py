"""The verdict in plain words: where the VAE's latents beat their rivals, where they lose, where nobody can tell.

Like is compared with like: every representation is read by the same probe, chosen before any score was seen,
and from the same draws of labels, so that differences are taken draw by draw.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from vaebench.core.statistics import difference_interval
from vaebench.runs.report.tables import BESIDE, accuracy_rows, label_counts, probe_names
from vaebench.runs.run import Run

Outcome = Literal["win", "lose", "unclear", "one draw"]
UNIT = " labels a class"
RIVALS = {
    "pixels": "raw pixels",
    "images": "the supervised network",
    "graph": "the graph of frozen latents",
    "vae": "the frozen latents",
    "autoencoder": "the plain autoencoder",
    "pca": "PCA",
    "random": "the random encoder",
}
"""Rivals in words, those first that matter most to a reader."""
SUBJECTS = {"self-trained": "Self-trained VAEs", "vae": "Latents", "vae-sampled": "Latents"}
"""What the verdict is on, the first that was measured."""
SHORT = {
    "self-trained": "self-trained",
    "graph": "graph of latents",
    "vae": "latents",
    "vae-sampled": "sampled latents",
    "images": "supervised",
    "pca": "PCA",
    "random": "random encoder",
}


@dataclass(frozen=True)
class Comparison:
    """Latents minus a rival at one label count: difference of accuracies and its 95 % interval."""

    rival: str
    labels_per_class: int | str
    difference: float
    interval: tuple[float, float] | None
    outcome: Outcome


@dataclass(frozen=True)
class Verdict:
    """What the learning curve says of its subject: a summary on the rivals that matter most and on all together, a
    sentence on each of the others, the numbers at each label count, every comparison, and what bounds them."""

    subject: str
    probe: str
    summary: list[str]
    others: list[str]
    numbers: list[str]
    comparisons: list[Comparison]
    notes: list[str]


def verdict(run: Run) -> Verdict | None:
    """The verdict on the run's latents, or nothing where the run scored no latents on labels."""
    probe = reading_probe(run)
    found = {
        (row["features"], row["labels_per_class"]): row
        for row in accuracy_rows(run)
        if row["probe"] in (probe, *BESIDE)
    }
    counts = label_counts(run)
    latents = next((name for name in SUBJECTS if any(key[0] == name for key in found)), None)
    if latents is None:
        return None
    rivals = [name for name in RIVALS if name != latents and any(key[0] == name for key in found)]
    subject, first = SUBJECTS[latents], 4 if latents == "self-trained" else 2
    comparisons = [
        compare(found[latents, count], found[rival, count])
        for rival in rivals
        for count in counts
        if (latents, count) in found and (rival, count) in found
    ]
    said = [rival_sentence(subject, [c for c in comparisons if c.rival == rival]) for rival in rivals]
    return Verdict(
        subject,
        probe,
        summary=said[:first] + _over_all(comparisons, rivals),
        others=said[first:],
        numbers=[
            _numbers(run, count, [latents, *rivals[:first]], found) for count in counts if (latents, count) in found
        ],
        comparisons=comparisons,
        notes=_notes(run, comparisons),
    )


def reading_probe(run: Run) -> str:
    """The probe that the verdict reads with: logistic, or else the first of the recipe; never the best."""
    probes = [probe for probe in probe_names(run) if probe not in BESIDE]
    return "logistic" if "logistic" in probes or not probes else probes[0]


def compare(latents: dict[str, Any], rival: dict[str, Any]) -> Comparison:
    """Two rows of one label count: paired by draw where both have the same draws."""
    difference = latents["mean"] - rival["mean"]
    mine, theirs = latents["values"], rival["values"]
    interval = difference_interval(mine, theirs, paired=len(mine) == len(theirs))
    if interval is None:
        outcome: Outcome = "one draw"
    elif interval[0] > 0:
        outcome = "win"
    elif interval[1] < 0:
        outcome = "lose"
    else:
        outcome = "unclear"
    return Comparison(rival["features"], latents["labels_per_class"], difference, interval, outcome)


def rival_sentence(subject: str, comparisons: list[Comparison]) -> str:
    """One rival over all label counts: "Latents win against PCA at 1 to 10 labels a class and lose at 100."."""
    rival = RIVALS.get(comparisons[0].rival, comparisons[0].rival)
    tested = [c for c in comparisons if c.outcome != "one draw"]
    if not tested:
        return f"{subject} against {rival}: one draw of labels only, so the numbers stand without a verdict."
    counts = [c.labels_per_class for c in tested]
    at = {o: [c.labels_per_class for c in tested if c.outcome == o] for o in ("win", "lose", "unclear")}
    if len(at["win"]) == len(tested):
        return f"{subject} beat {rival} {_everywhere(counts)}."
    if len(at["lose"]) == len(tested):
        return f"{subject} lost to {rival} {_everywhere(counts)}."
    if len(at["unclear"]) == len(tested):
        return (
            f"No clear difference between {subject[0].lower()}{subject[1:]} and {rival} {_everywhere(counts, 'any')}."
        )
    if at["win"]:
        said = f"{subject} win against {rival} {_span(at['win'], counts, UNIT)}"
        said += f" and lose {_span(at['lose'], counts)}" if at["lose"] else ""
    else:
        said = f"{subject} lose to {rival} {_span(at['lose'], counts, UNIT)}"
    return said + (f"; no clear difference {_span(at['unclear'], counts)}." if at["unclear"] else ".")


def _everywhere(counts: list[int | str], word: str = "every") -> str:
    if len(counts) == 1:
        return f"{_span(counts, counts, UNIT)}, the only count with several draws"
    return f"at {word} label count"


def _span(some: list[int | str], counts: list[int | str], unit: str = "") -> str:
    """Some of all counts in words, three neighbours or more as a range: "at 1, 3 and 10", "from 100 on"."""
    if unit and some == [1]:
        return "at 1 label a class"
    places = [counts.index(count) for count in some]
    if len(places) > 1 and places == list(range(places[0], len(counts))):
        return f"from {some[0]}{unit} on"
    groups: list[list[int]] = []
    for place in places:
        if groups and groups[-1][-1] == place - 1:
            groups[-1].append(place)
        else:
            groups.append([place])
    words = [word for group in groups for word in _range([str(counts[place]) for place in group])]
    return f"at {', '.join(words[:-1])}{' and ' if len(words) > 1 else ''}{words[-1]}{unit}"


def _range(group: list[str]) -> list[str]:
    return group if len(group) < 3 else [f"{group[0]} to {group[-1]}"]


def _over_all(comparisons: list[Comparison], rivals: list[str]) -> list[str]:
    """Where the latents beat every rival at once, said also when that is nowhere."""
    tested = [c for c in comparisons if c.outcome != "one draw"]
    counts = list(dict.fromkeys(c.labels_per_class for c in tested))
    if len(rivals) < 2 or not counts:
        return []
    best = [n for n in counts if all(c.outcome == "win" for c in tested if c.labels_per_class == n)]
    if not best:
        return [f"At no label count did they beat all {len(rivals)} rivals."]
    if len(best) == len(counts):
        return [f"They beat all {len(rivals)} rivals {_everywhere(counts)}."]
    return [f"They beat all {len(rivals)} rivals {_span(best, counts, UNIT)}."]


def _numbers(run: Run, count: int | str, names: list[str], found: dict[tuple[str, Any], dict[str, Any]]) -> str:
    """The accuracies that matter most at one count: "10 labels a class: latents 0.82, pixels 0.77"."""
    draws = found[names[0], count]["n"]
    names = [name for name in names if (name, count) in found]
    means = [f"{SHORT.get(name, name)} {found[name, count]['mean']:.2f}" for name in names]
    if count == "all":
        where = f"All {run.results['data']['images']['train']:,} labels"
    else:
        where = f"{count} label{'' if count == 1 else 's'} a class"
    return f"{where}{' (one draw)' if draws == 1 else ''}: {', '.join(means)}"


def _notes(run: Run, comparisons: list[Comparison]) -> list[str]:
    """What bounds the verdict."""
    notes = []
    tested = sum(c.outcome != "one draw" for c in comparisons)
    if tested:
        notes.append(
            f"A difference counts where its 95 % interval over the draws leaves out 0; of {tested} such "
            "comparisons about one in twenty would do so by chance alone."
        )
        notes.append("The draws differ in their labels only: each network was trained once, with one seed.")
    asked = run.recipe.evaluation.labels_per_class
    if missing := [str(count) for count in asked if count not in label_counts(run)]:
        notes.append(f"Left out, because some class has too few training images: {', '.join(missing)} labels a class.")
    return notes
