"""Names of files in messages."""

from __future__ import annotations


def printable(name: str) -> str:
    """Replace each unprintable character, such as a newline or an undecodable byte, by a question mark."""
    return "".join(character if character.isprintable() else "?" for character in name)
