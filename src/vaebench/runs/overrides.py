"""Fields of a recipe overridden by words: --objective.beta 4 --model.latent 10."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from vaebench.core.errors import VaebenchError
from vaebench.runs.recipe import Recipe, parse_recipe


def overridden(base: Recipe, words: list[str], where: str) -> Recipe:
    """The recipe with the fields that words like ``--model.latent 10`` override; parts of another kind begin from that
    kind's defaults.

    Raises:
        VaebenchError: no such field, or a value that does not fit; ``where`` names the recipe.
    """
    flags = list(_flags(words))
    kinds = [flag for flag in flags if flag[0][-1] == "kind"]
    base = parse_recipe(_put(base.model_dump(mode="json"), kinds), where) if kinds else base
    fields = [flag for flag in flags if flag[0][-1] != "kind"]
    return parse_recipe(_put(base.model_dump(mode="json"), fields), where)


def _put(values: dict[str, Any], flags: list[tuple[list[str], list[str]]]) -> dict[str, Any]:
    """The values with each flag's words in its place; a kind clears the part that it begins anew."""
    for (*parents, field), given in flags:
        place = values
        for parent in parents:
            if place.get(parent) is None:
                place[parent] = {}
            place = place[parent]
            if not isinstance(place, dict):
                raise VaebenchError(f"--{'.'.join([*parents, field])}: {parent!r} has no fields of its own")
        if field == "kind":
            place.clear()
        place[field] = _value(given, place.get(field))
    return values


def _flags(words: list[str]) -> Iterator[tuple[list[str], list[str]]]:
    """Each --path.to-field with the words that follow it."""
    if words and not words[0].startswith("--"):
        raise VaebenchError(f"{words[0]!r} is not expected here; options look like --training.epochs 20")
    starts = [index for index, word in enumerate(words) if word.startswith("--")]
    for start, end in pairwise([*starts, len(words)]):
        flag, equals, value = words[start].partition("=")
        given = [value] if equals else words[start + 1 : end]
        if not given:
            raise VaebenchError(f"{flag} needs a value after it")
        path = flag.removeprefix("--").replace("-", "_").split(".")
        yield (["data", "source"] if path == ["data"] else path), given


def _value(given: list[str], before: Any) -> Any:
    """What the words mean: JSON where they look like it, several words or a list's one word a list, in which commas
    part values, too."""
    if len(given) == 1 and given[0][:1] in ("[", "{"):
        try:
            return json.loads(given[0])
        except ValueError as error:
            raise VaebenchError(f"{given[0]!r} looks like JSON, but is not: {error}") from error
    if isinstance(before, list):
        return [part for word in given for part in word.split(",") if part]
    if len(given) > 1:
        return given
    return None if given[0].lower() == "none" else given[0]
