"""open_images: the images at a path, whatever their format."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from vaebench.core.errors import VaebenchError
from vaebench.data.decoding import DECODERS, suffix_of
from vaebench.data.folder import Arrangement, file_set
from vaebench.data.formats import CONTAINERS, container_suffix, open_container_folder
from vaebench.data.image_set import ImageSet, natural_order, select_rows
from vaebench.data.label_files import read_labels
from vaebench.data.listing import ARCHIVES, Contents, Files, list_file, open_contents, open_files
from vaebench.data.printing import printable

EXPECTED = "expected a folder, an archive (.zip, .tar) or a file of images"


@contextmanager
def open_images(
    path: str | Path, labels: Sequence[Path] = (), projection: str | None = None, *, labelled: bool = True
) -> Iterator[ImageSet]:
    """List the images at a path; they can be read until the context ends.

    Args:
        path: a folder of image files or of files in one of :data:`CONTAINERS`, an archive of image files, a file in one
            of :data:`CONTAINERS`, or a single image.
        labels: tables of file and label, which replace the labels that the source has.
        projection: how the planes of a stack become one image: "max", "mean" or "first".
        labelled: False takes image files wherever they lie, and gives them neither labels nor parts.

    Raises:
        VaebenchError: the path does not exist, has no image, or is in no format that is read; labels are invalid.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise VaebenchError(f"{path} does not exist; {EXPECTED}")
    arrangement: Arrangement = "none" if not labelled else "parts" if labels else "labels"
    with _open(path, arrangement, projection) as images:
        if not len(images) and not images.left_out:
            raise VaebenchError(f"{path} contains no image; {EXPECTED}")
        yield _with_tables(images, labels) if labels else images


class NamedImages:
    """Images at a path, selected by the names that they were listed under; files of a folder are not listed again.

    What is opened stays so, and serves further selections, as long as the object is referenced.

    Args:
        path: as for :func:`open_images`.
        projection: how the planes of a stack become one image.
    """

    def __init__(self, path: str | Path, projection: str | None = None) -> None:
        self.path, self.projection = Path(path).expanduser(), projection
        self.stack = ExitStack()

    @cached_property
    def _contents(self) -> Contents:
        return open_contents(self.path)

    @cached_property
    def _whole(self) -> tuple[ImageSet, dict[str, int]]:
        images = self.stack.enter_context(open_images(self.path, (), self.projection))
        return images, {name: row for row, name in enumerate(images.names)}

    def select(self, names: Sequence[str]) -> ImageSet:
        """Return the images of these names, in this order, without labels.

        Raises:
            VaebenchError: as :func:`open_images`, or a name is not among the images.
        """
        archive = self.path.name.lower().endswith(ARCHIVES) and not container_suffix(self.path)
        if archive or (names and self.path.is_dir() and self.path.joinpath(names[0]).exists()):
            parts = tuple(tuple(name.split("/")) for name in names)
            return file_set(Files(self.path, parts, frozenset(), *self._contents), self.projection, "none")
        images, rows = self._whole
        if missing := [name for name in names if name not in rows]:
            raise VaebenchError(
                f"{self.path} has no image {printable(missing[0])}; expected what was found there before"
            )
        return select_rows(images, [rows[name] for name in names])


@contextmanager
def _open(path: Path, arrangement: Arrangement, projection: str | None) -> Iterator[ImageSet]:
    if path.is_dir() and (images := open_container_folder(path)) is not None:
        yield images
    elif path.is_file() and (suffix := container_suffix(path)):
        yield CONTAINERS[suffix](path)
    elif path.is_dir() or path.name.lower().endswith(ARCHIVES):
        with open_files(path) as files:
            yield file_set(files, projection, arrangement)
    elif suffix_of(path.name) in DECODERS:
        yield file_set(list_file(path), projection, "none")
    else:
        known = ", ".join([*CONTAINERS, *DECODERS])
        raise VaebenchError(f"{path} is in no format that is read; {EXPECTED}: {known}")


def _with_tables(images: ImageSet, tables: Sequence[Path]) -> ImageSet:
    table = read_labels(tables, images.names, images.title)
    labels = tuple(table.labels.get(name, "") for name in images.names)
    classes = tuple(sorted(set(labels) - {""}, key=natural_order))
    return replace(images, labels=labels, classes=classes, warnings=(*images.warnings, *table.warnings))
