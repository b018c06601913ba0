"""Colours and markers of the classes, and cleaning of displayed names."""

from __future__ import annotations

import unicodedata

CLASS_COLOURS = (
    "#3f90da",
    "#ffa90e",
    "#bd1f01",
    "#94a4a2",
    "#832db6",
    "#a96b59",
    "#e76300",
    "#b9ac70",
    "#717581",
    "#92dadd",
)
"""Petroff 2021, "Accessible color sequences for data visualization" (arXiv:2107.02270)."""
CLASS_MARKERS = ("o", "^", "s", "D", "v", "P")


def class_style(index: int) -> tuple[str, str]:
    """Return colour and marker of a class: ten colours, which repeat with the next marker."""
    marker = CLASS_MARKERS[index // len(CLASS_COLOURS) % len(CLASS_MARKERS)]
    return CLASS_COLOURS[index % len(CLASS_COLOURS)], marker


def clean(text: str) -> str:
    """Return the text on one line, without control, direction-changing or unpaired surrogate characters."""
    spaced = "".join(" " if c.isspace() else c for c in text)
    return "".join(c for c in spaced if not unicodedata.category(c).startswith("C"))


def shortened(text: str, length: int) -> str:
    """Truncate text to ``length`` characters, with an ellipsis."""
    return text if len(text) <= length else text[: length - 1] + "…"
