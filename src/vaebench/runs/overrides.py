"""Fields of a recipe overridden by arguments of the command line: --objective.beta 4 --model.latent 10."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from vaebench.core.errors import VaebenchError
from vaebench.runs.recipe import Recipe, parse_recipe


def apply_overrides(base: Recipe, words: list[str], where: str) -> Recipe:
    """Return ``base`` with fields overridden by arguments such as ``--model.latent 10``.

    A part whose ``kind`` is overridden starts from the defaults of the new kind.

    Raises:
        VaebenchError: a field does not exist or a value does not fit; ``where`` names the recipe in the message.
    """
    options = list(_parse_options(words))
    kinds = [option for option in options if option[0][-1] == "kind"]
    base = parse_recipe(_set_fields(base.model_dump(mode="json"), kinds), where) if kinds else base
    fields = [option for option in options if option[0][-1] != "kind"]
    return parse_recipe(_set_fields(base.model_dump(mode="json"), fields), where)


def _set_fields(recipe: dict[str, Any], options: list[tuple[list[str], list[str]]]) -> dict[str, Any]:
    """Set the value of each option in ``recipe``; a kind removes the other fields of its part."""
    for (*parents, field), words in options:
        part = recipe
        for parent in parents:
            if part.get(parent) is None:
                part[parent] = {}
            part = part[parent]
            if not isinstance(part, dict):
                raise VaebenchError(f"--{'.'.join([*parents, field])}: {parent!r} has no fields of its own")
        if field == "kind":
            part.clear()
        part[field] = _parse_value(words, part.get(field))
    return recipe


def _parse_options(words: list[str]) -> Iterator[tuple[list[str], list[str]]]:
    """Yield the path of each option ``--path.to-field`` and the words that follow it."""
    if words and not words[0].startswith("--"):
        raise VaebenchError(f"{words[0]!r} is not expected here; options look like --training.epochs 20")
    starts = [index for index, word in enumerate(words) if word.startswith("--")]
    for start, end in pairwise([*starts, len(words)]):
        option, equals, value = words[start].partition("=")
        values = [value] if equals else words[start + 1 : end]
        if not values:
            raise VaebenchError(f"{option} needs a value after it")
        path = option.removeprefix("--").replace("-", "_").split(".")
        yield (["data", "source"] if path == ["data"] else path), values


def _parse_value(words: list[str], current: Any) -> Any:
    """Return the value that the words stand for: JSON if they begin with a bracket, a list if there are several words
    or the current value is a list (commas separate its items, too), None for ``none``, and the word otherwise."""
    if len(words) == 1 and words[0][:1] in ("[", "{"):
        try:
            return json.loads(words[0])
        except ValueError as error:
            raise VaebenchError(f"{words[0]!r} looks like JSON, but is not: {error}") from error
    if isinstance(current, list):
        return [item for word in words for item in word.split(",") if item]
    if len(words) > 1:
        return words
    return None if words[0].lower() == "none" else words[0]
