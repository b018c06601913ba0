"""Rows of labels in JSON: records, pairs, columns, COCO's categories, and exports of Label Studio."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from vaebench.core.errors import VaebenchError
from vaebench.data.labels.names import FILE_COLUMNS, plain

JSON_LINES = (".jsonl", ".ndjson")
Rows = tuple[tuple[str, ...], list[list[str]]]
"""Names of the columns, and the fields of each row."""
FORMS = (
    'a list of records such as {"file": "a.png", "label": "cat"}, an object such as {"a.png": "cat"}, or COCO\'s '
    "images, annotations and categories"
)


def read_json_rows(path: Path, text: str) -> Rows:
    """Return the columns and rows of a JSON file, or of JSON lines.

    Raises:
        VaebenchError: the file is not JSON, or its values are of no form that is known.
    """
    value = _parse(path, text)
    if isinstance(value, dict) and len(value) == 1 and isinstance(next(iter(value.values())), list):
        (only,) = value.values()  # such as {"labels": [...]} around a list of records or pairs
        value = only if only and isinstance(only[0], dict | list) else value
    try:
        if isinstance(value, list):
            return _from_list(value)
        if isinstance(value, dict) and {"images", "annotations", "categories"} <= value.keys():
            return _from_coco(value)
        if isinstance(value, dict):
            return _from_object(value)
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        if isinstance(error, VaebenchError):
            raise VaebenchError(f"{path}: {error}") from error
        raise VaebenchError(f"{path} has an unknown form; expected {FORMS}") from error
    raise VaebenchError(f"{path} has an unknown form; expected {FORMS}")


def _parse(path: Path, text: str) -> Any:
    try:
        if path.suffix.lower() not in JSON_LINES:
            return json.loads(text)
    except (ValueError, RecursionError) as error:
        if path.suffix.lower() == ".json" and len(text.strip().splitlines()) < 2:
            raise VaebenchError(f"{path} is not valid JSON ({error}); expected {FORMS}") from error
    records = []
    for number, line in enumerate(text.split("\n"), 1):
        try:
            records += [json.loads(line)] if line.strip() else []
        except (ValueError, RecursionError) as error:
            raise VaebenchError(f"{path}, line {number}: not valid JSON ({error}); expected {FORMS}") from error
    return records


def _from_list(values: list[Any]) -> Rows:
    if values and all(isinstance(value, list) and len(value) == 2 for value in values):
        return ("file", "label"), [[_text(file), _text(label)] for file, label in values]
    records = [_from_label_studio(record) if "annotations" in record else record for record in values]
    columns = tuple(dict.fromkeys(name for record in records for name in record))
    return columns, [[_text(record.get(name)) for name in columns] for record in records]


def _from_label_studio(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the file and the choice of a task; the last annotation counts, and one that was cancelled does not."""
    files = [value for name, value in record["data"].items() if plain(name) in FILE_COLUMNS]
    done = [annotation for annotation in record["annotations"] if not annotation.get("was_cancelled")]
    results = done[-1]["result"] if done else []
    choices = [choice for result in results for choice in result["value"].get("choices", [])]
    return {"file": files[0] if files else next(iter(record["data"].values())), "label": choices}


def _from_coco(value: Mapping[str, Any]) -> Rows:
    files = {image["id"]: image["file_name"] for image in value["images"]}
    classes = {category["id"]: category["name"] for category in value["categories"]}
    rows = [[_text(files[a["image_id"]]), _text(classes[a["category_id"]])] for a in value["annotations"]]
    return ("file", "label"), rows


def _from_object(value: dict[str, Any]) -> Rows:
    """Return the rows of {file: label}, {file: {"label": ...}}, {column: values} or {class: files}."""
    kinds = {type(member) for member in value.values()}
    named = any(plain(name) in FILE_COLUMNS for name in value)
    if kinds <= {dict} and named:
        columns = {name: list(column.values()) for name, column in value.items()}
        return _from_columns(
            columns, lambda: all(column.keys() == next(iter(value.values())).keys() for column in value.values())
        )
    if kinds <= {list} and named:
        return _from_columns(value, lambda: True)
    if kinds <= {dict}:
        return _from_list([{"file": file, **record} for file, record in value.items()])
    if kinds <= {list} and all(isinstance(file, str) for files in value.values() for file in files):
        return ("file", "label"), [[file, name] for name, files in value.items() for file in files]
    return ("file", "label"), [[file, _text(label)] for file, label in value.items()]


def _from_columns(columns: Mapping[str, list[Any]], aligned: Callable[[], bool]) -> Rows:
    if len({len(column) for column in columns.values()}) != 1 or not aligned():
        raise VaebenchError(f"the columns {_quoted(columns)} have different lengths; expected one value a file in each")
    return tuple(columns), [list(map(_text, row)) for row in zip(*columns.values(), strict=True)]


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))


def _text(value: Any) -> str:
    """Return a value as a field of a CSV file; null and an empty list are no value."""
    if isinstance(value, list) and len(value) < 2:
        value = value[0] if value else None
    if isinstance(value, list | dict):
        return json.dumps(value)
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else str(value)
