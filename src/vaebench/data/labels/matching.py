"""Matcher: the image that each entry of a table refers to, and what was assumed to see it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import NamedTuple
from urllib.parse import unquote

from vaebench.data.decoding import DECODERS

SUFFIX, CASE, UNICODE, FOLDER, PREFIX, ENCODED = "suffix", "case", "unicode", "folder", "prefix", "encoded"
ASSUMPTIONS = {
    SUFFIX: "without a suffix",
    CASE: "in another case",
    UNICODE: "with accents in another Unicode form",
    FOLDER: "in a folder that is not above the images",
    PREFIX: "with the prefix of a labelling tool",
    ENCODED: "with characters encoded as in an address",
}
"""What an entry may differ in from the name of its image, in words that follow a number of entries."""
UPLOAD = re.compile(r"(?:.*/)?upload/\d+/([^/]+)")
"""Path of an image that was uploaded to Label Studio."""
HASHED = re.compile(r"[0-9a-f]{8}-(.+)")
"""Name of such an image."""
ADDRESS = re.compile(r"[a-z][a-z0-9+]*://")


class Match(NamedTuple):
    """The image that an entry refers to."""

    name: str | None
    """None if there is no such image, or more than one."""
    assumed: tuple[str, ...] = ()
    """Keys of ``ASSUMPTIONS``; empty if the entry is the path or the file name of the image."""
    ambiguous: bool = False
    """Whether several images fit."""


class Matcher:
    """Looks up the images that the entries of a table refer to.

    An entry with a folder never takes an image of the same file name in another folder; one without a folder is an
    image's file name only if no other image has it.

    Args:
        names: names of all images, paths with slashes.
        root: name of the images' folder, for paths that start with it.
    """

    def __init__(self, names: Iterable[str], root: str) -> None:
        self.names = set(names)
        self.root = root
        outer = shared_folders(self.names)
        paths = {name: name for name in self.names}
        for count in range(1, len(outer) + 1):  # as from a zip of one folder, which a table need not name
            cut = len("/".join(outer[:count])) + 1
            paths |= {name[cut:]: name for name in self.names if "/" in name[cut:] and name[cut:] not in paths}
        self._folders = {_outermost(path) for path in paths}
        self._paths = _Index(paths.items())
        self._files = _Index((name.rpartition("/")[2], name) for name in self.names)

    def match(self, entries: Sequence[str]) -> list[Match]:
        """Return the match of each entry of a column.

        Folders that all entries lie in may be other than those of the images, as on the machine of a labelling tool.
        """
        if all(entry in self.names for entry in entries):
            return [Match(entry) for entry in entries]
        prefix = shared_folders(_slashes(entry) for entry in entries)
        return [Match(entry) if entry in self.names else self._search(entry, prefix) for entry in entries]

    def _search(self, entry: str, prefix: tuple[str, ...]) -> Match:
        ambiguous = False
        for reading in self._readings(_slashes(entry), prefix):
            in_folder = "/" in reading.path
            for index in self._indices(reading, in_folder):
                name, differs = index.find(reading.path)
                if name and (in_folder or reading.complete or "/" not in name):
                    return Match(name, tuple(dict.fromkeys((*reading.assumed, *differs))))
                ambiguous |= name == ""
        return Match(None, ambiguous=ambiguous)

    def _indices(self, reading: _Reading, in_folder: bool) -> tuple[_Index, ...]:
        """Return where to look a path up; nowhere if no image is in its outermost folder."""
        if in_folder:
            return (self._paths,) if _outermost(reading.path) in self._folders else ()
        paths = (self._paths,) if "" in self._folders else ()
        return (*paths, self._files) if reading.complete else paths

    def _readings(self, path: str, prefix: tuple[str, ...]) -> Iterator[_Reading]:
        """Yield paths that an entry may stand for; the surest first."""
        for text, assumed in [(path, ()), (unquote(path), (ENCODED,))][: 2 if "%" in path else 1]:
            yield _Reading(text, assumed)
            parts = text.split("/")
            for start in range(1, len(parts)):
                if parts[start - 1] == self.root:
                    yield _Reading("/".join(parts[start:]), assumed, complete=False)
            uploaded = UPLOAD.fullmatch(text)
            file = uploaded[1] if uploaded else text
            hashed = HASHED.fullmatch(file)
            for name in [file] * bool(uploaded) + ([hashed[1]] if hashed else []):
                yield _Reading(name, (*assumed, PREFIX))
            if parts[: len(prefix)] in (list(prefix), list(map(unquote, prefix))):
                for start in range(1, len(prefix) + 1):
                    yield _Reading("/".join(parts[start:]), (*assumed, FOLDER), complete=False)


class _Reading(NamedTuple):
    path: str
    assumed: tuple[str, ...]
    complete: bool = True
    """Whether nothing was removed, so that a file name without a folder may be that of an image in any folder."""


class _Index:
    """Names of images by key, also by keys that differ in suffix, Unicode form or case; "" where several have one."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self.pairs = list(pairs)
        self.exact = _unique(self.pairs)

    def find(self, key: str) -> tuple[str | None, tuple[str, ...]]:
        """Return the image's name, None if there is none, or "" if there are several; and what the key differs in."""
        name = self.exact.get(key)
        if name is not None:
            return name, ()
        composed = normal(key)
        folded = composed.casefold()
        ambiguous = False
        for table, text, assumed in (
            (self._composed, composed, (UNICODE,)),
            (self._stems, composed, (SUFFIX,)),
            (self._folded, folded, (CASE,)),
            (self._folded_stems, folded, (SUFFIX, CASE)),
        ):
            name = table.get(text)
            if name:
                return name, assumed
            ambiguous |= name == ""
        return "" if ambiguous else None, ()

    @cached_property
    def _normal(self) -> list[tuple[str, str]]:
        return [(normal(key), name) for key, name in self.pairs]

    @cached_property
    def _composed(self) -> dict[str, str]:
        return _unique(self._normal)

    @cached_property
    def _stems(self) -> dict[str, str]:
        return _unique((_stem(key), name) for key, name in self._normal)

    @cached_property
    def _folded(self) -> dict[str, str]:
        return _unique((key.casefold(), name) for key, name in self._normal)

    @cached_property
    def _folded_stems(self) -> dict[str, str]:
        return _unique((_stem(key.casefold()), name) for key, name in self._normal)


def _unique(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    names: dict[str, str] = {}
    for key, name in pairs:
        if names.setdefault(key, name) != name:
            names[key] = ""
    return names


def normal(text: str) -> str:
    """Return a text in Unicode's normal form C, in which an accent and its letter are one character."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _outermost(path: str) -> str:
    """Return the outermost folder of a path as it is compared, "" if there is none."""
    folder, slash, _ = path.partition("/")
    return normal(folder).casefold() if slash else ""


def shared_folders(paths: Iterable[str]) -> tuple[str, ...]:
    """Return the outermost folders that all paths lie in."""
    first = last = None
    for path in paths:
        folders = path.split("/")[:-1]
        first, last = (folders, folders) if first is None or last is None else (min(first, folders), max(last, folders))
    count = 0
    for one, other in zip(first or (), last or (), strict=False):
        if one != other:
            break
        count += 1
    return tuple((first or [])[:count])


def _slashes(entry: str) -> str:
    """Return an entry as a path with slashes; that within an address, if it is one."""
    text = entry.strip().replace("\\", "/")
    _, local, rest = text.partition("?d=")
    if local:  # a local file of Label Studio
        return unquote(rest)
    if ADDRESS.match(text):
        return unquote(text.partition("?")[0]).replace("//", "/")
    while text.startswith("./"):
        text = text[2:]
    return text.replace("//", "/").replace("/./", "/")


def _stem(path: str) -> str:
    stem, dot, suffix = path.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in DECODERS else path
