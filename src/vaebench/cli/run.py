"""vaebench run: a recipe with its fields overridden, to a finished run and its report."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from vaebench.cli.options import option
from vaebench.cli.terminal import progress
from vaebench.core.errors import VaebenchError
from vaebench.core.memory import keep_freed_memory

if TYPE_CHECKING:
    from vaebench.runs.recipe import Recipe


def run(words: list[str]) -> int:
    """The command."""
    from vaebench.runs.overrides import overridden
    from vaebench.runs.recipe import few_labels, find_recipe

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
    recipe = overridden(base, [word for word in words if word != "--resume"], f"recipe {name}")
    folder = Path(out) if out else Path("runs") / _folder_name(recipe, base)

    from vaebench.runs.pipeline import run
    from vaebench.runs.report.report import EXPLORER, write_report
    from vaebench.training.distributed import is_main_process

    keep_freed_memory()
    with progress() as callback:
        found = run(recipe, folder, resume=resume, callback=callback)
    if not is_main_process():
        return 0
    for alarm in found.results["alarms"]:
        print(f"alarm {alarm['name']}: {alarm['message']}")
    page = write_report(found)
    if (explorer := folder / EXPLORER).exists():
        print(f"look inside: {explorer}")
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


def _print_fields(base: Recipe, name: str) -> None:
    """Every field of the recipe with its meaning and its value."""
    import tyro

    from vaebench.runs.recipe import Recipe

    with suppress(SystemExit):
        tyro.cli(
            Recipe,
            prog=f"vaebench run {name}",
            default=base,
            args=["--help"],
            config=(tyro.conf.AvoidSubcommands, tyro.conf.FlagConversionOff),
        )
