"""The user's own arrays in .npz files."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from vaebench.core.errors import VaebenchError
from vaebench.data.images import HIDDEN, Images, Loaded

REQUIRED = ("x_train", "y_train")
OPTIONAL = ("x_test", "y_test", "class_names")


def read_npz(path: Path) -> Loaded:
    """Read images from ``x_train`` (N H W, N H W C or N C H W, C 1 or 3; integers 0..255 or floats 0..1) and
    ``y_train`` (N integers from 0), and the optional ``x_test``, ``y_test`` and ``class_names``.

    Floats are rounded to 8 bits. Without ``class_names``, the classes are named by their numbers.

    Raises:
        VaebenchError: an array is missing, has another type or shape, or is out of range, or counts do not match.
    """
    arrays = _read_arrays(path)
    names = _class_names(path, arrays)
    train = _images(path, arrays, "train", names)
    test = _images(path, arrays, "test", names) if "x_test" in arrays else None
    return Loaded(path.stem, train, test)


def read_partly_labelled_npz(path: Path) -> Images:
    """Read images from ``x_train`` and ``y_train`` as :func:`read_npz` does, label -1 for unlabelled images.

    Raises:
        VaebenchError: as :func:`read_npz`, or if every label is -1.
    """
    arrays = _read_arrays(path)
    pixels, labels = _pixels_and_labels(path, arrays, "train", HIDDEN)
    known = np.unique(labels[labels != HIDDEN])
    if not len(known):
        raise VaebenchError(f"{path}: every label in y_train is -1; label some images of each class")
    names = _class_names(path, arrays) or tuple(str(label) for label in range(known.max() + 1))
    _check_labels(path, "train", known, names)
    numbers = np.full(known.max() + 2, HIDDEN)
    numbers[known] = np.arange(len(known))
    return Images(pixels, torch.from_numpy(numbers[labels]), tuple(names[label] for label in known))


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    incomplete = f"{path} is not a complete npz file; save it again with np.savez"
    if not zipfile.is_zipfile(path):
        raise VaebenchError(incomplete)
    arrays, name = {}, ""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            names = archive.files
            for name in (*REQUIRED, *OPTIONAL):
                if name in names:
                    arrays[name] = np.asarray(archive[name])
    except MemoryError as error:
        raise VaebenchError(f"{path}: {name} is too large for this machine's memory; make it smaller") from error
    except Exception as error:  # zipfile and numpy raise a dozen kinds on damaged files
        if "allow_pickle" in str(error):
            incomplete = (
                f"{path}: {name} contains Python objects, which are not loaded because they can run code; "
                "save it as an array of numbers"
            )
        raise VaebenchError(incomplete) from error
    _check_names(path, names)
    return arrays


def _check_names(path: Path, names: list[str]) -> None:
    required = REQUIRED + (OPTIONAL[:2] if set(OPTIONAL[:2]) & set(names) else ())
    missing = [name for name in required if name not in names]
    if missing:
        raise VaebenchError(
            f"{path} has no {' and no '.join(missing)}, only {', '.join(map(repr, names)) or 'nothing'}; expected "
            "x_train, y_train and, for a test set, x_test, y_test"
        )


def _class_names(path: Path, arrays: dict[str, np.ndarray]) -> tuple[str, ...] | None:
    array = arrays.get("class_names")
    if array is None:
        return None
    names = tuple(str(name) for name in array.ravel())
    if array.dtype.kind != "U" or len(set(names)) < len(names):
        raise VaebenchError(f"{path}: class_names is {array.tolist()!r}; expected distinct strings, one per class")
    return names


def _images(path: Path, arrays: dict[str, np.ndarray], subset: str, names: tuple[str, ...] | None) -> Images:
    pixels, labels = _pixels_and_labels(path, arrays, subset)
    known = np.unique(arrays["y_train"])
    if names is None:
        if len(unknown := labels[~np.isin(labels, known)]):
            raise VaebenchError(f"{path}: y_test has label {unknown[0]}, which is not in y_train; add training images")
        return Images(pixels, torch.from_numpy(np.searchsorted(known, labels)), tuple(map(str, known.tolist())))
    _check_labels(path, subset, labels, names)
    if len(known) < len(names):
        absent = next(i for i in range(len(names)) if i not in known)
        raise VaebenchError(
            f"{path}: class {names[absent]!r} of class_names has no image in x_train; add some or remove the name"
        )
    return Images(pixels, torch.from_numpy(labels), names)


def _pixels_and_labels(
    path: Path, arrays: dict[str, np.ndarray], subset: str, lowest: int = 0
) -> tuple[UInt8[Tensor, "N C H W"], Int[np.ndarray, " N"]]:
    pixels = as_pixels(arrays[f"x_{subset}"], f"{path}: x_{subset}")
    labels = _as_labels(arrays[f"y_{subset}"], f"{path}: y_{subset}", lowest)
    if len(pixels) != len(labels):
        raise VaebenchError(
            f"{path}: x_{subset} has {len(pixels):,} images but y_{subset} has {len(labels):,} labels; expected one "
            "label per image" + (", -1 if unlabelled" if lowest == HIDDEN else "")
        )
    return pixels, labels


def _check_labels(path: Path, subset: str, labels: np.ndarray, names: tuple[str, ...]) -> None:
    if labels.max() >= len(names):
        raise VaebenchError(
            f"{path}: y_{subset} has label {labels.max()}, but class_names has {len(names)} names, for 0 to "
            f"{len(names) - 1}; add the missing names"
        )


def _as_labels(y: np.ndarray, name: str, lowest: int) -> Int[np.ndarray, " N"]:
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise VaebenchError(f"{name} has shape {y.shape}; expected one label per image, (N,)")
    if y.dtype.kind not in "iu":
        raise VaebenchError(f"{name} is {y.dtype}; expected integers from 0: convert it with astype(int)")
    if len(y) and int(y.min()) < lowest:
        raise VaebenchError(f"{name} has label {y.min()}; expected integers from {lowest}")
    return y.astype(np.int64)


def as_pixels(x: np.ndarray, name: str) -> UInt8[Tensor, "N C H W"]:
    """Convert an array of images in any accepted layout to 8-bit pixels; error messages call it ``name``.

    Raises:
        VaebenchError: unsupported shape or type, no image, NaN, or pixels out of range.
    """
    x = _channels_first(x, name)
    if x.size == 0:
        raise VaebenchError(f"{name} has shape {x.shape}, which has no pixels; add images")
    if x.dtype.kind not in "biuf":
        raise VaebenchError(f"{name} is {x.dtype}; expected integers from 0 to 255 or floats from 0 to 1")
    low, high, integers = x.min(), x.max(), x.dtype.kind in "iu"
    expected = "integers from 0 to 255" if integers else "floats from 0 to 1"
    if not np.isfinite(low + high * 1.0):
        raise VaebenchError(f"{name} has pixels that are NaN or infinite; expected {expected}: replace them")
    if low < 0 or high > (255 if integers else 1):
        raise VaebenchError(
            f"{name} has pixels from {low:.4g} to {high:.4g}; expected {expected}: undo the standardisation or rescale"
        )
    if integers and high <= 1:
        raise VaebenchError(
            f"{name} is {x.dtype} with no pixel above {high}; integers are read as 0 to 255: multiply by "
            "255, or save as floats from 0 to 1"
        )
    pixels = x if integers else np.rint(x * np.float32(255))
    return torch.from_numpy(np.ascontiguousarray(pixels, dtype=np.uint8))


def _channels_first(x: np.ndarray, name: str) -> np.ndarray:
    if x.ndim == 3:
        return x[:, None]
    first, last = x.ndim == 4 and x.shape[1] in (1, 3), x.ndim == 4 and x.shape[3] in (1, 3)
    if first == last:
        raise VaebenchError(
            f"{name} has shape {x.shape}; expected (N, H, W), (N, H, W, C) or (N, C, H, W) with C 1 or 3"
        )
    return x if first else np.moveaxis(x, 3, 1)
