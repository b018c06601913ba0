"""open_images: the images at a path, whatever their format."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from vaebench.core.errors import VaebenchError
from vaebench.data.decoding import DECODERS, suffix_of
from vaebench.data.folder import Arrangement, file_set
from vaebench.data.formats import (
    CONTAINERS,
    container_suffix,
    holds_containers,
    open_container_archive,
    open_container_folder,
)
from vaebench.data.image_set import ImageSet, natural_order, select_rows
from vaebench.data.label_files import read_labels
from vaebench.data.listing import (
    ARCHIVES,
    DEPTH,
    Contents,
    Files,
    list_archive,
    list_file,
    list_folder,
    open_archive,
    open_contents,
    open_files,
    without_folder,
)
from vaebench.data.masks import with_masks
from vaebench.data.printing import printable

EXPECTED = "expected a folder, an archive (.zip, .tar) or a file of images"


@contextmanager
def open_images(
    path: str | Path,
    labels: Sequence[Path] = (),
    projection: str | None = None,
    masks: str | Path | None = None,
    *,
    labelled: bool = True,
) -> Iterator[ImageSet]:
    """List the images at a path; they can be read until the context ends.

    Args:
        path: a folder of image files or of files in one of :data:`CONTAINERS`, an archive of image files, a file in one
            of :data:`CONTAINERS`, or a single image.
        labels: tables of file and label, which replace the labels that the source has.
        projection: how the planes of a stack become one image: "max", "mean" or "first".
        masks: images of two values whose zeros mark unknown pixels, as :func:`with_masks` matches them: a path like
            ``path``, or ``path`` itself for the masks that lie in it.
        labelled: False takes image files wherever they lie, and gives them neither labels nor parts.

    Raises:
        VaebenchError: the path does not exist, has no image, or is in no format that is read; labels are invalid.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise VaebenchError(f"{path} does not exist; {EXPECTED}")
    arrangement: Arrangement = "none" if not labelled else "parts" if labels else "labels"
    masks = None if masks is None else Path(masks).expanduser()
    with ExitStack() as stack:
        images = stack.enter_context(_open(path, arrangement, projection, masks))
        if not len(images) and not images.left_out:
            raise VaebenchError(f"{path} contains no image; {EXPECTED}")
        if masks is not None:
            images = with_masks(images, stack.enter_context(_open_masks(masks, path)))
        yield _with_tables(images, labels) if labels else images


class NamedImages:
    """Images at a path, selected by the names that they were listed under; files of a folder are not listed again.

    What is opened stays so, and serves further selections, as long as the object is referenced.

    Args:
        path: as for :func:`open_images`.
        projection: how the planes of a stack become one image.
        masks: as for :func:`open_images`; with them, all images and masks are listed.
    """

    def __init__(self, path: str | Path, projection: str | None = None, masks: str | Path | None = None) -> None:
        self.path, self.projection, self.masks = Path(path).expanduser(), projection, masks
        self.stack = ExitStack()

    @cached_property
    def _contents(self) -> Contents:
        return open_contents(self.path)

    @cached_property
    def _is_of_files(self) -> bool:
        """Whether it is an archive of image files."""
        if not _is_archive(self.path) or container_suffix(self.path):
            return False
        with closing(open_archive(self.path)) as archive:
            return not holds_containers(archive)

    @cached_property
    def _whole(self) -> tuple[ImageSet, dict[str, int]]:
        images = self.stack.enter_context(open_images(self.path, (), self.projection, self.masks))
        return images, {name: row for row, name in enumerate(images.names)}

    def select(self, names: Sequence[str]) -> ImageSet:
        """Return the images of these names, in this order, without labels.

        Raises:
            VaebenchError: as :func:`open_images`, or a name is not among the images.
        """
        of_files = self._is_of_files or (names and self.path.is_dir() and self.path.joinpath(names[0]).exists())
        if of_files and self.masks is None:
            parts = tuple(tuple(name.split("/")) for name in names)
            return file_set(Files(self.path, parts, frozenset(), *self._contents), self.projection, "none")
        images, rows = self._whole
        if missing := [name for name in names if name not in rows]:
            raise VaebenchError(
                f"{self.path} has no image {printable(missing[0])}; expected what was found there before"
            )
        return select_rows(images, [rows[name] for name in names])


@contextmanager
def _open(path: Path, arrangement: Arrangement, projection: str | None, masks: Path | None) -> Iterator[ImageSet]:
    if path.is_dir() and (images := open_container_folder(path)) is not None:
        yield images
    elif path.is_file() and (suffix := container_suffix(path)):
        yield CONTAINERS[suffix](path)
    elif _is_archive(path):
        with closing(open_archive(path)) as archive:
            if holds_containers(archive):
                with open_container_archive(path, archive) as images:
                    yield images
            else:
                yield file_set(_without_masks(list_archive(path, archive), masks), projection, arrangement)
    elif path.is_dir():
        yield file_set(_without_masks(list_folder(path, DEPTH), masks), projection, arrangement)
    elif suffix_of(path.name) in DECODERS:
        yield file_set(list_file(path), projection, "none")
    else:
        known = ", ".join([*CONTAINERS, *DECODERS])
        raise VaebenchError(f"{path} is in no format that is read; {EXPECTED}: {known}")


def _is_archive(path: Path) -> bool:
    return path.is_file() and path.name.lower().endswith(ARCHIVES)


def _without_masks(files: Files, masks: Path | None) -> Files:
    """Return the files that are no masks, where the masks are given and lie among them."""
    try:
        return (
            files if masks is None else without_folder(files, masks.resolve().relative_to(files.root.resolve()).parts)
        )
    except ValueError:
        return files


@contextmanager
def _open_masks(path: Path, of: Path) -> Iterator[ImageSet]:
    """List the masks at a path; where the images themselves lie there, those that are masks by their names."""
    if not path.exists() or path.resolve() != of.resolve():
        with open_images(path, labelled=False) as masks:
            yield masks
        return
    if not path.is_dir() and not _is_archive(path):
        raise VaebenchError(
            f"masks is {path}, the file of the images; expected another one: in a file of arrays an array called known "
            "is read without this option"
        )
    with open_files(path) as files:
        if not files.masks:
            raise VaebenchError(
                f"{path} has no mask; expected NAME_mask.png beside NAME.png, or a folder masks beside images: give "
                "the folder of the masks"
            )
        yield file_set(replace(files, images=files.masks, masks=(), others=()), None, "none")


def _with_tables(images: ImageSet, tables: Sequence[Path]) -> ImageSet:
    table = read_labels(tables, images.names, images.title)
    labels = tuple(table.labels.get(name, "") for name in images.names)
    classes = tuple(sorted(set(labels) - {""}, key=natural_order))
    return replace(images, labels=labels, classes=classes, warnings=(*images.warnings, *table.warnings))
