"""CONTAINERS: the reader of each format of files that hold many images, by the end of their names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from vaebench.data.formats.hdf5 import open_hdf5
from vaebench.data.formats.idx import open_idx
from vaebench.data.formats.matlab import open_matlab
from vaebench.data.formats.npy import open_npy, open_npz
from vaebench.data.formats.parquet import open_parquet
from vaebench.data.formats.pixel_cells import open_csv
from vaebench.data.formats.shards import is_shard, open_shard
from vaebench.data.image_set import ImageSet
from vaebench.data.tars import TARS

CONTAINERS: dict[str, Callable[[Path], ImageSet]] = {
    ".npz": open_npz,
    ".npy": open_npy,
    ".csv": open_csv,
    ".tsv": open_csv,
    ".csv.gz": open_csv,
    ".tsv.gz": open_csv,
    ".parquet": open_parquet,
    ".h5": open_hdf5,
    ".hdf5": open_hdf5,
    ".mat": open_matlab,
    ".tar": open_shard,
    ".tar.gz": open_shard,
    ".tgz": open_shard,
    "-ubyte": open_idx,
    "-ubyte.gz": open_idx,
    ".idx": open_idx,
}
"""Each reader raises VaebenchError, whatever the file has."""


def container_suffix(path: Path, *, look: bool = True) -> str | None:
    """Return the key of a file in :data:`CONTAINERS`, None if it has none.

    A tar of images without labels beside them has none, as it is listed like a folder; with ``look`` False, the name
    decides alone.

    Raises:
        VaebenchError: a tar that is not complete.
    """
    name = path.name.lower()
    suffix = max((suffix for suffix in CONTAINERS if name.endswith(suffix)), key=len, default=None)
    return None if look and suffix in TARS and not is_shard(path) else suffix
