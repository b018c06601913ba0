"""Names of vaebench 0.1 that still work and warn; they are removed in 0.3."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
NAMES = {"perform": "run"}
"""Old name of ``vaebench`` -> today's."""


def warn_renamed(old: str, new: str, stacklevel: int = 3) -> None:
    """Issue a `FutureWarning` that names the replacement of ``old``."""
    message = f"{old} is now {new}; the old name still works and will be removed in vaebench 0.3"
    warnings.warn(message, FutureWarning, stacklevel)


def renamed_arguments(**names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Accept keyword arguments by their old names, with a warning: ``renamed_arguments(watch="callback")``."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            for old, new in names.items():
                if old in kwargs:
                    warn_renamed(f"{function.__name__}({old}=...)", f"{function.__name__}({new}=...)")
                    kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call

    return decorate


RECIPE_FIELDS = {
    "objective": {"share": "fraction"},
    "evaluation.self_training.objective": {"share": "elbo_fraction"},
}
"""Old field of a part of a recipe -> today's, by the part's place."""


def _rename_fields(values: Any, path: list[str], names: dict[str, str]) -> Any:
    """Values whose part at ``path``, if there is one, has its fields renamed."""
    if not isinstance(values, dict):
        return values
    if not path:
        return {names.get(name, name): value for name, value in values.items()}
    return values | {name: _rename_fields(value, path[1:], names) for name, value in values.items() if name == path[0]}


SELF_TRAINING_FIELDS = {
    "spreader": "propagation",
    "teacher": "pseudo_labeller",
    "keep": "graph_fraction",
    "keep_own": "network_fraction",
    "taught": "pseudo_labelled",
    "given": "labelled",
}
"""Old field of a recipe's ``evaluation.self_training`` -> today's."""
PSEUDO_LABELLER_KINDS = {"own-answers": "network", "feature-graph": "graph"}


def upgrade_recipe(values: Any) -> Any:
    """A recipe's plain values with the field names and kinds of today; other values are returned as they are."""
    for part, names in RECIPE_FIELDS.items():
        values = _rename_fields(values, part.split("."), names)
    try:
        old = values["evaluation"]["self_training"]
        fields = {SELF_TRAINING_FIELDS.get(name, name): value for name, value in old.items()}
    except (KeyError, TypeError, AttributeError):
        return values
    labeller = fields.get("pseudo_labeller")
    if isinstance(labeller, dict) and labeller.get("kind") in PSEUDO_LABELLER_KINDS:
        fields["pseudo_labeller"] = labeller | {"kind": PSEUDO_LABELLER_KINDS[labeller["kind"]]}
    for name in ("propagation", "pseudo_labeller"):
        fields |= {name: _upgrade_share(fields[name])} if name in fields else {}
    return values | {"evaluation": values["evaluation"] | {"self_training": fields}}


def workers_of(machine: dict[str, Any]) -> int:
    """Number of workers in a step's record; until 0.1 the key was "hands"."""
    return int(machine.get("workers", machine.get("hands", 1)))


def renamed_attribute(old: str, new: str) -> Any:
    """Return a property ``old`` that warns and returns the attribute ``new``."""

    def read(instance: Any) -> Any:
        warn_renamed(f"{type(instance).__name__}.{old}", new)
        return getattr(instance, new)

    return property(read)


OLD_OUTLIERS_FILE = "usual.safetensors"
"""Old name of a model folder's ``outliers.safetensors``."""
CLASSIFIER_TENSORS = {"line.weight": "linear.weight", "line.bias": "linear.bias"}
"""Old name of a tensor in a linear image classifier's weights -> today's."""


def _upgrade_share(values: Any) -> Any:
    """Plain values of a label propagation or pseudo-labeller, whose "share" is now "confident_fraction"."""
    if not isinstance(values, dict):
        return values
    return {"confident_fraction" if key == "share" else key: _upgrade_share(value) for key, value in values.items()}


def upgrade_fit_record(record: dict[str, Any]) -> dict[str, Any]:
    """A record of a fit log with today's keys: "cell" is now "fit"."""
    return {"fit" if key == "cell" else key: value for key, value in record.items()}


RESULT_KEYS = {"judge_accuracy": "evaluation_classifier_accuracy"}
"""Key of a row of results.json, schema 1 -> schema 2."""
RESULT_METRICS = {"legible": "confident_fraction", "authentic": "authenticity"}
"""Metric of a row of results.json, schema 1 -> schema 2."""


def upgrade_results(results: dict[str, Any]) -> dict[str, Any]:
    """Return results.json of schema 1 as schema 2: new keys and metrics in its rows, new fields in its recipe."""
    rows = [{RESULT_KEYS.get(key, key): value for key, value in row.items()} for row in results["rows"]]
    for row in rows:
        if isinstance(metric := row.get("metric"), str):
            row["metric"] = RESULT_METRICS.get(metric, metric)
    return results | {"schema": 2, "recipe": upgrade_recipe(results.get("recipe")), "rows": rows}


def rename_fit_log(folder: Path) -> None:
    """Rename a run's cells.jsonl, as earlier versions called it, to fits.jsonl."""
    if (old := folder / "cells.jsonl").exists():
        old.rename(folder / "fits.jsonl")
