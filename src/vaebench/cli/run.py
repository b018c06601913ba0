"""vaebench run: a recipe with its fields overridden, to a finished run and its report."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaebench.cli.options import option
from vaebench.errors import VaebenchError
from vaebench.terminal import keep_freed_memory, progress

if TYPE_CHECKING:
    from vaebench.recipes import Recipe


def run(words: list[str]) -> int:
    """The command."""
    from vaebench.recipes import few_labels, find_recipe

    name, words = _recipe_name(words)
    base = find_recipe(name)
    if "--few-labels" in words:
        words = [word for word in words if word != "--few-labels"]
        named = (option(words, flag)[1] for flag in ("--data", "--data.source"))
        base = few_labels(base, next(filter(None, named), base.data.source))
    if {"-h", "--help"} & set(words):
        _print_fields(base, name)
        return 0
    words, out = option(words, "--out")
    resume = "--resume" in words
    recipe = overridden(base, [word for word in words if word != "--resume"], name)
    folder = Path(out) if out else Path("runs") / _folder_name(recipe, base)

    from vaebench.perform import perform
    from vaebench.reports.report import write_report

    keep_freed_memory()
    with progress() as watch:
        found = perform(recipe, folder, resume=resume, watch=watch)
    for alarm in found.results["alarms"]:
        print(f"alarm {alarm['name']}: {alarm['message']}")
    page = write_report(found)
    print(f"open {page}")
    return 0


def _recipe_name(words: list[str]) -> tuple[str, list[str]]:
    if words[0].startswith("-"):
        raise VaebenchError(f"vaebench run takes a recipe before its options, not {words[0]!r}; see vaebench list")
    return words[0], words[1:]


def _folder_name(recipe: Recipe, base: Recipe) -> str:
    if recipe.data.source == base.data.source:
        return recipe.name
    return f"{recipe.name}-{re.sub(r'[^A-Za-z0-9]+', '-', Path(recipe.data.source).stem).strip('-')}"


def overridden(base: Recipe, words: list[str], name: str) -> Recipe:
    """The recipe with the fields that the words override; parts of another kind begin from that kind's defaults."""
    from vaebench.recipes import parse_recipe

    flags = list(_flags(words))
    where = f"recipe {name}"
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
    """What the words mean: JSON where they look like it, several words or a list's one word a list."""
    if len(given) == 1 and given[0][:1] in ("[", "{"):
        try:
            return json.loads(given[0])
        except ValueError as error:
            raise VaebenchError(f"{given[0]!r} looks like JSON, but is not: {error}") from error
    if isinstance(before, list) or len(given) > 1:
        return given
    return None if given[0].lower() == "none" else given[0]


def _print_fields(base: Recipe, name: str) -> None:
    """Every field of the recipe with its meaning and its value."""
    import tyro

    from vaebench.recipes import Recipe

    with suppress(SystemExit):
        tyro.cli(
            Recipe,
            prog=f"vaebench run {name}",
            default=base,
            args=["--help"],
            config=(tyro.conf.AvoidSubcommands, tyro.conf.FlagConversionOff),
        )
