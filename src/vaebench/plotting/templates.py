"""Jinja templates of the pages, those of HTML with autoescaping; undefined variables are errors."""

from __future__ import annotations

from collections.abc import Callable

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, Template, select_autoescape


def template(name: str, package: str, **filters: Callable[..., str]) -> Template:
    """Return a template of ``package``, which can include the shared tables and style and use ``filters``."""
    loader = ChoiceLoader([PackageLoader(package, ""), PackageLoader("vaebench.plotting", "")])
    environment = Environment(loader=loader, autoescape=select_autoescape(["html.j2"]), undefined=StrictUndefined)
    environment.filters.update(filters)
    return environment.get_template(name)
