"""What a user did, said in one sentence; what a model does wrong, said by name."""

from __future__ import annotations

import difflib
from typing import Any

from pydantic import BaseModel, ValidationError


class VaebenchError(ValueError):
    """A mistake that the user can mend: one sentence with the argument or file, its value, what was expected
    and what to do. The command line prints it without a traceback."""


class VaebenchWarning(UserWarning):
    """A result that would fool its reader if nobody said so."""


def explain(error: ValidationError, model: type[BaseModel], where: str) -> VaebenchError:
    """Pydantic's findings as one sentence each; a misspelt field names the fields that exist."""
    return VaebenchError("; ".join(_sentence(dict(item), model, where) for item in error.errors()))


def _sentence(item: dict[str, Any], model: type[BaseModel], where: str) -> str:
    path = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        fields = _fields_beside(model, item["loc"])
        close = difflib.get_close_matches(str(item["loc"][-1]), fields, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        return f"{where}: there is no field {path!r}; {hint}the fields here are {', '.join(fields)}"
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "value_error":
        return f"{where}: {path}: {message}" if path else f"{where}: {message}"
    return f"{where}: {path} is {item['input']!r}; {message[:1].lower()}{message[1:]}"


def _fields_beside(model: type[BaseModel], loc: tuple[Any, ...]) -> list[str]:
    """Fields of the model in which the last part of ``loc`` was looked for, through unions told apart by kind."""
    fields = model.model_fields
    for part in loc[:-1]:
        if part in fields:
            found = _models_in(fields[part].annotation)
        else:  # the tag of a union: the kind that was chosen
            found = [m for m in found if m.model_fields["kind"].default == part]
        if not found:
            break
        fields = found[0].model_fields if len(found) == 1 else {}
    return sorted(fields)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for part in getattr(annotation, "__args__", ()) for m in _models_in(part)]
