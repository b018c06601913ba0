"""Sphinx's settings; `make site` builds the pages with scripts/build_site.py."""

import re
from typing import Any

from vaebench import __version__

project = "vaebench"
author = "the vaebench authors"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
napoleon_use_ivar = True
suppress_warnings = ["ref.python"]  # names that two modules have
myst_heading_anchors = 4
html_theme = "furo"
html_title = f"vaebench {__version__}"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True}
autodoc_default_options["exclude-members"] = ", ".join(  # scikit-learn's own, in the markup of its own site
    f"set_{what}_request" for what in ("fit", "transform", "inverse_transform", "predict", "score", "score_samples")
)
autodoc_mock_imports = ["ray"]
add_module_names = False
highlight_language = "none"


def plain(app: Any, what: str, name: str, thing: object, options: Any, lines: list[str]) -> None:
    """Docstrings are plain text: |x| and *shape are no markup, nor is the colon of an attribute's first line."""
    marks = r"[|*:]" if what in ("attribute", "data", "property") else r"[|*]"
    for index, line in enumerate(lines):
        parts = re.split(r"(``[^`]*``|:\w+:`[^`]*`)", line)  # code and references stay as they are
        parts[::2] = [re.sub(marks, r"\\\g<0>", part) for part in parts[::2]]
        lines[index] = "".join(parts)


def setup(app: Any) -> None:
    """Sphinx asks for it."""
    app.connect("autodoc-process-docstring", plain, priority=400)
