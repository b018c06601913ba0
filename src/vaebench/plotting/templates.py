"""Jinja templates of the pages, those of HTML with autoescaping; undefined variables are errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, Template, select_autoescape


def template(name: str, package: str, **filters: Callable[..., str]) -> Template:
    """Return a template of ``package``, which can include the shared tables and style and use ``filters``."""
    loader = ChoiceLoader([PackageLoader(package, ""), PackageLoader("vaebench.plotting", "")])
    environment = Environment(loader=loader, autoescape=select_autoescape(["html.j2"]), undefined=StrictUndefined)
    environment.filters.update(filters)
    return environment.get_template(name)


def script_json(value: Any) -> str:
    """Return JSON that is safe inside a script element; characters beyond ASCII, also surrogates, are escaped."""
    text = json.dumps(value, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
