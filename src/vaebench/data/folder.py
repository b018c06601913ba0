"""Image files of a folder or archive as an ImageSet: parts, class folders, and tables of labels among the files."""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from vaebench.core.errors import VaebenchError
from vaebench.data.decoding import Options, decode, describe, suffix_of
from vaebench.data.image_set import PARTS, ImageFormat, ImageSet, RawImage, UnreadableImageError, natural_order
from vaebench.data.label_files import read_labels
from vaebench.data.labels.classes import UNLABELLED
from vaebench.data.listing import Files, PathParts, outer_folders
from vaebench.data.masks import IMAGE_FOLDERS
from vaebench.data.printing import printable

METADATA = ("metadata.csv", "metadata.jsonl")
"""Tables of labels that exporters put beside the images."""
TABLES = (".csv", ".tsv", ".json", ".jsonl")


@dataclass(frozen=True)
class Layout:
    """Part and class of each image, as the folders say."""

    parts: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


Arrangement = Literal["labels", "parts", "none"]
"""What folders mean: parts and classes, parts alone, or nothing."""


def file_set(files: Files, projection: str | None = None, arrangement: Arrangement = "labels") -> ImageSet:
    """Return the images of a folder or archive.

    The part is the outermost folder, if the folders are called train, val (valid, validation) or test (testing), in any
    case. Labels are the folders below, except "unlabelled"; without any, those of metadata.csv beside the images.

    Args:
        files: the listed files.
        projection: how planes of a stack become one image.
        arrangement: "parts" ignores class folders and tables of labels, as labels are given otherwise; "none" ignores
            the names of parts, too.

    Raises:
        VaebenchError: an arrangement of folders that cannot be interpreted.
    """
    layout = Layout() if arrangement == "none" else arrange(files, arrangement == "labels")
    names = tuple("/".join(parts) for parts in files.images)
    options = Options(projection=projection)

    def describe_row(row: int) -> ImageFormat:
        return describe(_read(files, row), names[row], options)

    def read_row(row: int, at_least: int | None = None) -> RawImage:
        return decode(_read(files, row), names[row], options._replace(at_least=at_least))

    images = ImageSet(
        path=files.root,
        title=files.title,
        names=names,
        describe=describe_row,
        read=read_row,
        fingerprint=lambda: _fingerprint(files),
        parts=layout.parts,
        labels=layout.labels,
        classes=_classes(layout.labels),
        warnings=(*layout.warnings, *_ignored(files)),
        other_files=dict(Counter(suffix_of(parts[-1]) or printable(parts[-1]) for parts in files.others)),
        threads=True,
    )
    return images if images.classes or arrangement != "labels" else _with_metadata(images, files)


def _classes(labels: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(labels) - {""}, key=natural_order))


def _ignored(files: Files) -> tuple[str, ...]:
    sentences = []
    if files.ignored:
        sentences.append(f"{files.ignored:,} links and devices in the archive are not followed")
    if masks := files.masks:
        are = "files are masks by their names" if len(masks) > 1 else "file is a mask by its name"
        example = printable("/".join(masks[0]))
        sentences.append(
            f"{len(masks):,} {are} and not read, for example {example}; the option masks takes 0 in them for unknown "
            "pixels"
        )
    return tuple(sentences)


def _read(files: Files, row: int) -> bytes:
    try:
        return files.read(files.images[row])
    except UnreadableImageError:
        raise
    except FileNotFoundError as error:
        raise UnreadableImageError("is a broken link, or was removed") from error
    except PermissionError as error:
        raise UnreadableImageError("is not readable: permission denied") from error
    except Exception as error:  # zipfile and tarfile raise a dozen kinds on damaged archives
        raise UnreadableImageError(f"is damaged ({printable(str(error))[:80] or type(error).__name__})") from error


def arrange(files: Files, with_labels: bool = True) -> Layout:
    """Return part and class of each image.

    Raises:
        VaebenchError: folders beside train and test, images beside class folders, or classes that train lacks.
    """
    roots = _roots(files)
    parts = tuple(_part_of(image, roots) for image in files.images) if len(roots) > 1 else ()
    if not with_labels:
        return Layout(parts)
    labels: dict[PathParts, str] = {}
    warnings: list[str] = []
    for part, root in roots.items():
        classes, sentences = _class_folders(files, root)
        labels |= classes
        warnings += [f"{part}: {sentence}" if part else sentence for sentence in sentences]
    train = {label for image, label in labels.items() if _part_of(image, roots) in ("train", "")} - {""}
    for part, root in roots.items():
        others = {label for image, label in labels.items() if image[: len(root)] == root} - {""} - train
        if part not in ("train", "") and others and train:
            raise VaebenchError(
                f"{files.name(root)} has class {min(others)!r}, which train lacks; expected the classes of train: "
                f"{', '.join(sorted(train))}"
            )
    complete = tuple(labels.get(image, "") for image in files.images) if labels else ()
    return Layout(parts, complete, tuple(warnings))


def _part_of(image: PathParts, roots: dict[str, PathParts]) -> str:
    return next((part for part, root in roots.items() if image[: len(root)] == root), "")


def _roots(files: Files) -> dict[str, PathParts]:
    """Return the folder that holds the class folders of each part; of "" where there are no parts."""
    outer = outer_folders(files)
    below = {parts[len(outer)] for parts in files.images if len(parts) > len(outer) + 1}
    named = {name: PARTS[name.lower()] for name in below if name.lower() in PARTS}
    if "train" not in named.values() or len(named) < 2:
        return {"": outer}
    beside = {parts[len(outer)] for parts in (*files.images, *files.folders) if len(parts) > len(outer)} - set(named)
    beside -= {name for name in beside if name.lower() in UNLABELLED}
    if beside:
        raise VaebenchError(
            f"{files.name((*outer, min(beside)))} is beside {' and '.join(sorted(named))}; expected only parts of the "
            "data set: move its images into one of them or elsewhere"
        )
    if len(set(named.values())) < len(named):
        raise VaebenchError(f"{files.name(outer)} has two folders for one part: {', '.join(sorted(named))}; join them")
    roots = {part: (*outer, name) for name, part in sorted(named.items(), key=lambda item: _order(item[1]))}
    return {part: root + _common_folders(files, roots.values()) for part, root in roots.items()}


def _order(part: str) -> int:
    return ("train", "validation", "test").index(part)


def _common_folders(files: Files, roots: Iterable[PathParts]) -> PathParts:
    """Return the nested folders that hold all images of all parts, and in which there are class folders."""
    common: PathParts = ()
    tails = [image[len(root) :] for root in roots for image in files.images if image[: len(root)] == root]
    while len({tail[len(common)] for tail in tails}) == 1 and min(map(len, tails)) > len(common) + 2:
        common += (tails[0][len(common)],)
    return common


def _class_folders(files: Files, root: PathParts) -> tuple[dict[PathParts, str], list[str]]:
    """Return the class of each image below ``root``, none if it directly contains them all, and warnings.

    A single folder called images is no class.
    """
    depth = len(root)
    images = [parts for parts in files.images if parts[:depth] == root]
    direct = [parts for parts in images if len(parts) == depth + 1]
    if not images or len(direct) == len(images):
        return {}, []
    if direct:
        raise VaebenchError(
            f"{files.name(direct[0])} is beside class folders; move it into one of them (or into unlabelled), or give "
            "the labels in a table"
        )
    used = {parts[depth] for parts in images}
    if len(used) == 1 and min(used).lower() in IMAGE_FOLDERS:
        return _class_folders(files, (*root, min(used)))
    warnings = []
    if deeper := sum(len(parts) > depth + 2 for parts in images):
        lie = "images lie" if deeper > 1 else "image lies"
        warnings.append(f"{deeper:,} {lie} deeper than CLASS/IMAGE, in the class of the outer folder")
    empty = sorted({f[depth] for f in files.folders if f[:depth] == root and len(f) > depth} - used)
    if empty:
        contain = "folders contain" if len(empty) > 1 else "folder contains"
        warnings.append(f"{len(empty):,} {contain} no image: {', '.join(map(printable, empty[:3]))}")
    return {image: "" if image[depth].lower() in UNLABELLED else printable(image[depth]) for image in images}, warnings


def _with_metadata(images: ImageSet, files: Files) -> ImageSet:
    """Return the images with the labels of metadata.csv; of other tables beside the images, say that they are there."""
    tables = [parts for parts in files.others if suffix_of(parts[-1]) in TABLES]
    metadata = [parts for parts in tables if parts[-1].lower() in METADATA]
    if not metadata:
        names = ", ".join(printable("/".join(parts)) for parts in tables[:3])
        note = (f"tables lie beside the images, which are not used without --labels: {names}",) if tables else ()
        return replace(images, warnings=(*images.warnings, *note))
    with tempfile.TemporaryDirectory() as temporary:
        labels: list[str] = [""] * len(images)
        warnings: list[str] = []
        for number, parts in enumerate(metadata):
            copy = Path(temporary) / f"{number}{suffix_of(parts[-1])}"
            copy.write_bytes(files.read(parts))
            table = read_labels([copy], _below(images.names, parts[:-1]), files.title)
            warnings += [f"{printable(parts[-1])}: {sentence}" for sentence in table.warnings]
            prefix = "".join(f"{part}/" for part in parts[:-1])
            for row, name in enumerate(images.names):
                labels[row] = table.labels.get(name.removeprefix(prefix), labels[row])
    classes = _classes(labels)
    others = Counter(suffix_of(parts[-1]) or printable(parts[-1]) for parts in files.others if parts not in metadata)
    source = (f"labels are those of {', '.join(sorted({printable(parts[-1]) for parts in metadata}))}",)
    sentences = (*images.warnings, *source, *warnings)
    return replace(images, labels=tuple(labels), classes=classes, warnings=sentences, other_files=dict(others))


def _below(names: Sequence[str], folder: PathParts) -> list[str]:
    """Names of the images below a folder, relative to it."""
    prefix = "".join(f"{part}/" for part in folder)
    return [name.removeprefix(prefix) for name in names if name.startswith(prefix)]


def _fingerprint(files: Files) -> str:
    digest = hashlib.blake2b(str(files.root.resolve()).encode(errors="surrogateescape"), digest_size=16)
    for parts in files.images:
        try:
            stamp = files.stamp(parts)
        except OSError:
            stamp = (-1, -1)
        digest.update(repr((parts, stamp)).encode(errors="surrogateescape"))
    return digest.hexdigest()
