"""write_label_page(): a page on which a person labels images with a key for each class, as one self-contained file."""

from __future__ import annotations

import base64
import io
import shlex
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from vaebench import __version__
from vaebench.classification.collection import Collection, default_folder
from vaebench.classification.results import Prediction
from vaebench.core.files import write_text
from vaebench.core.steps import content_key
from vaebench.data.labels.classes import NO_LABEL, UNLABELLED, is_missing
from vaebench.plotting.palette import clean
from vaebench.plotting.templates import script_json, template

SIDE = 256
"""Pixels of the longer side of an image of the page, at most."""
LOSSLESS_BYTES = 30_000
"""Size above which an image is compressed lossily."""
QUALITY = 88


class SavedTable(NamedTuple):
    """The table that the page saves, and the command that reads it."""

    name: str
    given: dict[str, str]
    """Labels by image name that it holds besides those of the page."""
    command: str


def write_label_page(
    folder: Path, collection: Collection, rows: Sequence[int], guesses: Sequence[Prediction] = ()
) -> Path:
    """Write ``label.html`` and return its path.

    Args:
        folder: output folder of the classification.
        collection: the images.
        rows: rows of the images to label, in the order in which they are shown.
        guesses: the prediction for each of them; empty where nothing is predicted.

    Raises:
        VaebenchError: the folder is not writable.
    """
    path = folder / "label.html"
    write_text(path, render(folder, collection, rows, guesses))
    return path


def render(folder: Path, collection: Collection, rows: Sequence[int], guesses: Sequence[Prediction]) -> str:
    """Return the page as HTML, with all names escaped."""
    saved = saved_table(folder, collection)
    lost = [clean(name) for name in collection.classes if is_missing(name)] if saved.given else []
    return template("label.html.j2", "vaebench.classification").render(
        title=clean(collection.title),
        count=len(rows),
        guesses=bool(guesses),
        table=saved.name,
        given=f"{len(saved.given):,}" if saved.given else "",
        tables=bool(collection.reading.labels),
        command=saved.command,
        lost_classes=lost,
        data=script_json(_page_data(collection, rows, guesses, saved)),
        version=__version__,
    )


def saved_table(folder: Path, collection: Collection) -> SavedTable:
    """Return what the page saves, under a name that no table of the collection has.

    Tables replace the labels of folders and of files of images, and add to each other. So the labels that the images
    have are saved with the new ones, unless they are in tables, which the command names again.
    """
    reading = collection.reading
    names = {Path(table).name for table in reading.labels}
    candidates = ("labels.csv" if number == 1 else f"labels-{number}.csv" for number in count(1))
    name = next(each for each in candidates if each not in names)
    arguments = ["vaebench", "classify", str(collection.source)]
    for table in (*reading.labels, name):
        arguments += ["--labels", table]
    arguments += [] if reading.side is None else ["--size", str(reading.side)]
    arguments += [] if reading.projection is None else ["--projection", reading.projection]
    arguments += [] if reading.masks is None else ["--masks", reading.masks]
    arguments += [] if folder.resolve() == default_folder(collection.source).resolve() else ["--out", str(folder)]
    return SavedTable(name, {} if reading.labels else collection.given_labels, clean(shlex.join(arguments)))


def _page_data(
    collection: Collection, rows: Sequence[int], guesses: Sequence[Prediction], saved: SavedTable
) -> dict[str, Any]:
    """Return the data of the page's script as JSON values; names of files are exact, and shown ones are cleaned."""
    names = [collection.names[row] for row in rows]
    images = []
    known: Sequence[Prediction | None] = guesses or [None] * len(names)
    for name, prediction, image in zip(names, known, collection.thumbnails(rows, SIDE), strict=True):
        images.append(
            {
                "file": name,
                "shown": clean(name),
                "guess": None if prediction is None else prediction.label,
                "probability": None if prediction is None else prediction.probability,
                **_picture(image),
            }
        )
    return {
        "images": images,
        "classes": list(collection.classes),
        "given": [list(pair) for pair in saved.given.items()],
        "table": saved.name,
        "noLabel": [*NO_LABEL, *UNLABELLED],
        "storageKey": f"vaebench-labels-{content_key([collection.title, names])}",
    }


def _picture(image: Image.Image) -> dict[str, Any]:
    """Return the image as an address that holds it, and whether its pixels are to be seen when it is enlarged."""
    lossless, lossy = io.BytesIO(), io.BytesIO()
    image.save(lossless, "WEBP", lossless=True)
    pixels = len(lossless.getvalue()) <= LOSSLESS_BYTES
    if not pixels:
        image.save(lossy, "WEBP", quality=QUALITY)
    data = base64.b64encode((lossless if pixels else lossy).getvalue()).decode()
    return {"picture": f"data:image/webp;base64,{data}", "pixels": pixels}
