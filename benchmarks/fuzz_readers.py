"""READERS: every reader of user files as a function of bytes; valid files to start from."""

from __future__ import annotations

import io
import json
import shutil
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from vaebench.classification.classifier import Description, ImageClassifier, load_classifier
from vaebench.data import official
from vaebench.data.folder import read_images
from vaebench.data.label_files import read_labels
from vaebench.data.listing import list_folder
from vaebench.data.npz import read_npz, read_partly_labelled_npz
from vaebench.data.official import read_idx
from vaebench.data.photos import PreprocessingRule, map_images
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


def _ignore_progress(task: str, done: float) -> None:
    pass


def _from_file(name: str, read: Callable[[Path], object]) -> Read:
    def read_bytes(data: bytes) -> None:
        with as_file(data, name) as path:
            read(path)

    return read_bytes


def _image(path: Path) -> object:
    return list(map_images(list_folder(path.parent, 1), RULE.pixels, "reading", _ignore_progress))


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
    "npz": _from_file("mine.npz", read_npz),
    "npz, partly labelled": _from_file("mine.npz", read_partly_labelled_npz),
    "zip of images": _from_file("mine.zip", lambda path: read_images(path, _ignore_progress)),
    "image": _from_file("a.png", _image),
    "labels (CSV)": _from_file("labels.csv", lambda path: read_labels([path], NAMES, "photos")),
    "recipe (TOML)": _from_file("mine.toml", read_recipe),
    "checkpoint": _from_file("checkpoint.safetensors", read_tensors),
    "results.json": _results,
    "classifier": _classifier,
}


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


def _npz(save: Callable[..., None], first: int) -> bytes:
    out = io.BytesIO()
    x, y = np.zeros((4, 3, 3), np.uint8), np.arange(first, first + 4) % 2 + min(first, 0)
    save(out, x_train=x, y_train=y, x_test=x, y_test=y)
    return out.getvalue()


def _pictures(names: tuple[str, ...]) -> dict[str, bytes]:
    pictures = {}
    for name in names:
        out = io.BytesIO()
        Image.new("L", (3, 3)).save(out, {"jpg": "JPEG", "tif": "TIFF"}.get(name[-3:], name[-3:].upper()))
        pictures[name] = out.getvalue()
    return pictures


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
        ImageClassifier(description, description.build()).save(saved)
        data = (saved / "model.json").read_bytes() + b"\0\0" + (saved / "weights.safetensors").read_bytes()
        shutil.rmtree(saved)
    return [data]


SEEDS: dict[str, Callable[[], list[bytes]]] = {
    "IDX": _idx,
    "CIFAR-10 archive": _cifar,
    "npy (Quick Draw)": _npy,
    "npz": lambda: [_npz(np.savez, 0), _npz(np.savez_compressed, 0)],
    "npz, partly labelled": lambda: [_npz(np.savez, -1), _npz(np.savez_compressed, -1)],
    "zip of images": _zip,
    "image": lambda: list(_pictures(("a.png", "a.jpg", "a.tif", "a.gif", "a.bmp")).values()),
    "labels (CSV)": lambda: [b"file,label\na.png,cat\nsub/b.png,dog\n", b'"x,y.png";cat\n', b"a.png\tcat\n"],
    "recipe (TOML)": lambda: [b'seed = 1\n[data]\nsource = "mnist"\n[model.network]\nkind = "mlp"\nhidden = [5]\n'],
    "checkpoint": _tensors,
    "results.json": lambda: [json.dumps({"schema": 1, "rows": [{"metric": "elbo", "mean": 1.0}]}).encode()],
    "classifier": _classifiers,
}
