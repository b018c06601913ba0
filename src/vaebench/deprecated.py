"""Names of vaebench 0.1 that still work and warn; they are removed in 0.3."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
NAMES = {"perform": "run"}
"""Old name of ``vaebench`` -> today's."""


def warn_renamed(old: str, new: str, stacklevel: int = 3) -> None:
    """Warn that ``old`` is now ``new``."""
    warnings.warn(f"{old} is now {new}; the old name is removed in vaebench 0.3", FutureWarning, stacklevel)


def renamed_arguments(**names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Accept keyword arguments by their old names, with a warning: ``renamed_arguments(watch="callback")``."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            for old, new in names.items():
                if old in kwargs:
                    warn_renamed(f"{function.__name__}({old}=...)", f"{new}=")
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


def upgrade_results(value: Any) -> Any:
    """Rows or results of benchmarks with the keys and values of today, nested ones too."""
    if isinstance(value, list):
        return [upgrade_results(one) for one in value]
    if not isinstance(value, dict):
        return value
    upgraded = {RESULT_KEYS.get(key, key): upgrade_results(one) for key, one in value.items()}
    for key, names in RESULT_VALUES.items():
        if isinstance(upgraded.get(key), str):
            upgraded[key] = names.get(upgraded[key], upgraded[key])
    if isinstance(upgraded.get("title"), str):
        for phrase, new in TITLE_PHRASES.items():
            upgraded["title"] = upgraded["title"].replace(phrase, new)
    return upgraded
