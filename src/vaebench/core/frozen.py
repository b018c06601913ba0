"""Base class of all configurable parts: frozen, validated pydantic models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar, Union

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag

F = TypeVar("F", bound="Frozen")


class Frozen(BaseModel):
    """Frozen pydantic model that refuses unknown fields.

    The object is its own configuration: ``model_dump_json`` writes it, ``model_copy(update=...)`` overrides fields.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True, allow_inf_nan=False
    )

    def model_copy(self: F, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> F:
        """Return a copy with the fields in ``update``; pydantic alone accepts fields that do not exist.

        Raises:
            ValueError: ``update`` names a field that does not exist.
        """
        if unknown := sorted(set(update or ()) - set(type(self).model_fields)):
            raise ValueError(f"{type(self).__name__} has no field {', '.join(unknown)}")
        return super().model_copy(update=update, deep=deep)


NONE_IS_A_WORD = BeforeValidator(lambda value: "none" if value is None else value)
"""Annotation of a field one of whose values is "none", which the command line reads as None."""


def stable_key(part: object) -> str:
    """A part's kind and fields as JSON with sorted keys: it identifies kept work and does not change when a class is
    renamed. Parts that are no pydantic models are identified by their ``repr``."""
    return json.dumps(part.model_dump(mode="json"), sort_keys=True) if isinstance(part, BaseModel) else repr(part)


def one_of(kinds: dict[str, type[Any]], default: str | None = None) -> Any:
    """Return the union of these classes, discriminated by the field ``kind``; values without it are of ``default``."""
    classes = tuple(kinds.values())
    if len(classes) == 1:
        return classes[0]
    if default is None:
        return Annotated[Union[classes], Field(discriminator="kind")]  # noqa: UP007 - built at run time

    def kind_of(value: Any) -> Any:
        return value.get("kind", default) if isinstance(value, Mapping) else getattr(value, "kind", None)

    tagged = tuple(Annotated[each, Tag(kind)] for kind, each in kinds.items())
    return Annotated[Union[tagged], Discriminator(kind_of)]  # noqa: UP007 - built at run time


def differences(old: Any, new: Any, path: str = "") -> list[str]:
    """Return one sentence for each difference of two JSON values: "training.epochs was 8 and is now 9"."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            line
            for key in sorted(old.keys() | new.keys())
            for line in differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
        ]
    return [] if old == new else [f"{path} was {old!r} and is now {new!r}"]
