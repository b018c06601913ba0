"""A recipe x a grid x seeds: trials, each in a folder named by what decides its numbers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

from vaebench.core.errors import VaebenchError
from vaebench.runs.overrides import apply_overrides
from vaebench.runs.recipe import Recipe

MOST_TRIALS = 10_000


class Axis(NamedTuple):
    """A field of the recipe and the values that it takes, as words of the command line."""

    field: str
    values: tuple[str, ...]


class Trial(NamedTuple):
    """One training: the values of the axes, its seed, and the recipe that they make."""

    values: dict[str, str]
    recipe: Recipe

    @property
    def key(self) -> str:
        """Named by content: the same for the same recipe and seed, wherever and however fast it is computed."""
        content = self.recipe.model_dump(mode="json", exclude={"name", "compute"})
        return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=8).hexdigest()

    @property
    def words(self) -> str:
        """For a line of progress."""
        return ", ".join([*(f"{field} {value}" for field, value in self.values.items()), f"seed {self.recipe.seed}"])


def axis(word: str) -> Axis:
    """``model.latent=2,3,5``, or ``training.batch=[64, 128]`` with values as JSON.

    Raises:
        VaebenchError: no field, no values, or one value twice.
    """
    field, equals, text = word.partition("=")
    field = field.removeprefix("--").replace("-", "_")
    values: Sequence[Any]
    try:
        values = json.loads(text) if text.startswith("[") else [value for value in text.split(",") if value]
    except ValueError as error:
        raise VaebenchError(f"--grid {word!r}: {text!r} looks like JSON, but is not: {error}") from error
    words = tuple(value if isinstance(value, str) else json.dumps(value) for value in values)
    if not (field and equals and words):
        raise VaebenchError(f"--grid is {word!r}; expected a field and its values, such as model.latent=2,3,5")
    if len(set(words)) < len(words):
        raise VaebenchError(f"--grid {word!r} names a value twice; expected each once")
    return Axis(field, words)


def trials(base: Recipe, axes: Sequence[Axis], seeds: int) -> list[Trial]:
    """Every combination of values, each with as many seeds, counted from the recipe's own.

    Raises:
        VaebenchError: a field twice, one that does not exist or a value that does not fit, or far too many trials.
    """
    fields = [each.field for each in axes]
    if "seed" in fields or len(set(fields)) < len(fields):
        wrong = "seed; leave it out and give --seeds" if "seed" in fields else "a field twice; expected each once"
        raise VaebenchError(f"--grid names {wrong}")
    count = seeds
    for each in axes:
        count *= len(each.values)
    if count > MOST_TRIALS:
        raise VaebenchError(f"the grid has {count:,} trials; expected at most {MOST_TRIALS:,}: take fewer values")
    found = []
    for values in product(*(each.values for each in axes)):
        chosen = dict(zip(fields, values, strict=True))
        words = [word for field, value in chosen.items() for word in (f"--{field}", value)]
        recipe = apply_overrides(base, words, f"recipe {base.name}")
        found += [Trial(chosen, recipe.model_copy(update={"seed": base.seed + seed})) for seed in range(seeds)]
    return found
