"""Folders of container files: a file a part, several shards a part, or images and labels in files of their own."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from vaebench.core.errors import VaebenchError
from vaebench.data.decoding import DECODERS, suffix_of
from vaebench.data.formats.checks import listed
from vaebench.data.formats.named import IMAGES, LABELS, NamedArray
from vaebench.data.formats.npy import list_npz, open_arrays
from vaebench.data.formats.registry import CONTAINERS, container_suffix
from vaebench.data.formats.shards import is_shard
from vaebench.data.image_set import PART_ORDER, ImageSet, Member, join
from vaebench.data.listing import title_of
from vaebench.data.printing import printable
from vaebench.data.tars import TARS

MAX_ARRAYS = 4
"""Npy files of one part that may be arrays of images; more are an image each."""
DEPTH = 3
"""Levels of folders that are searched."""
TABLES = (".csv", ".tsv")
SMALL = ("sample_submission", "samplesubmission", "submission", "labels", "metadata", "readme", "classes")
"""Names of tables that are no images."""


def open_container_folder(path: Path) -> ImageSet | None:
    """List the images of all container files in a folder, or None if it has image files or no container.

    Parts are named by the files or their folders: ``train-00000-of-00001.parquet``, ``test.csv``, ``train/000.tar``,
    ``t10k-images-idx3-ubyte``. Files of the same part follow one another by name. Arrays of one file each, such as
    ``x_train.npy`` or Kuzushiji-MNIST's npz, are taken together.

    Raises:
        VaebenchError: containers of different kinds, or as the readers of the files.
    """
    files, others = _list(path)
    if any(suffix_of(file.name) in DECODERS for file in others):
        return None
    kinds = _by_kind(files)
    arrays = kinds.get(".npy", [])
    if set(kinds) <= {".npy", *TABLES} and are_single_images([file.name for file in arrays]):
        return None
    tables = [file for kind in TABLES for file in kinds.get(kind, []) if len(kinds) > 1 or _is_small(file)]
    for kind in TABLES:
        if left := [file for file in kinds.pop(kind, []) if file not in tables]:
            kinds[kind] = left
    if not kinds or (set(kinds) <= set(TARS) and not all(map(is_shard, next(iter(kinds.values()))))):
        return None
    if len(kinds) > 1:
        examples = [str(members[0].relative_to(path)) for members in kinds.values()]
        raise VaebenchError(f"{path} has files of several kinds, {listed(examples)}; give one of them alone")
    images = _open(path, next(iter(kinds.values())))
    names = [str(file.relative_to(path)) for file in tables]
    sentences = (f"{path.name}: {listed(names)} is not read",) if names else ()
    counts = Counter(images.other_files) + Counter(suffix_of(file.name) or printable(file.name) for file in others)
    return replace(images, warnings=(*images.warnings, *sentences), other_files=dict(counts))


def are_single_images(names: Sequence[str]) -> bool:
    """Whether several npy files are an image each: no name says images, labels or a part, or many say images."""
    arrays = [NamedArray(Path(name).stem, (), np.dtype("u1"), lambda: None) for name in names]
    silent = not any(array.meaning[0] or array.says((*IMAGES, *LABELS)) for array in arrays)
    pictured = Counter(array.meaning[0] for array in arrays if array.says(IMAGES) and not array.says(LABELS))
    return len(arrays) > 1 and (silent or max(pictured.values(), default=0) > MAX_ARRAYS)


def _is_small(file: Path) -> bool:
    return file.name.partition(".")[0].lower().replace("-", "_") in SMALL


def _list(path: Path) -> tuple[list[Path], list[Path]]:
    """Return the container files and the other visible files, sorted."""
    containers: list[Path] = []
    others: list[Path] = []
    for folder, subfolders, names in os.walk(path):
        depth = len(Path(folder).relative_to(path).parts)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith(".") and depth < DEPTH)
        for name in sorted(name for name in names if not name.startswith(".")):
            file = Path(folder) / name
            is_container = file.is_file() and container_suffix(file, look=False)
            (containers if is_container else others).append(file)
    return sorted(containers), others


def _by_kind(files: Sequence[Path]) -> dict[str, list[Path]]:
    kinds: dict[str, list[Path]] = {}
    for file in files:
        kind = container_suffix(file, look=False) or ""
        kind = {
            ".csv.gz": ".csv",
            ".tsv.gz": ".tsv",
            ".npz": ".npy",
            ".tar.gz": ".tar",
            ".tgz": ".tar",
            ".hdf5": ".h5",
            "-ubyte.gz": "-ubyte",
            ".idx": "-ubyte",
        }.get(kind, kind)
        kinds.setdefault(kind, []).append(file)
    return kinds


def _open(path: Path, files: list[Path]) -> ImageSet:
    suffix = container_suffix(files[0], look=False) or ""
    if suffix in (".npy", ".npz") and (len(files) > 1) and all(_is_single(file) for file in files):
        return open_arrays(path, files)
    skipped: list[Path] = []
    if suffix in ("-ubyte", "-ubyte.gz", ".idx"):
        files = [file for file in files if "labels" not in file.name.lower()] or files
    parts = {file: _part(path, file) for file in files}
    if any(parts.values()):
        skipped = [file for file in files if not parts[file]]
        files = [file for file in files if parts[file]]
    files = sorted(files, key=lambda file: (PART_ORDER.index(parts[file]) if parts[file] else 0, file))
    opened = {file: _opener(file)(file) for file in files}
    several = len(files) > 1
    members = [
        Member(str(file.relative_to(path)).partition(".")[0], parts[file], images) for file, images in opened.items()
    ]
    if len({member.prefix for member in members}) < len(members):
        members = [
            member._replace(prefix=str(file.relative_to(path))) for member, file in zip(members, files, strict=True)
        ]
    images = join(path, title_of(path), members) if several else members[0].images
    if len(set(images.parts)) == 1:
        images = replace(images, parts=())
    sentences = (f"{path.name}: {listed([file.name for file in skipped])} is not read, as its name has no part",)
    warnings = (*images.warnings, *(sentences if skipped else ()), *_differences(path, parts, opened))
    return replace(images, path=path, title=title_of(path), warnings=warnings)


def _differences(path: Path, parts: dict[Path, str], opened: dict[Path, ImageSet]) -> list[str]:
    """Return a sentence if some files have labels and others have not."""
    silent = [file.name for file, images in opened.items() if not images.labels]
    return [f"{path.name}: {listed(silent)} has no labels"] if silent and len(silent) < len(opened) else []


def _opener(file: Path) -> Callable[[Path], ImageSet]:
    return CONTAINERS[container_suffix(file, look=False) or ""]


def _is_single(file: Path) -> bool:
    return file.suffix.lower() == ".npy" or len(list_npz(file)) == 1


def _part(path: Path, file: Path) -> str:
    """Return the part that a file's name or folder states, "" if none."""
    return NamedArray(str(file.relative_to(path)).partition(".")[0], (), np.dtype("u1"), lambda: None).meaning[0]
