"""Names of vaebench 0.1 that still work and warn; they are removed in 0.3."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
INTERNAL = ("vaebench", "pydantic", "jaxtyping")
"""Packages in which a warning does not point at a line."""
NAMES = {"perform": "run"}
"""Old name of ``vaebench`` -> today's."""


def warn_renamed(old: str, new: str) -> None:
    """Issue a `FutureWarning` that names the replacement of ``old``, at the line of the user's code that led to it."""
    frame, inside = sys._getframe().f_back, 1
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in INTERNAL:
        frame, inside = frame.f_back, inside + 1
    message = f"{old} is now {new}; the old name still works and will be removed in vaebench 0.3"
    warnings.warn(message, FutureWarning, inside + 1)


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


SELF_TRAINING = "evaluation.self_training"
RECIPE_NAMES = {
    "data": {"test_share": "test_fraction", "validation_share": "validation_fraction"},
    "objective": {"share": "fraction"},
    SELF_TRAINING: {
        "spreader": "propagation",
        "teacher": "pseudo_labeller",
        "keep": "graph_fraction",
        "keep_own": "network_fraction",
        "taught": "pseudo_labelled",
        "given": "labelled",
    },
    f"{SELF_TRAINING}.objective": {"share": "elbo_fraction"},
    f"{SELF_TRAINING}.propagation": {"share": "confident_fraction"},
    f"{SELF_TRAINING}.propagation.few_labels": {"share": "confident_fraction"},
    f"{SELF_TRAINING}.pseudo_labeller": {"share": "confident_fraction"},
    f"{SELF_TRAINING}.pseudo_labeller.kind": {"own-answers": "network", "feature-graph": "graph"},
}
"""Old field of a recipe's part, or old kind -> today's, by today's place of the part or kind."""


def upgrade_recipe(values: Any, warn: bool = False, place: str = "") -> Any:
    """A recipe's plain values with the field names and kinds of today; other values are returned as they are.

    Args:
        warn: issue a `FutureWarning` for each old name: for values that a user gives, not for those of stored files.
        place: place of the values in the recipe, such as "evaluation.self_training".
    """
    if isinstance(values, str):
        return _current_name(values, place, warn)
    if not isinstance(values, dict):
        return values
    upgraded = {}
    for old, value in values.items():
        name = _current_name(old, place, warn)
        upgraded[name] = upgrade_recipe(value, warn, f"{place}.{name}" if place else name)
    return upgraded


def upgrade_option(path: list[str]) -> list[str]:
    """The path of a field that a user overrides, such as ``["data", "test_share"]``, by today's names."""
    upgraded: list[str] = []
    for name in path:
        upgraded.append(_current_name(name, ".".join(upgraded), warn=True))
    return upgraded


def _current_name(old: str, place: str, warn: bool) -> str:
    new = RECIPE_NAMES.get(place, {}).get(old, old)
    if warn and new != old:
        prefix = f"{place} = " if place.endswith(".kind") else f"{place}."
        warn_renamed(f"{prefix}{old}", f"{prefix}{new}")
    return new


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


def upgrade_fit_record(record: dict[str, Any]) -> dict[str, Any]:
    """A record of a fit log with today's keys: "cell" is now "fit"."""
    return {"fit" if key == "cell" else key: value for key, value in record.items()}


SCHEMA_1_KEYS = {"judge_accuracy": "evaluation_classifier_accuracy"}
"""Key of a row of results.json, schema 1 -> schema 2."""
SCHEMA_1_METRICS = {"legible": "confident_fraction", "authentic": "authenticity"}
"""Metric of a row of results.json, schema 1 -> schema 2."""


def upgrade_results(results: dict[str, Any]) -> dict[str, Any]:
    """Return results.json of schema 1 as schema 2: new keys and metrics in its rows, new fields in its recipe."""
    rows = [{SCHEMA_1_KEYS.get(key, key): value for key, value in row.items()} for row in results["rows"]]
    for row in rows:
        if isinstance(metric := row.get("metric"), str):
            row["metric"] = SCHEMA_1_METRICS.get(metric, metric)
    return results | {"schema": 2, "recipe": upgrade_recipe(results.get("recipe")), "rows": rows}


def rename_fit_log(folder: Path) -> None:
    """Rename a run's cells.jsonl, as earlier versions called it, to fits.jsonl."""
    if (old := folder / "cells.jsonl").exists():
        old.rename(folder / "fits.jsonl")


PAPER_ROW_KEYS = {
    "where": "source",
    "what": "quantity",
    "printed": "reported",
    "found": "reproduced",
    "holds": "agrees",
    "why": "explanation",
}
"""Old key of a row of ``papers.json`` -> today's."""


@cache
def _paper_phrases() -> dict[str, str]:
    """Phrase in the sources, quantities and explanations of old rows -> today's, replaced in this order."""
    phrases: dict[str, str] = json.loads((Path(__file__).parent / "deprecated_phrases.json").read_text("utf-8"))
    return phrases


def upgrade_paper_row(row: dict[str, Any]) -> dict[str, Any]:
    """A row of ``papers.json`` with the keys and terms of today; today's rows are returned as they are."""
    if "source" in row:
        return row
    row = {PAPER_ROW_KEYS.get(key, key): value for key, value in row.items()}
    for key in ("source", "quantity", "explanation"):
        for old, new in _paper_phrases().items():
            row[key] = row[key].replace(old, new)
    return row


RESULT_KEYS = {
    "words": "title",
    "what": "title",
    "own": "trained_on",
    "held": "validation",
    "uniform_held": "uniform_validation",
    "calibration_held": "calibration_validation",
    "log_loss_held": "log_loss_validation",
}
"""Old key of the rows and kept results of benchmarks -> today's."""
RESULT_VALUES = {
    "split": {"held": "validation"},
    "group": {"readers": "probes", "whole": "self-training", "rivals": "supervised", "without": "ablations"},
    "score": {"unlike": "outlier"},
}
"""Old values of a row by today's key -> today's."""
TITLE_PHRASES = {
    "that are as small beside it as those are beside 2 GB": "as small relative to the file as the default for 2 GB",
    ", beside ": ", compared with ",
}
"""Old phrases in titles of rows -> today's."""


def upgrade_rows(value: Any) -> Any:
    """Rows or results of benchmarks with the keys and values of today, nested ones too."""
    if isinstance(value, list):
        return [upgrade_rows(one) for one in value]
    if not isinstance(value, dict):
        return value
    upgraded = {RESULT_KEYS.get(key, key): upgrade_rows(one) for key, one in value.items()}
    for key, names in RESULT_VALUES.items():
        if isinstance(upgraded.get(key), str):
            upgraded[key] = names.get(upgraded[key], upgraded[key])
    if isinstance(upgraded.get("title"), str):
        for phrase, new in TITLE_PHRASES.items():
            upgraded["title"] = upgraded["title"].replace(phrase, new)
    return upgraded
