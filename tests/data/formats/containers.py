"""One small container of each format, written by the library that people write it with."""

import csv
import gzip
import io
import tarfile

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.io
from PIL import Image

GREY = np.random.default_rng(0).integers(0, 256, (12, 8, 8), np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (12, 8, 6, 3), np.uint8)
LABELS = np.arange(12) % 3


def png(array):
    out = io.BytesIO()
    Image.fromarray(array).save(out, "PNG")
    return out.getvalue()


def write_table(path, delimiter=","):
    rows = [[int(label), *image.ravel().tolist()] for image, label in zip(GREY, LABELS, strict=True)]
    with gzip.open(path, "wt", newline="") if path.suffix == ".gz" else path.open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([["label", *(f"pixel{i}" for i in range(64))], *rows])


def write_parquet(path, cells=None, metadata=None, labels=LABELS):
    cells = [{"bytes": png(image), "path": None} for image in GREY] if cells is None else cells
    images = pa.array(cells, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    table = pa.table({"image": images, "label": pa.array(labels)})
    pq.write_table(table.replace_schema_metadata(metadata), path, row_group_size=5)


def write_hdf5(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=GREY, chunks=(5, 8, 8), compression="gzip")
        file["labels"] = LABELS


def write_members(path, members):
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def write_shard(path):
    members = {}
    for row, (image, label) in enumerate(zip(GREY, LABELS, strict=True)):
        members |= {f"{row:06d}.png": png(image), f"{row:06d}.cls": str(label).encode()}
    write_members(path, members)


def idx_bytes(array):
    codes = {"uint8": 8, "int16": 0x0B, "float32": 0x0D}
    head = bytes([0, 0, codes[array.dtype.name], array.ndim])
    return (
        head
        + b"".join(side.to_bytes(4, "big") for side in array.shape)
        + array.astype(f">{array.dtype.str[1:]}").tobytes()
    )


def write_idx(path):
    for array, name in ((GREY, path.name), (LABELS.astype(np.uint8), path.name.replace("images", "labels"))):
        data = idx_bytes(array)
        path.with_name(name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)


WRITERS = {
    ".npz": lambda path: np.savez(path, x_train=GREY, y_train=LABELS),
    ".npy": lambda path: np.save(path, GREY),
    ".csv": write_table,
    ".tsv": lambda path: write_table(path, "\t"),
    ".csv.gz": write_table,
    ".tsv.gz": lambda path: write_table(path, "\t"),
    ".parquet": write_parquet,
    ".h5": write_hdf5,
    ".hdf5": write_hdf5,
    ".mat": lambda path: scipy.io.savemat(path, {"X": GREY.transpose(1, 2, 0), "y": LABELS[:, None]}),
    ".tar": write_shard,
    ".tar.gz": write_shard,
    ".tgz": write_shard,
    "-ubyte": write_idx,
    "-ubyte.gz": write_idx,
    ".idx": write_idx,
}
"""Writes the 12 grey images, with the labels where the format has any, to a path with this suffix."""


def pixels_of(images):
    return np.stack([images.read(row).values for row in range(len(images))])
