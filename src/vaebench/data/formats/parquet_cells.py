"""Columns of a parquet file: cells of images by row, and numbers as arrays."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vaebench.core.errors import VaebenchError
from vaebench.data.formats.checks import check_memory, library
from vaebench.data.image_set import UnreadableImageError
from vaebench.data.listing import BYTE_LIMIT
from vaebench.data.printing import printable

GROUPS = 3
"""Row groups that are kept in memory."""
BATCH = 256
"""Rows that are converted at a time; a group of more than 2 GB cannot be read at once."""
Cell = tuple[bytes | None, str | None]
"""Bytes and path of an image."""


class Cells:
    """Images of a column of bytes, of paths or of both, read a row group at a time; safe in several threads.

    Raises:
        VaebenchError: a row group that does not fit in memory.
    """

    def __init__(self, path: Path, column: str) -> None:
        self.path, self.column = path, column
        self.file = library("pyarrow.parquet", path).ParquetFile(path)
        metadata = self.file.metadata
        sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        self.starts = np.cumsum([0, *sizes])
        self._groups: OrderedDict[int, list[Cell]] = OrderedDict()
        self._lock = threading.Lock()
        for group in range(len(sizes)):
            needed = sum(leaf.total_uncompressed_size for leaf in self._leaves(group))
            check_memory(needed * GROUPS, f"a row group of {path}", "write it with a smaller row_group_size")
        self.missing: dict[int, str] = {}
        """Reason for each row that has no image."""
        for group, start in enumerate(self.starts[:-1].tolist()):
            self._find_missing(group, start)

    def __len__(self) -> int:
        return int(self.starts[-1])

    def read(self, row: int) -> tuple[bytes, str]:
        """Return the bytes of an image file, and its name or "".

        Raises:
            UnreadableImageError: its file cannot be read, or is too large.
        """
        group = int(np.searchsorted(self.starts, row, side="right")) - 1
        with self._lock:
            data, name = self._load(group)[row - int(self.starts[group])]
        if data is None:
            file = self._locate(name)
            if isinstance(file, str):
                raise UnreadableImageError(file)
            if (size := file.stat().st_size) > BYTE_LIMIT:
                raise UnreadableImageError(f"has {size:,} bytes, over the limit of {BYTE_LIMIT:,}")
            data = file.read_bytes()
        return data, name or ""

    def _leaves(self, group: int) -> list[Any]:
        for _ in self.file.iter_batches(1, row_groups=[group]):  # raises on metadata that end the process below
            break
        info = self.file.metadata.row_group(group)
        leaves = [info.column(index) for index in range(info.num_columns)]
        check_types([leaf.physical_type for leaf in leaves], self.file.schema, self.path)
        return [leaf for leaf in leaves if leaf.path_in_schema.partition(".")[0] == self.column]

    def _find_missing(self, group: int, start: int) -> None:
        """Note rows without bytes whose file is missing; bytes are read only where the statistics state no number."""
        counts = {}
        for leaf in self._leaves(group):
            known = leaf.statistics is not None and leaf.statistics.has_null_count
            counts[leaf.path_in_schema] = leaf.statistics.null_count if known else None
        bytes_leaf = f"{self.column}.bytes" if f"{self.column}.bytes" in counts else self.column
        if counts.get(bytes_leaf) == 0 and not self._is_text():
            return
        rows = int(self.starts[group + 1]) - start
        only_paths = counts.get(bytes_leaf) == rows and f"{self.column}.path" in counts
        cells = self._cells(group, f"{self.column}.path") if only_paths else self._load(group)
        for index, (data, name) in enumerate(cells):
            if data is None and isinstance(reason := self._locate(name), str):
                self.missing[start + index] = reason

    def _is_text(self) -> bool:
        types = library("pyarrow", self.path).types
        kind = self.file.schema_arrow.field(self.column).type
        return bool(types.is_string(kind) or types.is_large_string(kind))

    def _locate(self, name: str | None) -> Path | str:
        """Return the file of a path, or the reason why there is none."""
        if not name:
            return "has neither bytes nor a path"
        try:
            file = self.path.parent / name  # an absolute path stays as it is
            if file.is_file():
                return file
        except (OSError, ValueError):
            pass
        return f"its file {printable(name)} does not exist; put it there, or export the data set with its images"

    def _load(self, group: int) -> list[Cell]:
        if group not in self._groups:
            self._groups[group] = self._cells(group, self.column)
            if len(self._groups) > GROUPS:
                self._groups.popitem(last=False)
        self._groups.move_to_end(group)
        return self._groups[group]

    def _cells(self, group: int, column: str) -> list[Cell]:
        cells: list[Cell] = []
        try:
            for batch in self.file.iter_batches(BATCH, row_groups=[group], columns=[column]):
                cells += map(_as_cell, batch.column(0).to_pylist())
        except Exception as error:  # pyarrow raises half a dozen kinds on damaged pages
            reason = printable(str(error).splitlines()[0])[:80] if str(error) else type(error).__name__
            raise UnreadableImageError(f"is in a damaged row group ({reason})") from error
        if len(cells) != int(self.starts[group + 1] - self.starts[group]):
            raise UnreadableImageError("is in a damaged row group, which has fewer rows than stated")
        return cells


def _as_cell(value: Any) -> Cell:
    if isinstance(value, dict):
        data, name = value.get("bytes"), value.get("path")
        return data if isinstance(data, bytes) else None, name if isinstance(name, str) else None
    return (value, None) if isinstance(value, bytes) else (None, value)


def features_of(schema: Any) -> dict[str, dict[str, Any]]:
    """Return what the package ``datasets`` has written about the columns of a schema, by column."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {name: feature for name, feature in features.items() if isinstance(feature, dict)}
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return {}


def read_numbers(path: Path, file: Any, columns: Sequence[str]) -> np.ndarray:
    """Return the numbers of a column of nested lists as an array (N, ...), or those of several columns as (N, D).

    Raises:
        VaebenchError: lists of different length, missing values, or other types than numbers.
    """
    metadata = file.metadata
    groups = range(metadata.num_row_groups)
    needed = sum(metadata.row_group(group).total_byte_size for group in groups)
    check_memory(2 * needed, str(path), "save it as an npy file, which is read in pieces")
    parts = []
    for batch in file.iter_batches(4 * BATCH, columns=list(columns)):
        arrays = [_as_array(path, batch.column(index), name) for index, name in enumerate(batch.schema.names)]
        parts.append(arrays[0] if len(columns) == 1 and arrays[0].ndim > 1 else np.stack(arrays, 1))
    if not parts or len({part.shape[1:] for part in parts}) > 1:
        raise VaebenchError(
            f"{path} has {'images of different size' if parts else 'no row'}; expected images of one size"
        )
    return np.concatenate(parts)


def _as_array(path: Path, column: Any, name: str) -> np.ndarray:
    pyarrow = library("pyarrow", path)
    shape = [len(column)]
    wrong = f"{path}: column {printable(name)!r} has"
    while True:
        if column.null_count:
            raise VaebenchError(f"{wrong} {column.null_count:,} missing values; expected a number for each pixel")
        column = getattr(column, "storage", column)
        if not (
            pyarrow.types.is_list(column.type)
            or pyarrow.types.is_large_list(column.type)
            or pyarrow.types.is_fixed_size_list(column.type)
        ):
            break
        inner = column.flatten()
        count = len(inner) // max(1, len(column))
        lengths = pyarrow.compute.list_value_length(column).to_numpy(zero_copy_only=False)
        if (lengths != count).any():
            raise VaebenchError(f"{wrong} lists of different length; expected images of one size")
        column, shape = inner, [*shape, count]
    kind = column.type
    if not (pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind) or pyarrow.types.is_boolean(kind)):
        raise VaebenchError(f"{wrong} {kind}; expected numbers, or images as bytes")
    values: np.ndarray = column.to_numpy(zero_copy_only=False)
    return values.reshape(shape)


def check_types(physical_types: Sequence[str], schema: Any, path: Path) -> None:
    """Refuse a row group of other types than the schema says, whose statistics end the process in pyarrow 26.0.1.

    Raises:
        VaebenchError: the types differ.
    """
    expected = [schema.column(index).physical_type for index in range(len(schema))]
    if list(physical_types) != expected:
        raise VaebenchError(
            f"{path} is damaged: a row group has columns of types {', '.join(physical_types)}; expected "
            f"{', '.join(expected)}, as its schema says"
        )
