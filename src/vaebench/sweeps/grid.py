"""The trials of a sweep: every combination of a grid and seeds, each in a folder named by a hash of its recipe."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

from vaebench.core.errors import VaebenchError
from vaebench.runs.overrides import apply_overrides
from vaebench.runs.recipe import Recipe

MAX_TRIALS = 10_000


class Axis(NamedTuple):
    """A recipe field and its values, as written on the command line."""

    field: str
    values: tuple[str, ...]


class Trial(NamedTuple):
    """One combination of axis values with its complete recipe, including the seed."""

    values: dict[str, str]
    recipe: Recipe

    @property
    def key(self) -> str:
        """Hash of the recipe without its name and compute settings, so that it is the same on every machine."""
        content = self.recipe.model_dump(mode="json", exclude={"name", "compute"})
        return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=8).hexdigest()

    @property
    def description(self) -> str:
        """Values and seed in words, for progress messages."""
        return ", ".join([*(f"{field} {value}" for field, value in self.values.items()), f"seed {self.recipe.seed}"])

    def recipe_with(self, threads: int) -> Recipe:
        """The recipe with this number of threads, unless it sets one."""
        compute = self.recipe.compute.model_copy(update={"threads": self.recipe.compute.threads or threads})
        return self.recipe.model_copy(update={"compute": compute})


def axis(argument: str) -> Axis:
    """Parse ``model.latent=2,3,5``, or ``training.batch=[64, 128]`` with values as JSON.

    Raises:
        VaebenchError: the field or the values are missing, or a value is given twice.
    """
    field, equals, text = argument.partition("=")
    field = field.removeprefix("--").replace("-", "_")
    parsed: Sequence[Any]
    try:
        parsed = json.loads(text) if text.startswith("[") else [value for value in text.split(",") if value]
    except ValueError as error:
        raise VaebenchError(f"--grid {argument!r}: {text!r} looks like JSON, but is not: {error}") from error
    values = tuple(value if isinstance(value, str) else json.dumps(value) for value in parsed)
    if not (field and equals and values):
        raise VaebenchError(f"--grid is {argument!r}; expected a field and its values, such as model.latent=2,3,5")
    if len(set(values)) < len(values):
        raise VaebenchError(f"--grid {argument!r} names a value twice; expected each once")
    return Axis(field, values)


def trials(base: Recipe, axes: Sequence[Axis], seeds: int) -> list[Trial]:
    """Return every combination of values with ``seeds`` seeds, counted from that of the recipe.

    Raises:
        VaebenchError: a field is given twice or unknown, a value is invalid, or there are more than 10,000 trials.
    """
    fields = [each.field for each in axes]
    if "seed" in fields or len(set(fields)) < len(fields):
        wrong = "seed; leave it out and give --seeds" if "seed" in fields else "a field twice; expected each once"
        raise VaebenchError(f"--grid names {wrong}")
    count = seeds * math.prod(len(each.values) for each in axes)
    if count > MAX_TRIALS:
        raise VaebenchError(f"the grid has {count:,} trials; expected at most {MAX_TRIALS:,}: take fewer values")
    grid = []
    for values in product(*(each.values for each in axes)):
        chosen = dict(zip(fields, values, strict=True))
        options = [word for field, value in chosen.items() for word in (f"--{field}", value)]
        recipe = apply_overrides(base, options, f"recipe {base.name}")
        grid += [Trial(chosen, recipe.model_copy(update={"seed": base.seed + seed})) for seed in range(seeds)]
    return grid
