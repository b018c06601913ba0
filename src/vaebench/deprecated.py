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
    try:
        old = values["evaluation"]["self_training"]
        fields = {SELF_TRAINING_FIELDS.get(name, name): value for name, value in old.items()}
    except (KeyError, TypeError, AttributeError):
        return values
    labeller = fields.get("pseudo_labeller")
    if isinstance(labeller, dict) and labeller.get("kind") in PSEUDO_LABELLER_KINDS:
        fields["pseudo_labeller"] = labeller | {"kind": PSEUDO_LABELLER_KINDS[labeller["kind"]]}
    return values | {"evaluation": values["evaluation"] | {"self_training": fields}}


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
