"""The fields of a recipe for help and completion, read from fields.json without importing torch or pydantic."""

from __future__ import annotations

import argparse
import json
import tomllib
from contextlib import suppress
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from vaebench.cli.parser import Parser
from vaebench.deprecated import upgrade_recipe


@cache
def load_table() -> dict[str, Any]:
    """Return fields.json: ``fields``, ``recipes`` and ``names``, as scripts/recipe_fields.py writes them."""
    table: dict[str, Any] = json.loads((Path(__file__).parent / "fields.json").read_text(encoding="utf-8"))
    return table


def option_of(field: str) -> str:
    """Return the option that overrides a field: ``--training.clip-norm`` for ``training.clip_norm``."""
    return f"--{field.replace('_', '-')}"


def find_values(argv: list[str]) -> tuple[str, dict[str, Any]] | None:
    """Return the recipe named in the arguments of ``vaebench run`` and its values; None where none is named.

    Raises:
        VaebenchError: there is no such recipe, or its file cannot be read.
    """
    recipes = load_table()["recipes"]
    name = next((word for word in argv if word in recipes or word.endswith(".toml")), None)
    if name is None and (not argv or argv[0].startswith("-")):
        return None
    name = name or argv[0]
    if name in recipes and "--few-labels" not in argv:
        return name, recipes[name]
    if name.endswith(".toml") and "--few-labels" not in argv:
        with suppress(OSError, ValueError):  # find_recipe reports it below
            values = tomllib.loads(Path(name).read_text("utf-8"))
            return name, {"name": Path(name).stem} | upgrade_recipe(values, warn=True)
    from vaebench.runs.recipe import few_labels, find_recipe

    recipe = find_recipe(name)
    if "--few-labels" in argv:
        after = dict(pairwise(argv))
        recipe = few_labels(recipe, after.get("--data") or after.get("--data.source") or recipe.data.source)
    return name, recipe.model_dump(mode="json")


def present_fields(values: dict[str, Any]) -> list[tuple[dict[str, Any], Any]]:
    """Return the rows of the fields that a recipe has with its kinds of parts, each with its value or its default."""
    values = json.loads(json.dumps(values))
    rows = []
    for row in load_table()["fields"]:
        *parents, name = row["field"].split(".")
        part = _look_up(values, parents)
        if isinstance(part, dict) and all(_look_up(values, at.split(".")) == kind for at, kind in row["when"].items()):
            rows.append((row, part.setdefault(name, row["default"])))
    return rows


def _look_up(values: Any, path: list[str]) -> Any:
    for name in path:
        values = values.get(name) if isinstance(values, dict) else None
    return values


def add_fields(parser: Parser, values: dict[str, Any]) -> None:
    """Add an option for each field of the recipe, in a group for each part, with the recipe's value in its help."""
    groups = {"": parser.add_argument_group("recipe")}
    for row, value in present_fields(values):
        field = row["field"]
        if isinstance(value, dict):
            summary = row["description"] or row["kinds"].get(value.get("kind", ""), "")
            groups[field] = parser.add_argument_group(field, summary.replace("%", "%%"))
            continue
        metavar, names = row["type"], row["type"].removesuffix(" ...").split("|")
        kinds = "|".join(filter(None, row["kinds"]))
        notes = [row["range"], f"set by {option_of(field)}.kind {kinds}" if kinds else "", f"default: {_show(value)}"]
        about = [row["description"], "", f"({'; '.join(filter(None, notes))})"]
        if len(names) > 4:
            metavar, about[1] = metavar.replace("|".join(names), "NAME"), f"Names: {', '.join(names)}."
        text = " ".join(filter(None, about)).replace("%", "%%")
        groups[field.rpartition(".")[0]].add_argument(
            option_of(field), dest=argparse.SUPPRESS, metavar=metavar, help=text
        )


def _show(value: Any) -> str:
    """Return a value as it is written on the command line."""
    if isinstance(value, list) and not any(isinstance(item, dict) for item in value):
        return " ".join(map(_show, value)) or "empty"
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else "none" if value is None else json.dumps(value)
