"""`compare()`: scores of several runs with their spread, differences with intervals, and differing recipe fields."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from vaebench.core.errors import VaebenchError
from vaebench.core.files import read_json
from vaebench.core.statistics import difference_interval, summary
from vaebench.evaluation.learning_curves import LabelCount
from vaebench.plotting.palette import clean
from vaebench.runs.report.tables import (
    FRECHET,
    NONE,
    WITHOUT_PROBE,
    accuracy_rows,
    data_title,
    labels_text,
    mean_and_sd,
)
from vaebench.runs.report.verdict import default_probe
from vaebench.runs.rows import ResultRow
from vaebench.runs.run import Run

MAX_NAME = 60
"""Characters of the name of a group."""
SUBJECTS = {
    "vae": "latents",
    "vae-sampled": "sampled latents",
    "graph": "label propagation on latents",
    "self-trained": "self-trained VAE",
}
SCORES = {
    "elbo": ("ELBO", "nats per image, higher is better"),
    "reconstruction": ("reconstruction, -log p(x|z)", "nats per image, lower is better"),
    "kl": ("KL to the prior", "nats per image"),
    "dead_latents": ("dead latents", "count"),
    "frechet": (f"{FRECHET} of samples", "lower is better; comparable on one data set"),
    "recall": ("recall of samples", "0 to 1, higher is better"),
}
"""Name and unit of each compared score, by metric."""


@dataclass(frozen=True)
class Group:
    """Runs of one recipe that differ only in their seeds, by ascending seed."""

    name: str
    runs: list[Run]

    @cached_property
    def draws(self) -> list[Any]:
        """Label draws of each run; None for a run without labels."""
        files = (run.path / "label-draws.json" for run in self.runs)
        return [read_json(file) if file.exists() else None for file in files]


def accuracy_values(rows: Sequence[ResultRow], by_seed: bool) -> list[float]:
    """Accuracies of one row per run: the mean of each run if ``by_seed``, else the values of all draws.

    The draws of one run share its network. Pooling them with those of other seeds as if they were independent would
    make the intervals too narrow.
    """
    return [row["mean"] for row in rows] if by_seed else [value for row in rows for value in row["values"]]


def has_seeds(groups: Sequence[Group]) -> bool:
    """Whether every recipe has several runs, so that the spread is taken over seeds."""
    return all(len(group.runs) > 1 for group in groups)


@dataclass(frozen=True)
class Score:
    """One score: its name, its unit, and the values of each group over seeds or draws, if any."""

    name: str
    unit: str
    values: list[list[float]]
    paired: bool = False
    """Whether values at the same position belong to the same label draw in every group."""

    def mean_and_sd(self, group: int) -> str:
        """Mean, standard deviation and number of values of a group, as text."""
        values = self.values[group]
        if not values:
            return NONE
        text = mean_and_sd(summary(values), ".3f" if self.unit == "accuracy" else ".2f")
        return text if len(values) < 2 else f"{text} ({len(values)})"

    def difference(self, group: int) -> tuple[float, tuple[float, float] | None] | None:
        """A group minus the first, with its 95 % interval if both have several values."""
        values, first = self.values[group], self.values[0]
        if not values or not first:
            return None
        interval = difference_interval(values, first, paired=self.paired and len(values) == len(first))
        return summary(values)["mean"] - summary(first)["mean"], interval


@dataclass(frozen=True)
class Comparison:
    """Contents of a comparison page."""

    groups: list[Group]
    scores: list[Score]
    fields: list[tuple[str, list[str]]]
    """Recipe fields in which the groups differ, with the value of each group."""
    notes: list[str] = field(default_factory=list)


def compare(paths: Sequence[str | Path]) -> Comparison:
    """Compare the runs in these folders.

    Raises:
        VaebenchError: there are fewer than two runs, one is missing or not finished, or one is given twice.
    """
    folders = [Path(path) for path in paths]
    if len({folder.resolve() for folder in folders}) < max(2, len(folders)):
        given = " ".join(map(str, folders)) or "nothing"
        raise VaebenchError(f"compare takes two different runs or more, not {given!r}")
    groups = group_runs([Run.load(folder) for folder in folders])
    return Comparison(
        groups,
        [*_metric_scores(groups), *_accuracy_scores(groups)],
        differing_fields([group.runs[0] for group in groups]),
        _notes(groups),
    )


def group_runs(runs: Sequence[Run]) -> list[Group]:
    """Group runs that differ only in their seed, in the order given."""
    by_recipe: dict[str, list[Run]] = {}
    for run in runs:
        recipe = run.results["recipe"]
        key = {name: value for name, value in recipe.items() if name not in ("seed", "name", "compute")}
        by_recipe.setdefault(json.dumps(key, sort_keys=True), []).append(run)
    members = [sorted(group, key=lambda run: run.recipe.seed) for group in by_recipe.values()]
    return [Group(name, runs) for name, runs in zip(_group_names(members), members, strict=True)]


def _group_names(groups: list[list[Run]]) -> list[str]:
    """Recipe names; if these are not unique, with the differing fields, or the folder if the names get too long."""
    first = [runs[0] for runs in groups]
    recipes = [run.recipe.name for run in first]
    fields = [[f"{key.split('.')[-1]} {value}" for value in values] for key, values in differing_fields(first)]
    detailed = [", ".join(parts) for parts in zip(recipes, *fields, strict=True)]
    for choice in (recipes, detailed, [run.path.resolve().name for run in first], [str(run.path) for run in first]):
        names = [clean(name) for name in choice]
        if len(set(names)) == len(names) and max(map(len, names)) <= MAX_NAME:
            break
    return [f"{name} ({len(runs)} runs)" if len(runs) > 1 else name for name, runs in zip(names, groups, strict=True)]


def _metric_scores(groups: list[Group]) -> list[Score]:
    def values(group: Group, metric: str) -> list[float]:
        rows = [row for run in group.runs for row in run.rows if row["metric"] == metric and row["split"] == "test"]
        return [row["mean"] for row in rows if "latent" not in row and row.get("features", "samples") == "samples"]

    scores = [Score(*SCORES[metric], [values(group, metric) for group in groups]) for metric in SCORES]
    return [score for score in scores if any(score.values)]


def _accuracy_scores(groups: list[Group]) -> list[Score]:
    """Accuracies of latents and self-trained VAEs at every label count that some run has."""
    probe = default_probe(groups[0].runs[0])
    rows_at: dict[tuple[str, LabelCount], list[list[ResultRow]]] = {}
    for index, group in enumerate(groups):
        for run in group.runs:
            for row in accuracy_rows(run):
                if row["features"] in SUBJECTS and row["probe"] in (probe, *WITHOUT_PROBE):
                    key = row["features"], row["labels_per_class"]
                    rows_at.setdefault(key, [[] for _ in groups])[index].append(row)
    order = sorted(rows_at, key=lambda key: (list(SUBJECTS).index(key[0]), math.inf if key[1] == "all" else key[1]))
    same_draws, seeds = all(group.draws == groups[0].draws for group in groups), has_seeds(groups)
    scores = []
    for features, count in order:
        name = f"{SUBJECTS[features]}{f', {probe}' if features.startswith('vae') else ''}, {labels_text(count)}"
        values = [accuracy_values(rows, seeds) for rows in rows_at[features, count]]
        scores.append(Score(name, "accuracy", values, same_draws))
    return scores


def differing_fields(runs: Sequence[Run]) -> list[tuple[str, list[str]]]:
    """Recipe fields, except name and seed, whose values are not the same in every run."""
    flat = [_flatten(run.results["recipe"]) for run in runs]
    keys = dict.fromkeys(key for values in flat for key in values)
    return [
        (key, [values.get(key, NONE) for values in flat])
        for key in keys
        if key not in ("seed", "name") and len({values.get(key) for values in flat}) > 1
    ]


def _flatten(values: Any, path: str = "") -> dict[str, str]:
    if not (isinstance(values, dict) and values):
        return {path: values if isinstance(values, str) else json.dumps(values)}
    flat: dict[str, str] = {}
    for key, value in values.items():
        flat |= _flatten(value, f"{path}.{key}" if path else key)
    return flat


def _notes(groups: list[Group]) -> list[str]:
    """Reasons why some of the numbers are not comparable."""
    notes, first = [], [group.runs[0] for group in groups]
    if len({run.results["data"]["fingerprint"] for run in first}) > 1:
        names = ", ".join(dict.fromkeys(map(data_title, first)))
        notes.append(
            f"The runs were trained on different images ({names}): neither nats nor accuracies are comparable."
        )
    likelihoods = {run.results["recipe"]["model"]["likelihood"]["kind"] for run in first}
    if len(likelihoods) > 1:
        notes.append(f"The likelihoods differ ({', '.join(sorted(likelihoods))}): their nats are not comparable.")
    if all(len(group.runs) == 1 for group in groups):
        notes.append(
            "There is one run of each recipe: the intervals cover the label draws only, not the variation between "
            "seeds. Add runs of the same recipes with other seeds (--seed 1 --out ...) to cover it."
        )
    return notes
