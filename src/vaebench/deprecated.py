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
    for name in ("propagation", "pseudo_labeller"):
        fields |= {name: _upgrade_share(fields[name])} if name in fields else {}
    return values | {"evaluation": values["evaluation"] | {"self_training": fields}}


def _upgrade_share(values: Any) -> Any:
    """Plain values of a label propagation or pseudo-labeller, whose "share" is now "confident_fraction"."""
    if not isinstance(values, dict):
        return values
    return {"confident_fraction" if key == "share" else key: _upgrade_share(value) for key, value in values.items()}


def upgrade_fit_record(record: dict[str, Any]) -> dict[str, Any]:
    """A record of a fit log with today's keys: "cell" is now "fit"."""
    return {"fit" if key == "cell" else key: value for key, value in record.items()}
