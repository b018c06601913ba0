"""Write src/vaebench/cli/fields.json: every field of a recipe, the built-in recipes and all names, read by `--help`.

Run `python scripts/recipe_fields.py` after a change of a field, its description, a recipe or a registry.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vaebench.data.datasets import DATASETS
from vaebench.evaluation.probes import PROBES
from vaebench.models.code_priors import CODE_PRIORS
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.models.networks import NETWORKS
from vaebench.models.objectives import OBJECTIVES
from vaebench.models.posteriors import POSTERIORS
from vaebench.models.priors import PRIORS
from vaebench.models.registry import MODELS
from vaebench.papers.registry import PAPERS
from vaebench.runs.recipe import RECIPES, Recipe
from vaebench.semi_supervised.classifiers import SEMI_SUPERVISED
from vaebench.training.schedules import OPTIMISERS, SCHEDULES

FILE = Path(__file__).resolve().parent.parent / "src" / "vaebench" / "cli" / "fields.json"
METAVARS = {"integer": "INT", "number": "NUMBER", "string": "TEXT", "boolean": "true|false", "null": "none"}
BOUNDS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
Schema = dict[str, Any]


def build_table() -> dict[str, Any]:
    """Return the rows of all fields, the values of the built-in recipes, and the names of all registries."""
    schema = Recipe.model_json_schema()
    names = {
        "recipes": list(RECIPES),
        "papers": [f"{short} ({paper.name})" for short, paper in PAPERS.items()],
        "data sets": list(DATASETS),
        "models": list(MODELS),
        "networks": list(NETWORKS),
        "likelihoods": list(LIKELIHOODS),
        "posteriors": list(POSTERIORS),
        "priors": list(PRIORS),
        "priors of codes": list(CODE_PRIORS),
        "objectives": list(OBJECTIVES),
        "optimisers": list(OPTIMISERS),
        "schedules": list(SCHEDULES),
        "probes": list(PROBES),
        "semi-supervised methods": list(SEMI_SUPERVISED),
    }
    return {
        "names": names,
        "recipes": {name: recipe.model_dump(mode="json") for name, recipe in RECIPES.items()},
        "fields": list(_fields(schema, schema["$defs"], "", {})),
    }


def _fields(model: Schema, definitions: Schema, prefix: str, when: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Yield a row for each field below a model; ``when`` holds the kinds under which the fields exist."""
    for name, spec in model["properties"].items():
        field = f"{prefix}{name}"
        if f"{prefix}kind" in when and name == "kind":
            continue
        row = {"field": field, "when": when, "type": _metavar(spec, definitions), "range": _range(spec)}
        row |= {"description": _plain(spec.get("description", "")), "default": spec.get("default")}
        models = {_kind(each): each for each in _models(spec, definitions)}
        yield row | {"kinds": {kind: _plain(each.get("description", "")) for kind, each in models.items()}}
        if len(models) > 1:
            default = spec.get("default")
            kind = default.get("kind", next(iter(models))) if default else None  # the default kind may be left out
            kinds = {"type": "|".join(models), "range": "", "description": "", "default": kind, "kinds": {}}
            yield {"field": f"{field}.kind", "when": when} | kinds
        for kind, each in models.items():
            inner = when | {f"{field}.kind": kind} if len(models) > 1 else when
            yield from _fields(each, definitions, f"{field}.", inner)


def _models(spec: Schema, definitions: Schema) -> list[Schema]:
    """Return the models that a field can hold, through references and unions but not through lists."""
    if "$ref" in spec:
        target = definitions[spec["$ref"].rpartition("/")[2]]
        return [target] if "properties" in target else []
    return [model for part in (*spec.get("anyOf", ()), *spec.get("oneOf", ())) for model in _models(part, definitions)]


def _kind(model: Schema) -> str:
    return str(model["properties"].get("kind", {}).get("default", ""))


def _metavar(spec: Schema, definitions: Schema) -> str:
    if "anyOf" in spec:
        return "|".join(dict.fromkeys(_metavar(part, definitions) for part in spec["anyOf"]))
    if "enum" in spec or "const" in spec:
        return "|".join(map(str, spec.get("enum", [spec.get("const")])))
    if spec.get("type") == "array":
        items = _metavar(spec.get("items", {}), definitions)
        return items if items == "JSON" else f"{items} ..."
    return METAVARS.get(spec.get("type", ""), "JSON")


def _range(spec: Schema) -> str:
    parts = [spec, *spec.get("anyOf", ())]
    return ", ".join(f"{sign} {part[key]:g}" for part in parts for key, sign in BOUNDS.items() if key in part)


def _plain(text: str) -> str:
    """Return the first paragraph of a docstring on one line, without reStructuredText marks."""
    return re.sub(r"\s+", " ", re.sub(r":\w+:(?=`)|`+", "", text.partition("\n\n")[0]))


def main() -> None:
    """Write the file, one row a line."""
    table = build_table()
    fields = ",\n".join(json.dumps(row, ensure_ascii=False) for row in table.pop("fields"))
    rest = ",\n".join(
        f"{json.dumps(key)}: {{\n"
        + ",\n".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in part.items())
        + "\n}"
        for key, part in table.items()
    )
    FILE.write_text(f'{{\n{rest},\n"fields": [\n{fields}\n]\n}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
