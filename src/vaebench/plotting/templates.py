"""template(): a page's template; what is put into it is escaped, what is missing is an error."""

from __future__ import annotations

from collections.abc import Callable

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, Template


def template(name: str, package: str, **filters: Callable[..., str]) -> Template:
    """A file of ``package``, which may use the tables and the style of the reports, and ``filters`` by name."""
    loader = ChoiceLoader([PackageLoader(package, ""), PackageLoader("vaebench.plotting", "")])
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    environment.filters.update(filters)
    return environment.get_template(name)
