"""Figures of an experiment as PNG files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from vaebench.core.files import write_bytes
from vaebench.plotting.style import STYLE, png

DPI = 100


@dataclass
class FigureWriter:
    """Draws the figures of one experiment; each must have a caption."""

    folder: Path
    captions: Mapping[str, str]
    images: dict[str, bytes] = field(default_factory=dict)
    """PNG bytes of the figures drawn so far, by name."""

    def draw(self, name: str, make: Callable[[], Figure]) -> None:
        """Draw a figure and write it as ``NAME.png``.

        Raises:
            KeyError: the figure has no caption.
        """
        self.captions[name]
        with matplotlib.rc_context(STYLE):
            self.images[name] = png(make(), DPI)
        write_bytes(self.folder / f"{name}.png", self.images[name])

    def publish(self, folder: Path, prefix: str = "") -> None:
        """Write every figure drawn so far as ``PREFIXNAME.png`` into another folder."""
        for name, image in self.images.items():
            write_bytes(folder / f"{prefix}{name}.png", image)
