"""Style of the figures, colours and markers of the representations, and text that figures can draw."""

from __future__ import annotations

import io
from collections.abc import Iterable
from functools import cache
from typing import Any
from zlib import crc32

import matplotlib
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from vaebench.plotting.palette import clean, shortened

DPI = 150
INK = "#1f2933"
FAINT = "#9aa5b1"

STYLE: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"), INK),
    **dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color"), FAINT),
    "axes.linewidth": 0.8,
    **dict.fromkeys(("axes.spines.top", "axes.spines.right", "axes.grid", "legend.frameon"), False),
    "axes.axisbelow": True,
    "grid.color": "#e4e7eb",
    "grid.linewidth": 0.8,
    "text.parse_math": False,  # a class named "$5" is a name, not a formula
    "axes.unicode_minus": True,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "lines.linewidth": 1.5,
}
"""Matplotlib settings; figures are created and saved inside ``matplotlib.rc_context(STYLE)``."""

REPRESENTATIONS: dict[str, tuple[str, str, str]] = {
    "self-trained": ("self-trained VAE", "#cc79a7", "p"),
    "graph": ("VAE latents on a graph", "#882255", "h"),
    "vae": ("VAE latents", "#d55e00", "o"),
    "vae-sampled": ("VAE latents, sampled", "#e69f00", "D"),
    "autoencoder": ("plain autoencoder", "#0072b2", "s"),
    "pixels": ("raw pixels", "#333333", "^"),
    "pca": ("PCA", "#56b4e9", "v"),
    "random": ("random encoder", "#999999", "X"),
    "images": ("supervised network", "#009e73", "P"),
    "m2": ("M2", "#7570b3", "<"),
    "adgm": ("ADGM", "#66a61e", ">"),
    "information-bottleneck": ("information bottleneck", "#a6761d", "d"),
}
"""Title, colour (Okabe and Ito's palette, distinguishable with colour blindness) and marker of each representation."""


OTHER_COLOURS, OTHER_MARKERS = ("#1b4f72", "#7b241c", "#196f3d", "#6c3483"), "*<>dH"


def representation_look(features: str) -> tuple[str, str, str]:
    """Title, colour and marker of a representation; those of a method named by the user depend on its name."""
    if features in REPRESENTATIONS:
        return REPRESENTATIONS[features]
    number = crc32(features.encode())
    return clean(features), OTHER_COLOURS[number % len(OTHER_COLOURS)], OTHER_MARKERS[number % len(OTHER_MARKERS)]


def representation_title(features: str) -> str:
    """Return the title of a representation."""
    return representation_look(features)[0]


def signed(value: float, form: str) -> str:
    """Format a number with its sign, a minus sign instead of a hyphen; zero has no sign."""
    text = format(value, f"+{form}").replace("-", "\N{MINUS SIGN}")
    return text if value else text.lstrip("+")


def class_names(classes: Iterable[str], length: int = 18) -> list[str]:
    """Return names for figures; a name with glyphs that the font lacks becomes "class 3"."""
    names = []
    for index, name in enumerate(map(clean, classes)):
        drawable = bool(name.strip()) and {ord(c) for c in name} <= _glyphs()
        names.append(shortened(name, length) if drawable else f"class {index}")
    return names


@cache
def _glyphs() -> frozenset[int]:
    path = font_manager.findfont(font_manager.FontProperties(family=STYLE["font.family"]))
    return frozenset(font_manager.get_font(path).get_charmap())


def png(figure: Figure, dpi: int = DPI) -> bytes:
    """Return the figure as PNG bytes, without metadata so that equal figures give equal bytes."""
    image = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        FigureCanvasAgg(figure)
        figure.savefig(image, format="png", dpi=dpi, metadata={"Software": None})
    return image.getvalue()
