"""write_page(): an inspection as one self-contained HTML page."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from vaebench import __version__
from vaebench.core.files import write_text
from vaebench.data.checks.evidence import ImageWarning
from vaebench.data.checks.inspection import Inspection
from vaebench.data.image_set import ImageSet
from vaebench.data.images import Progress, ignore_progress
from vaebench.data.pictures import thumbnail
from vaebench.inspection import figures
from vaebench.inspection.text import capitalised, count_rows, facts, summary
from vaebench.plotting.channels import is_composite
from vaebench.plotting.palette import clean
from vaebench.plotting.style import png
from vaebench.plotting.templates import template

THUMBNAIL = 96
MAX_UNREADABLE = 100
LONG_TABLE = 25
"""Rows above which a table scrolls."""


class Picture(NamedTuple):
    """An image of the page."""

    base64: str
    name: str
    label: str


class Drawn(NamedTuple):
    """A figure of the page."""

    title: str
    caption: str
    base64: str
    width: int


def write_page(inspection: Inspection, images: ImageSet, path: Path, progress: Progress = ignore_progress) -> None:
    """Write the page, with small pictures that are read from the open set.

    Raises:
        VaebenchError: the file cannot be written.
    """
    write_text(path, render(inspection, images, progress))


def render(inspection: Inspection, images: ImageSet, progress: Progress = ignore_progress) -> str:
    """Return the page as HTML, with all names escaped."""
    page = template("page.html.j2", "vaebench.inspection", thousands=lambda value: f"{value:,}")
    unreadable = [(clean(name), clean(reason)) for name, reason in inspection.unreadable.items()]
    return page.render(
        title=clean(inspection.title),
        inspection=inspection,
        summary=summary(inspection),
        warnings=[_warning(each, inspection, images) for each in inspection.warnings],
        counts=count_rows(inspection),
        long=len(inspection.counts) > LONG_TABLE,
        figures=_figures(inspection, images),
        classes=_classes(inspection, images, progress),
        hidden_classes=sum(name not in inspection.examples for name in inspection.classes),
        facts=facts(inspection),
        unreadable=unreadable[:MAX_UNREADABLE],
        version=__version__,
    )


def _warning(warning: ImageWarning, inspection: Inspection, images: ImageSet) -> tuple[str, str, list[Picture]]:
    return clean(capitalised(warning.sentence)), warning.advice, _pictures(warning.rows, inspection, images)


def _classes(inspection: Inspection, images: ImageSet, progress: Progress) -> list[tuple[str, list[Picture]]]:
    """Title and pictures of each class that is shown."""
    classes = []
    for number, (name, rows) in enumerate(inspection.examples.items(), start=1):
        classes.append((_class_title(inspection, name), _pictures(rows, inspection, images)))
        progress(f"drawing {inspection.title}", number / len(inspection.examples))
    return classes


def _class_title(inspection: Inspection, name: str) -> str:
    title = clean(name) or ("no label" if inspection.classes else "images")
    count = sum(inspection.counts[name].values())
    return f"{title}: {count:,} image{'' if count == 1 else 's'}"


def _pictures(rows: Sequence[int], inspection: Inspection, images: ImageSet) -> list[Picture]:
    """Small pictures of stored images with their names and labels."""
    pictures = []
    for row in rows:
        image = thumbnail(images, row, inspection.rule, THUMBNAIL)
        if image is None:
            continue
        data = io.BytesIO()
        image.save(data, "PNG")
        label_and_part = (images.labels[row] if images.labels else "", images.parts[row] if images.parts else "")
        label = ", ".join(clean(each) for each in label_and_part if each)
        pictures.append(Picture(base64.b64encode(data.getvalue()).decode(), clean(images.names[row]), label))
    return pictures


def _figures(inspection: Inspection, images: ImageSet) -> list[Drawn]:
    """The figures that have something to show."""
    chosen: list[tuple[str, str, Callable[[Inspection], Figure], bool]] = [
        (
            "Classes",
            "Readable images of each class" + (", by part." if len(inspection.parts) > 1 else "."),
            figures.class_counts,
            0 < len(inspection.classes) <= figures.MAX_CLASSES,
        ),
        (
            "Stored values",
            "Histograms of the values of a sample of at most 1,000 images, on a logarithmic axis. Values between the "
            "dashed lines are kept; others become the nearer end.",
            figures.value_histograms,
            any(channel.counts for channel in inspection.channels),
        ),
        (
            "Sizes",
            "Width and height of the stored images; larger dots stand for more images. On the dashed line are squares.",
            figures.image_sizes,
            len(inspection.sizes) > 1,
        ),
        (
            "Channels alone",
            "Some images as they would be read, first as the composite the other pictures of this page show, "
            "then each channel alone in grey.",
            lambda inspection: figures.channels(inspection, images),
            is_composite(inspection.rule.channels, inspection.rule.channel_names),
        ),
    ]
    return [_drawn(title, caption, draw(inspection)) for title, caption, draw, shown in chosen if shown]


def _drawn(title: str, caption: str, figure: Figure) -> Drawn:
    return Drawn(title, caption, base64.b64encode(png(figure)).decode(), round(figure.get_figwidth() * 100))
