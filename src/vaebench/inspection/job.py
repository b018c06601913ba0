"""inspect(): what is at a path and how it would be read, before any training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vaebench.core.progress import ProgressCallback, ProgressEvent
from vaebench.data.checks.inspection import Inspection, inspect_images
from vaebench.data.opening import open_images
from vaebench.data.preprocessing import Projection
from vaebench.data.reading import check_readable
from vaebench.data.survey import choose_rule, survey
from vaebench.inspection.page import write_page


def inspect(
    path: str | Path,
    labels: str | Path | Sequence[str | Path] = (),
    page: str | Path | None = None,
    *,
    side: int | None = None,
    projection: Projection | None = None,
    masks: str | Path | None = None,
    callback: ProgressCallback = lambda event: None,
) -> Inspection:
    """Read all images at a path once, and return what they are, how they would be read, and warnings.

    Args:
        path: a folder, an archive or a file of images in any format that is read.
        labels: one or several tables of file and label, which replace the labels that the source has.
        page: HTML file to write, with the warnings, figures and images of every class; none by default.
        side: side in pixels of the square that images are scaled to; by default as
            :func:`vaebench.data.survey.choose_rule` says.
        projection: how the planes of a stack become one image; None leaves stacks out.
        masks: a folder, an archive or a file of masks of two values: where one is 0, the pixel of the image of its name
            is not known.
        callback: receives progress events.

    Raises:
        VaebenchError: there is no image, none can be read, labels are invalid, or the page cannot be written.

    Example:
        >>> inspection = vb.inspect("photos", "labels.csv")  # doctest: +SKIP
        >>> for warning in inspection.warnings:  # doctest: +SKIP
        ...     print(warning)
    """
    path = Path(path).expanduser()
    tables = [Path(table).expanduser() for table in ([labels] if isinstance(labels, str | Path) else labels)]

    def progress(task: str, done: float) -> None:
        callback(ProgressEvent(task, done))

    with open_images(path, tables, projection, masks) as images:
        seen = survey(images, progress)
        check_readable(path, seen.formats.total(), seen.skipped)
        inspection = inspect_images(images, choose_rule(seen, side, projection), seen, progress)
        if page is not None:
            write_page(inspection, images, Path(page), progress)
    return inspection
