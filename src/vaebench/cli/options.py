"""Options of the command line."""

from __future__ import annotations

import math

from vaebench.core.errors import VaebenchError


def number(flag: str, word: str, whole: bool = False) -> float:
    """A number above 0.

    Raises:
        VaebenchError: the word is no such number.
    """
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf or (whole and value != int(value)):
        raise VaebenchError(f"{flag} is {word!r}; expected a {'whole ' if whole else ''}number above 0")
    return value


def option(words: list[str], flag: str) -> tuple[list[str], str | None]:
    """Take ``flag VALUE`` or ``flag=VALUE`` out of the words."""
    for index, word in enumerate(words):
        if word.startswith(f"{flag}="):
            return words[:index] + words[index + 1 :], word.partition("=")[2]
        if word == flag:
            if index + 1 == len(words):
                raise VaebenchError(f"{flag} needs a value after it")
            return words[:index] + words[index + 2 :], words[index + 1]
    return words, None
