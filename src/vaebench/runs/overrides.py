"""Fields of a recipe overridden by arguments of the command line: --objective.beta 4 --model.latent 10."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from vaebench.core.errors import VaebenchError
from vaebench.deprecated import upgrade_option
from vaebench.runs.recipe import Recipe, parse_recipe


def apply_overrides(base: Recipe, argv: list[str], where: str) -> Recipe:
    """Return ``base`` with fields overridden by arguments such as ``--model.latent 10``.

    A part whose ``kind`` is overridden starts from the defaults of the new kind.

    Raises:
        VaebenchError: a field does not exist or a value does not fit; ``where`` names the recipe in the message.
    """
    options = list(_parse_options(argv))
    kinds = [option for option in options if option[0][-1] == "kind"]
    base = parse_recipe(_set_fields(base.model_dump(mode="json"), kinds), where) if kinds else base
    fields = [option for option in options if option[0][-1] != "kind"]
    return parse_recipe(_set_fields(base.model_dump(mode="json"), fields), where)


def _set_fields(recipe: dict[str, Any], options: list[tuple[list[str], list[str]]]) -> dict[str, Any]:
    """Set the value of each option in ``recipe``; a kind removes the other fields of its part."""
    for (*parents, field), argv in options:
        part = recipe
        for parent in parents:
            if part.get(parent) is None:
                part[parent] = {}
            part = part[parent]
            if not isinstance(part, dict):
                raise VaebenchError(f"--{'.'.join([*parents, field])}: {parent!r} has no fields of its own")
        if field == "kind":
            part.clear()
        part[field] = _parse_value(argv, part.get(field))
    return recipe


def _parse_options(argv: list[str]) -> Iterator[tuple[list[str], list[str]]]:
    """Yield the path of each option ``--path.to-field`` and the words that follow it."""
    if argv and not argv[0].startswith("--"):
        raise VaebenchError(f"{argv[0]!r} is not expected here; options look like --training.epochs 20")
    starts = [index for index, word in enumerate(argv) if word.startswith("--")]
    for start, end in pairwise([*starts, len(argv)]):
        option, equals, value = argv[start].partition("=")
        values = [value] if equals else argv[start + 1 : end]
        if not values:
            raise VaebenchError(f"{option} needs a value after it")
        path = option.removeprefix("--").replace("-", "_").split(".")
        yield (["data", "source"] if path == ["data"] else upgrade_option(path)), values


def _parse_value(argv: list[str], current: Any) -> Any:
    """Return the value that the words stand for: JSON if they begin with a bracket, a list if there are several words
    or the current value is a list (commas separate its items, too), None for ``none``, and the word otherwise."""
    if len(argv) == 1 and argv[0][:1] in ("[", "{"):
        try:
            return json.loads(argv[0])
        except ValueError as error:
            raise VaebenchError(f"{argv[0]!r} looks like JSON, but is not: {error}") from error
    if isinstance(current, list):
        return [item for word in argv for item in word.split(",") if item]
    if len(argv) > 1:
        return argv
    return None if argv[0].lower() == "none" else argv[0]
