"""Readers of published data sets from their official files."""

from __future__ import annotations

import io
import math
import tarfile
import zlib
from pathlib import Path

import numpy as np
import requests
import torch
from jaxtyping import UInt8

from vaebench.core.errors import VaebenchError
from vaebench.core.files import atomic
from vaebench.data import download
from vaebench.data.blocks import read_npy_header
from vaebench.data.download import Official
from vaebench.data.images import Images, Loaded, Progress, ignore_progress

IMAGES, LABELS = "images-idx3-ubyte.gz", "labels-idx1-ubyte.gz"
MNIST = (
    Official("mnist", f"train-{IMAGES}", "f68b3c2dcbeaaa9fbdd348bbdeb94873", "6bbc9ace898e44ae57da46a324031adb"),
    Official("mnist", f"train-{LABELS}", "d53e105ee54ea40749a09fcbcd1e9432", "a25bea736e30d166cdddb491f175f624"),
    Official("mnist", f"t10k-{IMAGES}", "9fb629c4189551a2d022fa330f9573f3", "2646ac647ad5339dbf082846283269ea"),
    Official("mnist", f"t10k-{LABELS}", "ec29112dd5afa0611ce80d1b7f02629c", "27ae3e4e09519cfbb04c329615203637"),
)
FASHION = "fashion-mnist"
FASHION_MNIST = (
    Official(FASHION, f"train-{IMAGES}", "8d4fb7e6c68d591d4c3dfef9ec88bf0d", "f4a8712d7a061bf5bd6d2ca38dc4d50a"),
    Official(FASHION, f"train-{LABELS}", "25c81989df183df01b3e8a0aad5dffbe", "9018921c3c673c538a1fc5bad174d6f9"),
    Official(FASHION, f"t10k-{IMAGES}", "bef4ecab320f06d8554ea6380940ec79", "8181f5470baa50b63fa0f6fddb340f0a"),
    Official(FASHION, f"t10k-{LABELS}", "bb300cfdad3c16e7a12a480ee83cd310", "15d484375f8d13e6eb1aabb0c3f46965"),
)
CIFAR10 = Official("cifar-10", "cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530")

DIGITS = tuple("0123456789")
CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

CIFAR_FOLDER = "cifar-10-batches-bin"
CIFAR_TRAIN = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
CIFAR_TEST = ("test_batch.bin",)
CIFAR_BATCH = 10_000
CIFAR_RECORD = 1 + 3 * 32 * 32

QUICKDRAW = "quickdraw/numpy_bitmap"
TEN_DRAWINGS = ("airplane", "apple", "bicycle", "cat", "coffee cup", "diamond", "fish", "shoe", "spoon", "tree")
CATEGORIES = "https://github.com/googlecreativelab/quickdraw-dataset/blob/master/categories.txt"
DRAWING = 28 * 28
"""Bytes of a drawing."""
DRAWING_HEADER = 1024
"""Upper bound of the header's length in bytes; official files have 80."""


def mnist(progress: Progress = ignore_progress) -> Loaded:
    """Load MNIST, 60,000 and 10,000 grey digits of 28x28. Source: LeCun, Cortes and Burges, 1998."""
    return _load_idx("mnist", MNIST, DIGITS, progress)


def fashion_mnist(progress: Progress = ignore_progress) -> Loaded:
    """Load Fashion-MNIST, 60,000 and 10,000 grey clothes of 28x28. Source: Xiao et al., arXiv 1708.07747."""
    return _load_idx("fashion-mnist", FASHION_MNIST, CLOTHES, progress)


def _load_idx(name: str, files: tuple[Official, ...], classes: tuple[str, ...], progress: Progress) -> Loaded:
    parts = []
    for images, labels in (files[:2], files[2:]):
        x, y = (read_idx(download.read_gzip(file, progress), file.name) for file in (images, labels))
        if x.ndim != 3 or y.shape != x.shape[:1] or y.max() >= len(classes):
            raise VaebenchError(
                f"{images.name} has pixels of shape {x.shape} but {labels.name} labels of shape {y.shape} up to "
                f"{y.max()}; expected one label below {len(classes)} per image: download both again"
            )
        parts.append(Images(torch.from_numpy(x)[:, None], torch.from_numpy(y).long(), classes))
    train, test = parts
    return Loaded(name, train, test)


def read_idx(data: bytes, name: str) -> np.ndarray:
    """Return the uint8 array of an uncompressed IDX file; error messages call the file ``name``.

    Reference: the description of the format on the MNIST page of LeCun, Cortes and Burges.

    Raises:
        VaebenchError: not an IDX file, another type than unsigned byte, or a length that contradicts the header.
    """
    if len(data) < 4 or data[:2] != b"\0\0":
        raise VaebenchError(f"{name} starts with {data[:4]!r}, so it is not an IDX file; download it again")
    kind, axes = data[2], data[3]
    if kind != 0x08:
        raise VaebenchError(f"{name} has IDX type 0x{kind:02x}; expected unsigned bytes, 0x08: download it again")
    start = 4 + 4 * axes
    if axes == 0 or len(data) < start:
        raise VaebenchError(f"{name} ends within its IDX header of {axes} axes; it is damaged: download it again")
    shape = tuple(int.from_bytes(data[at : at + 4], "big") for at in range(4, start, 4))
    expected = math.prod(shape)
    if len(data) - start != expected:
        raise VaebenchError(
            f"{name} has {len(data) - start:,} values, but its header states {expected:,} {shape}; "
            "it is truncated or damaged: download it again"
        )
    try:
        return np.frombuffer(data, np.uint8, offset=start).reshape(shape).copy()
    except ValueError as error:  # an empty array with too many or too long axes for numpy
        raise VaebenchError(
            f"{name} has an IDX header of shape {shape[:8]}, which no array can have: download it again"
        ) from error


def cifar10(progress: Progress = ignore_progress) -> Loaded:
    """Load CIFAR-10, 50,000 and 10,000 colour images of 32x32, from the binary version.

    The archive's md5 is checked. The unpacked folder ``cifar-10-batches-bin`` is accepted too; no checksums of its
    files are published, so their lengths and labels are checked.
    Source: Krizhevsky, Learning multiple layers of features from tiny images, 2009.
    """
    unpacked = download.find(CIFAR10.folder, CIFAR_FOLDER)
    packed = download.find(CIFAR10.folder, CIFAR10.name)
    if unpacked is not None and packed is None:
        try:
            batches = {name: (unpacked / name).read_bytes() for name in CIFAR_TRAIN + CIFAR_TEST}
        except OSError as error:
            raise VaebenchError(
                f"{error.filename} cannot be read ({error.strerror}); unpack {CIFAR10.name} again beside it"
            ) from error
    else:
        batches = _cifar_archive(download.fetch(CIFAR10, progress))
    train, test = (_cifar_images(batches, names) for names in (CIFAR_TRAIN, CIFAR_TEST))
    return Loaded("cifar10", train, test)


def _cifar_archive(path: Path) -> dict[str, bytes]:
    batches = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                folder, _, name = member.name.rpartition("/")
                if folder == CIFAR_FOLDER and name in CIFAR_TRAIN + CIFAR_TEST:
                    file = archive.extractfile(member)
                    batches[name] = file.read() if file else b""
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise VaebenchError(f"{path} cannot be unpacked ({error}); delete it and run again to download it") from error
    return batches


def _cifar_images(batches: dict[str, bytes], names: tuple[str, ...]) -> Images:
    expected = CIFAR_BATCH * CIFAR_RECORD
    for name in names:
        if (size := len(batches.get(name, b""))) != expected:
            raise VaebenchError(f"CIFAR-10's {name} has {size:,} bytes, not {expected:,}; download it again")
    records = np.frombuffer(b"".join(batches[name] for name in names), np.uint8).reshape(-1, CIFAR_RECORD)
    labels = torch.from_numpy(records[:, 0].astype(np.int64))
    if labels.max() >= len(CIFAR_CLASSES):
        raise VaebenchError(
            f"CIFAR-10's {names[0]} to {names[-1]} contain label {int(labels.max())}; expected 0 to 9: download them "
            "again"
        )
    pixels = records[:, 1:].copy().reshape(-1, 3, 32, 32)
    return Images(torch.from_numpy(pixels), labels, CIFAR_CLASSES)


def digits() -> Loaded:
    """Load scikit-learn's 1,797 grey digits of 8x8, their 17 levels scaled to 0..255; needs no network.

    Source: the test set of Alpaydin and Kaynak, Optical recognition of handwritten digits, UCI, 1998.
    """
    from sklearn.datasets import load_digits  # takes half a second, which only this data set should cost

    bunch = load_digits()
    pixels = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    return Loaded("digits", Images(torch.from_numpy(pixels)[:, None], torch.from_numpy(bunch.target).long(), DIGITS))


def quickdraw(classes: tuple[str, ...], count: int, progress: Progress = ignore_progress) -> Loaded:
    """Load the first ``count`` drawings of 28x28 of each of these Quick, Draw! classes; see :func:`load_drawings`."""
    arrays = [load_drawings(name, count, progress) for name in classes]
    pixels = torch.from_numpy(np.concatenate(arrays))[:, None]
    labels = torch.arange(len(classes)).repeat_interleave(count)
    note = f"the first {count:,} drawings of each of {len(classes)} classes: {', '.join(classes)}"
    return Loaded("quickdraw", Images(pixels, labels, classes), note=note)


def load_drawings(name: str, count: int, progress: Progress = ignore_progress) -> UInt8[np.ndarray, "N 28 28"]:
    """Return the first ``count`` drawings of class ``name`` in the official file, white on black.

    A cached file with fewer drawings is replaced by one with ``count``. No checksums are published for parts of
    these files; type, shape and length are checked.

    Source: https://github.com/googlecreativelab/quickdraw-dataset, Google, CC BY 4.0.

    Raises:
        VaebenchError: unknown class, fewer than ``count`` drawings, a damaged file, or no reachable server.
    """
    if not name or any(character in name for character in "/\\\0") or name.startswith("."):
        raise VaebenchError(f"classes contains {name!r}, which is not a quickdraw class; the names are at {CATEGORIES}")
    cached = download.cache_folder() / QUICKDRAW / f"{name}.npy"
    path = download.find(QUICKDRAW, cached.name)
    rows = None if path is None else _read_drawings(path)
    if rows is None or (path == cached and len(rows) < count):
        rows = _fetch_drawings(name, count, progress)
        with atomic(cached) as temporary, temporary.open("wb") as file:
            np.save(file, rows, allow_pickle=False)
    _check_drawings(str(path), rows.dtype, rows.shape, count)
    return np.array(rows[:count]).reshape(count, 28, 28)


def _read_drawings(path: Path) -> np.ndarray:
    try:
        rows: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # numpy raises many kinds on damaged headers
        raise VaebenchError(f"{path} is not a complete npy file; delete it and run again to download it") from error
    _check_drawings(str(path), rows.dtype, rows.shape)
    return rows


def _check_drawings(file: str, dtype: np.dtype, shape: tuple[int, ...], count: int = 0) -> None:
    if dtype != np.uint8 or len(shape) != 2 or shape[1] != DRAWING:
        raise VaebenchError(f"{file} contains {dtype} of shape {shape}; expected uint8 of shape (drawings, {DRAWING})")
    if shape[0] < count:
        raise VaebenchError(
            f"{file} has {shape[0]:,} drawings, but per_class is {count:,}; set per_class to {shape[0]} or lower"
        )


def _fetch_drawings(name: str, count: int, progress: Progress) -> np.ndarray:
    size = DRAWING_HEADER + count * DRAWING

    def get(url: str) -> np.ndarray:
        headers = {"Range": f"bytes=0-{size - 1}", "Accept-Encoding": "identity"}
        body = bytearray()
        with requests.get(url, headers=headers, stream=True, timeout=download.TIMEOUT) as response:
            response.raise_for_status()
            for chunk in response.iter_content(1 << 16):
                body += chunk
                progress(f"downloading {name}", min(len(body) / size, 1.0))
                if len(body) >= size:  # a server that ignores Range sends a hundred megabytes
                    break
        return _first_drawings(bytes(body), url, count)

    try:
        return download.from_mirrors(QUICKDRAW, f"{name}.npy", get)
    except VaebenchError as error:
        if "HTTP 404" in str(error):
            raise VaebenchError(f"quickdraw has no class {name!r}; the names are at {CATEGORIES}") from error
        raise


def _first_drawings(body: bytes, url: str, count: int) -> np.ndarray:
    file = io.BytesIO(body)
    try:
        shape, fortran_order, dtype = read_npy_header(file)
    except Exception as error:  # numpy lets its tokeniser's errors through
        raise ValueError("not an npy file") from error
    _check_drawings(url, dtype, shape, count)
    data = body[file.tell() : file.tell() + count * DRAWING]
    if fortran_order or len(data) < count * DRAWING:
        raise ValueError("truncated")
    return np.frombuffer(data, np.uint8).reshape(count, DRAWING)
