"""READERS: every reader of user files as a function of bytes; valid files to start from."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
import torch
from PIL import Image
from scipy.io import savemat

from vaebench.classification.classifier import Description, ImageClassifier, load_classifier
from vaebench.data import official
from vaebench.data.formats import CONTAINERS
from vaebench.data.image_set import UnreadableImageError, array_set
from vaebench.data.label_files import read_labels
from vaebench.data.loading import load_images
from vaebench.data.masks import masked
from vaebench.data.official import read_idx
from vaebench.data.opening import open_images
from vaebench.data.preprocessing import PreprocessingRule
from vaebench.data.survey import survey
from vaebench.models.networks import MLP
from vaebench.models.vae import Model
from vaebench.runs.recipe import RECIPES, read_recipe
from vaebench.runs.run import Run
from vaebench.training.checkpoint import read_tensors, write_tensors

Read = Callable[[bytes], object]
NAMES = ("a.png", "sub/b.png", "x,y.png")
RULE = PreprocessingRule(height=8, width=8, channels=1)


@contextmanager
def as_file(data: bytes, name: str) -> Iterator[Path]:
    """Path of a file with these bytes in a folder of its own; fails if other files are written beside it."""
    with tempfile.TemporaryDirectory() as outer:
        path = Path(outer) / "inner" / name
        path.parent.mkdir()
        path.write_bytes(data)
        yield path
        files = sorted(path.name for path in Path(outer).rglob("*"))
        assert files == sorted(["inner", name]), f"files outside their folder: {files}"


def _from_file(name: str, read: Callable[[Path], object]) -> Read:
    def read_bytes(data: bytes) -> None:
        with as_file(data, name) as path:
            read(path)

    return read_bytes


def _image(path: Path) -> None:
    with open_images(path) as images, suppress(UnreadableImageError):
        survey(images)
        RULE.pixels(images.read(0))


def _container(suffix: str) -> Callable[[Path], object]:
    """Opens a container and reads its first images."""

    def read(path: Path) -> None:
        images = CONTAINERS[suffix](path)
        for row in range(min(len(images), 8)):
            with suppress(UnreadableImageError):
                images.read(row)

    return read


def _archive(path: Path) -> None:
    """Opens an archive and reads its first images."""
    with open_images(path) as images:
        for row in range(min(len(images), 8)):
            with suppress(UnreadableImageError):
                images.read(row)


def _mask(path: Path) -> None:
    """Reads an image with a mask."""
    with open_images(path) as masks:
        grey = array_set(path, "images", GREY[:1, :, :, None], lambda: "")
        with suppress(UnreadableImageError):
            masked(grey, masks, [0]).read(0)


def _classifier(data: bytes) -> None:
    """Bytes are model.json, two zero bytes, and the weights."""
    head, _, tail = data.partition(b"\0\0")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "model.json").write_bytes(head)
        (Path(folder) / "weights.safetensors").write_bytes(tail)
        load_classifier(folder)


def _results(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "recipe.json").write_text(RECIPES["digits"].model_dump_json())
        (Path(folder) / "results.json").write_bytes(data)
        _ = Run.load(folder).rows


READERS: dict[str, Read] = {
    "IDX": lambda data: read_idx(data, "images"),
    "CIFAR-10 archive": _from_file("cifar.tar.gz", official._cifar_archive),
    "npy (Quick Draw)": _from_file("cat.npy", official._read_drawings),
    "zip of images": _from_file("mine.zip", load_images),
    "zip of arrays": _from_file("mine.zip", _archive),
    "tar of tables": _from_file("mine.tar", _archive),
    "mask": _from_file("masks.png", _mask),
    "cells of pixels": _from_file("images.csv", _container(".csv")),
    "image": _from_file("a.png", _image),
    "TIFF image": _from_file("a.tif", _image),
    "labels (CSV)": _from_file("labels.csv", lambda path: read_labels([path], NAMES, "photos")),
    "recipe (TOML)": _from_file("mine.toml", read_recipe),
    "checkpoint": _from_file("checkpoint.safetensors", read_tensors),
    "results.json": _results,
    "classifier": _classifier,
} | {f"container {suffix}": _from_file(f"images{suffix}", _container(suffix)) for suffix in CONTAINERS}


def seeds(name: str) -> list[bytes]:
    """Small valid files for a reader."""
    return SEEDS[name]()


def _idx() -> list[bytes]:
    body = struct.pack(">HBB", 0, 8, 3) + struct.pack(">III", 2, 3, 3) + bytes(18)
    return [body, struct.pack(">HBB", 0, 8, 1) + struct.pack(">I", 4) + bytes(4)]


def _cifar() -> list[bytes]:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name in (official.CIFAR_TRAIN[0], official.CIFAR_TEST[0]):
            info = tarfile.TarInfo(f"{official.CIFAR_FOLDER}/{name}")
            info.size = 64
            archive.addfile(info, io.BytesIO(bytes(64)))
    return [out.getvalue()]


def _npy() -> list[bytes]:
    out = io.BytesIO()
    np.save(out, np.zeros((2, 784), np.uint8))
    return [out.getvalue()]


def _pictures(names: tuple[str, ...]) -> dict[str, bytes]:
    pictures = {}
    for name in names:
        out = io.BytesIO()
        Image.new("L", (3, 3)).save(out, {"jpg": "JPEG", "tif": "TIFF"}.get(name[-3:], name[-3:].upper()))
        pictures[name] = out.getvalue()
    return pictures


def _deep_images() -> list[bytes]:
    colour = np.arange(27, dtype=np.uint16).reshape(3, 3, 3) * 2000
    return [bytes(imagecodecs.png_encode(colour)), bytes(imagecodecs.jpeg2k_encode(colour, level=0))]


def _tiffs() -> list[bytes]:
    values, files = np.arange(27, dtype=np.uint16).reshape(3, 3, 3), []
    for array, options in (
        (values, {"photometric": "rgb"}),
        (values, {"photometric": "minisblack", "metadata": {"axes": "CYX"}, "ome": True}),
        (values[0].astype(np.float32), {"compression": "zlib"}),
    ):
        out = io.BytesIO()
        tifffile.imwrite(out, array, **options)  # type: ignore[arg-type]
        files.append(out.getvalue())
    return files


def _zip() -> list[bytes]:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for label in ("cat", "dog"):
            for index in range(3):
                archive.writestr(f"{label}/{index}.png", _pictures(("a.png",))["a.png"])
    return [out.getvalue()]


def _tensors() -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint.safetensors"
        write_tensors(path, {"a": torch.zeros(3), "b": torch.zeros(2, 2)}, {"schema": 1, "identity": {}, "record": {}})
        return [path.read_bytes()]


def _classifiers() -> list[bytes]:
    model = Model(latent=2, network=MLP(hidden=(3,)))
    description = Description(
        kind="latent-line", method="linear probe", rule=RULE, classes=("a", "b"), model=model, temperature=1.0
    )
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "model"
        ImageClassifier(description, description.build({})).save(saved)
        data = (saved / "model.json").read_bytes() + b"\0\0" + (saved / "weights.safetensors").read_bytes()
        shutil.rmtree(saved)
    return [data]


def _written(write: Callable[[Path], object], suffix: str) -> Callable[[], list[bytes]]:
    def make() -> list[bytes]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"seed{suffix}"
            write(path)
            return [path.read_bytes()]

    return make


def _write_hdf5(path: Path) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=GREY, chunks=(2, 3, 3), compression="gzip")
        file["labels"] = LABELS


def _write_parquet(path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    cell = {"bytes": _pictures(("a.png",))["a.png"], "path": "a.png"}
    parquet.write_table(pyarrow.table({"image": [cell] * 4, "label": LABELS}), path)


def _write_tar(path: Path) -> None:
    with tarfile.open(path, "w" if path.suffix == ".tar" else "w:gz") as archive:
        for name, data in {"0.png": _pictures(("a.png",))["a.png"], "0.cls": b"1", "1.json": b'{"label": 2}'}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def _write_table(path: Path) -> None:
    rows = np.concatenate([LABELS[:, None], GREY.reshape(4, 9)], 1)
    np.savetxt(path, rows, "%d", "\t" if ".tsv" in path.name else ",")


def _write_idx(path: Path) -> None:
    data = _idx()[0]
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


GREY, LABELS = np.arange(36, dtype=np.uint8).reshape(4, 3, 3), np.arange(4) % 2
WRITERS: dict[str, Callable[[Path], object]] = {
    ".npz": lambda path: np.savez(path, x_train=GREY, y_train=LABELS),
    ".npy": lambda path: np.save(path, GREY),
    ".parquet": _write_parquet,
    ".mat": lambda path: savemat(path, {"X": GREY.transpose(1, 2, 0), "y": LABELS}),
}
WRITERS |= dict.fromkeys((".csv", ".tsv", ".csv.gz", ".tsv.gz"), _write_table) | dict.fromkeys(
    (".h5", ".hdf5"), _write_hdf5
)
WRITERS |= dict.fromkeys((".tar", ".tar.gz", ".tgz"), _write_tar)
WRITERS |= dict.fromkeys(("-ubyte", "-ubyte.gz", ".idx"), _write_idx)
"""Writes a small valid container of each suffix."""


def _archives(suffix: str, inner: str) -> Callable[[], list[bytes]]:
    """Archives of one small container."""

    def write(path: Path) -> None:
        member = path.with_name(f"images{inner}")
        WRITERS[inner](member)
        if suffix == ".zip":
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.write(member, member.name)
        else:
            with tarfile.open(path, "w") as tar:
                tar.add(member, member.name)

    return _written(write, suffix)


SEEDS: dict[str, Callable[[], list[bytes]]] = {
    "IDX": _idx,
    "CIFAR-10 archive": _cifar,
    "npy (Quick Draw)": _npy,
    "zip of images": _zip,
    "zip of arrays": _archives(".zip", ".npz"),
    "tar of tables": _archives(".tar", ".csv"),
    "mask": lambda: list(_pictures(("a.png", "a.bmp")).values()),
    "cells of pixels": lambda: [b"emotion,pixels,Usage\n1,1 2 3 4,Training\n0,4 3 2 1,PublicTest\n"],
    "image": lambda: [*_pictures(("a.png", "a.jpg", "a.gif", "a.bmp")).values(), *_deep_images()],
    "TIFF image": _tiffs,
    "labels (CSV)": lambda: [
        b"file,label\na.png,cat\nsub/b.png,dog\n",
        b'"x,y.png";cat\n',
        b"a.png\tcat\n",
        b'{"a.png": "cat"}',
        b"id,image,x,type\n1,A,3,cat\n",
    ],
    "recipe (TOML)": lambda: [b'seed = 1\n[data]\nsource = "mnist"\n[model.network]\nkind = "mlp"\nhidden = [5]\n'],
    "checkpoint": _tensors,
    "results.json": lambda: [json.dumps({"schema": 1, "rows": [{"metric": "elbo", "mean": 1.0}]}).encode()],
    "classifier": _classifiers,
} | {f"container {suffix}": _written(WRITERS[suffix], suffix) for suffix in CONTAINERS}
