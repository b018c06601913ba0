"""Tar files of samples as webdataset writes them: ``000000.png`` and its label ``000000.cls`` side by side."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vaebench.core.errors import VaebenchError
from vaebench.data.decoding import DECODERS, Options, decode, describe, suffix_of
from vaebench.data.formats.checks import fingerprint_of, listed
from vaebench.data.formats.labels import name_classes
from vaebench.data.image_set import ImageFormat, ImageSet, RawImage
from vaebench.data.listing import PathParts, TarContents, open_tar, title_of
from vaebench.data.printing import printable
from vaebench.data.tars import TARS

LABEL_SUFFIXES = ("cls", "json", "txt")
"""Suffixes of files with a label, in the order of preference."""
LABEL_KEYS = ("label", "class", "cls", "target", "label_name", "class_name", "category")
LABEL_BYTES = 1 << 20
"""Bytes of the largest file of a label."""
CAPTION = 64
"""Characters from which a text is a caption, not a class name."""


@dataclass
class Sample:
    """The members of one key."""

    images: list[PathParts] = field(default_factory=list)
    labels: dict[str, PathParts] = field(default_factory=dict)


def is_shard(path: Path) -> bool:
    """Whether a tar has images with labels beside them, rather than folders of images.

    Raises:
        VaebenchError: not a complete tar file.
    """
    if not path.name.lower().endswith(TARS):
        return False
    contents = open_tar(path)
    try:
        samples, _ = _samples(contents)
        return any(sample.images and sample.labels for sample in samples.values())
    finally:
        contents.close()


def open_shard(path: Path) -> ImageSet:
    """List the images of a tar, with the label of ``KEY.cls``, ``KEY.json`` or ``KEY.txt`` beside ``KEY.png``.

    The key is the name up to the first dot after the last slash. A label in JSON is called "label", "class" or the
    like. Long texts are captions, which are left out.

    Raises:
        VaebenchError: not a complete tar file, or no image.
    """
    contents = open_tar(path)
    samples, others = _samples(contents)
    pictured = {key: sample for key, sample in samples.items() if sample.images}
    if not pictured:
        raise VaebenchError(f"{path} contains no image; expected files ending in {', '.join(DECODERS)}")
    others.update(f".{suffix}" for sample in samples.values() if not sample.images for suffix in sample.labels)
    warnings = []
    if contents.ignored:
        warnings.append(f"{path.name}: {contents.ignored:,} links, devices or sparse files are left out")
    if further := [sample.images[1:] for sample in pictured.values() if len(sample.images) > 1]:
        count, example = sum(map(len, further)), "/".join(further[0][0])
        warnings.append(f"{path.name}: {count:,} further images of a sample, such as {listed([example])}, are left out")
    images = _image_set(path, contents, [sample.images[0] for sample in pictured.values()], list(pictured))
    labels, sentence = _labels(path, contents, list(pictured.values()))
    return replace(images, **labels, warnings=(*warnings, *sentence), other_files=dict(others))


def _samples(contents: TarContents) -> tuple[dict[str, Sample], Counter[str]]:
    """Return the samples by key, and the number of other files by suffix."""
    samples: dict[str, Sample] = {}
    others: Counter[str] = Counter()
    for parts in contents.files:
        if not parts or any(part.startswith(".") for part in parts):
            others["hidden"] += 1
            continue
        key, _, suffix = parts[-1].partition(".")
        sample = samples.setdefault("/".join((*parts[:-1], key)), Sample())
        if suffix_of(parts[-1]) in DECODERS:
            sample.images.append(parts)
        elif suffix.lower() in LABEL_SUFFIXES:
            sample.labels[suffix.lower()] = parts
        else:
            others[suffix_of(parts[-1])] += 1
    return samples, others


def _image_set(path: Path, contents: TarContents, members: list[PathParts], keys: list[str]) -> ImageSet:
    def read(row: int, at_least: int | None = None) -> RawImage:
        return decode(contents.read(members[row]), members[row][-1], Options(at_least))

    def describe_row(row: int) -> ImageFormat:
        return describe(contents.read(members[row]), members[row][-1])

    names = tuple(map(printable, keys))
    return ImageSet(
        path=path,
        title=title_of(path).removesuffix(".tar"),
        names=names if len(set(names)) == len(names) else tuple(map(str, range(len(names)))),
        describe=describe_row,
        read=read,
        fingerprint=fingerprint_of([path]),
        threads=True,
    )


def _labels(path: Path, contents: TarContents, samples: list[Sample]) -> tuple[dict[str, Any], list[str]]:
    suffix = next((each for each in LABEL_SUFFIXES if any(each in sample.labels for sample in samples)), None)
    if suffix is None:
        return {}, []
    warnings = []
    unused = Counter(each for sample in samples for each in sample.labels if each != suffix)
    texts = [_text(contents, sample.labels.get(suffix), suffix) for sample in samples]
    if suffix == "txt" and (captions := [text for text in texts if len(text) > CAPTION or "\n" in text]):
        example = printable(captions[0])[:40]
        return {}, [f"{path.name}: the .txt files are captions ({example!r}...), not labels: they are left out"]
    if unused:
        warnings.append(
            f"{path.name}: {unused.total():,} files are not used, as .{suffix} has the labels: "
            f"{listed([f'.{each}' for each in unused])}"
        )
    labels = name_classes(["" if text == "-1" else text for text in texts], f"{path}: the labels in .{suffix}")
    missing = len(labels.names) and labels.names.count("")
    if missing:
        warnings.append(f"{path.name}: {missing:,} images have no label in a .{suffix} file")
    return {"labels": labels.names, "classes": labels.classes}, [*warnings, *labels.warnings]


def _text(contents: TarContents, parts: PathParts | None, suffix: str) -> str:
    """Return the label in a member, "" where it has none."""
    if parts is None or contents.stamp(parts)[0] > LABEL_BYTES:
        return ""
    text = contents.read(parts).decode("utf-8", "replace").strip()
    if suffix != "json":
        return text
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(values, dict):
        return str(values) if isinstance(values, (int, str)) else ""
    value = next((values[key] for key in LABEL_KEYS if isinstance(values.get(key), (int, str))), "")
    return str(value)
