"""Names that people give to the columns of files and labels."""

from __future__ import annotations

import re
from collections.abc import Iterable

from vaebench.data.printing import printable

FILE_COLUMNS = (
    "file",
    "filename",
    "file_name",
    "file_path",
    "filepath",
    "image",
    "image_name",
    "image_path",
    "image_file",
    "imagename",
    "imagepath",
    "path",
    "img",
    "img_path",
    "img_name",
    "image_id",
    "name",
)
"""Best first, of two columns that name equally many images."""
ID_COLUMNS = ("id",)
LABEL_COLUMNS = (
    "labels",
    "class",
    "classes",
    "class_name",
    "classname",
    "class_label",
    "label_name",
    "category",
    "category_name",
    "type",
    "species",
    "target",
    "choice",
)
"""Of these one is expected; a column called label goes before them."""
OWN_COLUMNS = ("rank", "guess", "probability", "outlier", "outlier_score", "given")
"""Further columns of the tables that vaebench itself writes."""


def plain(name: str) -> str:
    """Return the name of a column in lower case, with underscores for spaces, hyphens and dots."""
    return re.sub(r"[\s.-]+", "_", name.strip().lower())


def quoted(names: Iterable[str], most: int = 6) -> str:
    """Return names in quotes, separated by commas; all but the first few are left out."""
    shown = [repr(printable(name)[:40]) for name in names]
    return ", ".join(shown[:most]) + (", ..." if len(shown) > most else "")
