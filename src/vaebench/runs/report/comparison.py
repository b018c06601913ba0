"""Several runs side by side: scores with their spread, differences with intervals, and where the recipes differ."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from vaebench.core.errors import VaebenchError
from vaebench.core.files import read_json
from vaebench.core.statistics import difference_interval, summary
from vaebench.plotting.palette import clean
from vaebench.runs.report.tables import BESIDE, accuracy_rows, data_title
from vaebench.runs.report.verdict import reading_probe
from vaebench.runs.run import Run

LONGEST_NAME = 60
SUBJECTS = {
    "vae": "latents",
    "vae-sampled": "sampled latents",
    "graph": "latents on a graph",
    "self-trained": "self-trained VAE",
}
NATS = {
    "elbo": ("ELBO", "nats per image, higher is better"),
    "reconstruction": ("reconstruction, -log p(x|z)", "nats per image, lower is better"),
    "kl": ("KL to the prior", "nats per image"),
    "dead_latents": ("dead latents", "count"),
    "frechet": (
        "Fr\N{LATIN SMALL LETTER E WITH ACUTE}chet distance of samples",
        "lower is better, by one judge a data set",
    ),
    "recall": ("recall of samples", "0 to 1, higher is better"),
}


@dataclass(frozen=True)
class Group:
    """Runs of one recipe that differ in their seeds at most, by rising seed."""

    name: str
    runs: list[Run]

    @cached_property
    def first(self) -> Run:
        """The run that stands for the recipe."""
        return self.runs[0]

    @cached_property
    def draws(self) -> list[Any]:
        """The label draws of each run; nothing for a run without labels."""
        files = (run.path / "label-draws.json" for run in self.runs)
        return [read_json(file) if file.exists() else None for file in files]


def values_of(rows: Sequence[dict[str, Any]], by_seed: bool) -> list[float]:
    """Accuracies of one cell, a row a run: the mean of each run, or all draws where there is one run of some recipe.

    Draws of one run share its network: taken for independent beside other seeds they would make intervals too narrow.
    """
    return [row["mean"] for row in rows] if by_seed else [value for row in rows for value in row["values"]]


def by_seeds(groups: Sequence[Group]) -> bool:
    """Whether spread is taken over seeds: every recipe has several runs."""
    return all(len(group.runs) > 1 for group in groups)


@dataclass(frozen=True)
class Score:
    """One score of every group: its name, its unit, and per group its values over seeds or draws, if it has any."""

    name: str
    unit: str
    values: list[list[float]]
    paired: bool = False
    """Whether the groups' values belong together one by one: the same draws of labels."""

    def spread(self, group: int) -> str:
        """Mean and standard deviation of a group, in words."""
        if not self.values[group]:
            return "\N{EN DASH}"
        found, form = summary(self.values[group]), ".3f" if self.unit == "accuracy" else ".2f"
        mean = format(found["mean"], form).replace("-", "\N{MINUS SIGN}")
        return mean if found["sd"] is None else f"{mean} ± {found['sd']:{form}} ({found['n']})"

    def difference(self, group: int) -> tuple[float, tuple[float, float] | None] | None:
        """A group minus the first, with its 95 % interval where both have several values."""
        mine, first = self.values[group], self.values[0]
        if not mine or not first:
            return None
        return (
            summary(mine)["mean"] - summary(first)["mean"],
            difference_interval(mine, first, paired=self.paired and len(mine) == len(first)),
        )


@dataclass(frozen=True)
class Comparison:
    """All that the page shows."""

    groups: list[Group]
    scores: list[Score]
    fields: list[tuple[str, list[str]]]
    """Fields of the recipe in which the groups differ, with the value of each."""
    notes: list[str] = field(default_factory=list)


def compare(paths: Sequence[str | Path]) -> Comparison:
    """The runs in these folders side by side.

    Raises:
        VaebenchError: fewer than two runs, one that is not there or not finished, or one given twice.
    """
    folders = [Path(path) for path in paths]
    if len({folder.resolve() for folder in folders}) < max(2, len(folders)):
        given = " ".join(map(str, folders)) or "nothing"
        raise VaebenchError(f"compare takes two different runs or more, not {given!r}")
    groups = grouped([Run.load(folder) for folder in folders])
    return Comparison(
        groups,
        [*_nats(groups), *_accuracies(groups)],
        differing_fields([group.first for group in groups]),
        _notes(groups),
    )


def grouped(runs: Sequence[Run]) -> list[Group]:
    """Runs by recipe, those that differ only in seed together, in the order in which they were given."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        recipe = run.results["recipe"]
        key = {name: value for name, value in recipe.items() if name not in ("seed", "name", "compute")}
        found.setdefault(json.dumps(key, sort_keys=True), []).append(run)
    several = [sorted(members, key=lambda run: run.recipe.seed) for members in found.values()]
    return [Group(name, members) for name, members in zip(_names(several), several, strict=True)]


def _names(groups: list[list[Run]]) -> list[str]:
    """The recipe's name; where two are alike, with the fields in which they differ, or the folder if those are many."""
    fields = differing_fields([runs[0] for runs in groups])
    told = [
        ", ".join(f"{key.split('.')[-1]} {values[index]}" for key, values in fields) for index in range(len(groups))
    ]
    choices = (
        [runs[0].recipe.name for runs in groups],
        [f"{runs[0].recipe.name}, {words}" for runs, words in zip(groups, told, strict=True)],
        [runs[0].path.resolve().name for runs in groups],
        [str(runs[0].path) for runs in groups],
    )
    for found in choices:
        names = [clean(name) for name in found]
        if len(set(names)) == len(names) and max(map(len, names)) <= LONGEST_NAME:
            break
    return [f"{name} ({len(runs)} runs)" if len(runs) > 1 else name for name, runs in zip(names, groups, strict=True)]


def _nats(groups: list[Group]) -> list[Score]:
    scores = []
    for metric, (name, unit) in NATS.items():
        values = [[value for run in group.runs for value in _nats_of(run, metric)] for group in groups]
        if any(values):
            scores.append(Score(name, unit, values))
    return scores


def _nats_of(run: Run, metric: str) -> list[float]:
    rows = [r for r in run.rows if r["metric"] == metric and r["split"] == "test"]
    return [row["mean"] for row in rows if "latent" not in row and row.get("features", "samples") == "samples"]


def _accuracies(groups: list[Group]) -> list[Score]:
    """Accuracy of latents, and of self-trained VAEs, at every number of labels that some run has."""
    probe = reading_probe(groups[0].first)
    cells: dict[tuple[str, Any], list[list[dict[str, Any]]]] = {}
    for index, group in enumerate(groups):
        for run in group.runs:
            for row in accuracy_rows(run):
                if row["features"] in SUBJECTS and row["probe"] in (probe, *BESIDE):
                    key = row["features"], row["labels_per_class"]
                    cells.setdefault(key, [[] for _ in groups])[index].append(row)
    order = sorted(
        cells, key=lambda key: (list(SUBJECTS).index(key[0]), key[1] == "all", key[1] if key[1] != "all" else 0)
    )
    same, seeds = all(group.draws == groups[0].draws for group in groups), by_seeds(groups)
    return [
        Score(
            _words(features, count, probe),
            "accuracy",
            [values_of(rows, seeds) for rows in cells[features, count]],
            same,
        )
        for features, count in order
    ]


def _words(features: str, count: int | str, probe: str) -> str:
    labels = "all labels" if count == "all" else f"{count} label{'' if count == 1 else 's'} a class"
    return f"{SUBJECTS[features]}{f', {probe}' if features.startswith('vae') else ''}, {labels}"


def differing_fields(runs: Sequence[Run]) -> list[tuple[str, list[str]]]:
    """Fields of the recipes, but for name and seed, whose values are not the same in every run."""
    flat = [_flat(run.results["recipe"]) for run in runs]
    keys = dict.fromkeys(key for values in flat for key in values)
    return [
        (key, [values.get(key, "\N{EN DASH}") for values in flat])
        for key in keys
        if key not in ("seed", "name") and len({values.get(key) for values in flat}) > 1
    ]


def _flat(values: Any, path: str = "") -> dict[str, str]:
    if isinstance(values, dict) and values:
        found: dict[str, str] = {}
        for key, value in values.items():
            found |= _flat(value, f"{path}.{key}" if path else key)
        return found
    return {path: values if isinstance(values, str) else json.dumps(values)}


def _notes(groups: list[Group]) -> list[str]:
    """What forbids comparing some of the numbers."""
    notes = []
    if len({group.first.results["data"]["fingerprint"] for group in groups}) > 1:
        names = ", ".join(dict.fromkeys(data_title(group.first) for group in groups))
        notes.append(f"The runs learned from different images ({names}): neither nats nor accuracies compare.")
    likelihoods = {group.first.results["recipe"]["model"]["likelihood"]["kind"] for group in groups}
    if len(likelihoods) > 1:
        notes.append(f"The likelihoods differ ({', '.join(sorted(likelihoods))}): their nats do not compare.")
    if all(len(group.runs) == 1 for group in groups):
        notes.append(
            "One run of each recipe: intervals are over the draws of labels alone, and say nothing of another seed. "
            "Give runs of the same recipe with other seeds (--seed 1 --out ...) for differences that hold beyond one "
            "training."
        )
    return notes
