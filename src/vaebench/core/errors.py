"""Errors that the command line prints as one sentence, and pydantic errors turned into such sentences."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ValidationError


class VaebenchError(ValueError):
    """A user's mistake in one sentence: argument or file, value, what was expected, what to do.

    The command line prints it without a traceback.
    """


class OtherTrainingError(VaebenchError):
    """A checkpoint from other settings or another machine, from which this training cannot be resumed."""


def explain(error: ValidationError, model: type[BaseModel], where: str) -> VaebenchError:
    """Return pydantic's errors as one sentence each; a misspelt field lists the fields that exist."""
    return VaebenchError("; ".join(_sentence(item, model, where) for item in _merged(error)))


def _merged(error: ValidationError) -> list[dict[str, Any]]:
    """Merge the errors of the branches of a plain union ("a number or 'all'") into one a value."""
    by_location: dict[tuple[Any, ...], dict[str, Any]] = {}
    errors: list[Any] = error.errors()
    for item in errors:
        loc = item["loc"]
        branch = str(loc[-1]) if loc else ""
        if branch in ("int", "float", "str") or branch.startswith("literal["):
            item["loc"] = loc = loc[:-1]
        if loc in by_location and by_location[loc]["type"] != "extra_forbidden":
            by_location[loc]["msg"] += f", or {item['msg'][:1].lower()}{item['msg'][1:]}"
        else:
            by_location[loc] = item
    return list(by_location.values())


def _sentence(item: dict[str, Any], model: type[BaseModel], where: str) -> str:
    steps = list(_walk(model, item["loc"]))
    path = ".".join(part for part, is_tag, _ in steps if not is_tag)
    if item["type"] == "extra_forbidden":
        *_, parents = steps[-2] if len(steps) > 1 else ("", False, [model])
        fields = sorted(name for parent in parents[:1] for name in parent.model_fields)
        close = difflib.get_close_matches(str(item["loc"][-1]), fields, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        return f"{where}: there is no field {path!r}; {hint}the fields here are {', '.join(fields)}"
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] in ("union_tag_not_found", "union_tag_invalid"):
        value = item["input"].get("kind") if isinstance(item["input"], dict) else item["input"]
        kinds = ", ".join(str(_kind(m)) for m in steps[-1][2])
        return f"{where}: {path}.kind is {value!r}; expected one of {kinds}"
    if item["type"] == "value_error":
        return f"{where}: {path}: {message}" if path else f"{where}: {message}"
    value = repr(item["input"])
    value = value if len(value) <= 80 else f"{value[:77]}..."
    return f"{where}: {path} is {value}; {message[:1].lower()}{message[1:]}"


def _walk(model: type[BaseModel], loc: tuple[Any, ...]) -> Iterator[tuple[str, bool, list[type[BaseModel]]]]:
    """Yield each part of ``loc``, whether it is the tag of a union (not typed by the user), and the models there."""
    models = [model]
    for part in loc:
        is_tag = len(models) > 1 and any(_kind(m) == part for m in models)
        if is_tag:
            models = [m for m in models if _kind(m) == part]
        elif isinstance(part, str) and len(models) == 1 and part in models[0].model_fields:
            models = _models_in(models[0].model_fields[part].annotation)
        yield str(part), is_tag, models


def _kind(model: type[BaseModel]) -> Any:
    return model.model_fields["kind"].default if "kind" in model.model_fields else None


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for part in getattr(annotation, "__args__", ()) for m in _models_in(part)]
