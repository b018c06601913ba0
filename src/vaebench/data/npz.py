"""A user's own arrays in an npz file."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from vaebench.core.errors import VaebenchError
from vaebench.data.images import HIDDEN, Images, Loaded

NEEDED = ("x_train", "y_train")
OPTIONAL = ("x_test", "y_test", "class_names")


def read_npz(path: Path) -> Loaded:
    """Images from ``x_train`` (N H W, N H W C or N C H W, C 1 or 3; integers 0..255 or floats 0..1) and
    ``y_train`` (N integers from 0); where present ``x_test``, ``y_test`` and ``class_names``.

    Floats are rounded to 8 bits. Without ``class_names``, the classes are named by their numbers.

    Raises:
        VaebenchError: arrays missing, of another type or shape, or out of range; counts that don't match.
    """
    arrays = _arrays(path)
    names = _class_names(path, arrays)
    train = _part(path, arrays, "train", names)
    test = _part(path, arrays, "test", names) if "x_test" in arrays else None
    return Loaded(path.stem, train, test)


def read_partly_labelled_npz(path: Path) -> Images:
    """Images from ``x_train`` and ``y_train`` as :func:`read_npz` takes them, labels of -1 where there is none.

    Raises:
        VaebenchError: as :func:`read_npz`, or no label at all.
    """
    arrays = _arrays(path)
    pixels = as_pixels(arrays["x_train"], f"{path}: x_train")
    labels = _labels(arrays["y_train"], f"{path}: y_train", HIDDEN)
    if len(pixels) != len(labels):
        raise VaebenchError(
            f"{path}: x_train has {len(pixels):,} images but y_train {len(labels):,} labels; expected one an image, -1 "
            "where there is none"
        )
    known = np.unique(labels[labels != HIDDEN])
    if not len(known):
        raise VaebenchError(f"{path}: every label in y_train is -1; label some images of each class")
    names = _class_names(path, arrays) or tuple(str(label) for label in range(known.max() + 1))
    if known.max() >= len(names):
        raise VaebenchError(
            f"{path}: y_train has label {known.max()}, but class_names has {len(names)} names; add some"
        )
    numbers = np.full(known.max() + 2, HIDDEN)
    numbers[known] = np.arange(len(known))
    return Images(pixels, torch.from_numpy(numbers[labels]), tuple(names[label] for label in known))


def _arrays(path: Path) -> dict[str, np.ndarray]:
    if not zipfile.is_zipfile(path):
        raise VaebenchError(f"{path} is no whole npz file; save it again with np.savez")
    name = ""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            _check_names(path, archive.files)
            arrays = {}
            for name in (*NEEDED, *OPTIONAL):
                if name in archive.files:
                    arrays[name] = np.asarray(archive[name])
            return arrays
    except VaebenchError:
        raise
    except MemoryError as error:
        raise VaebenchError(f"{path}: {name} is too large for this machine's memory; make it smaller") from error
    except Exception as error:  # zipfile and numpy raise a dozen kinds on damaged files
        if "allow_pickle" in str(error):
            raise VaebenchError(
                f"{path}: {name} holds Python objects, which are not read because they can run code; "
                "save it as an array of numbers"
            ) from error
        raise VaebenchError(f"{path} is no whole npz file; save it again with np.savez") from error


def _check_names(path: Path, names: list[str]) -> None:
    needed = NEEDED + (OPTIONAL[:2] if set(OPTIONAL[:2]) & set(names) else ())
    missing = [name for name in needed if name not in names]
    if missing:
        raise VaebenchError(
            f"{path} has no {' and no '.join(missing)}; it holds {', '.join(map(repr, names)) or 'nothing'}: expected "
            "x_train, y_train and, if there is a test part, x_test, y_test"
        )


def _class_names(path: Path, arrays: dict[str, np.ndarray]) -> tuple[str, ...] | None:
    given = arrays.get("class_names")
    if given is None:
        return None
    names = tuple(str(name) for name in given.ravel())
    if given.dtype.kind != "U" or len(set(names)) < len(names):
        raise VaebenchError(f"{path}: class_names is {given.tolist()!r}; expected one text a class, each once")
    return names


def _part(path: Path, arrays: dict[str, np.ndarray], part: str, names: tuple[str, ...] | None) -> Images:
    pixels = as_pixels(arrays[f"x_{part}"], f"{path}: x_{part}")
    labels = _labels(arrays[f"y_{part}"], f"{path}: y_{part}")
    if len(pixels) != len(labels):
        raise VaebenchError(
            f"{path}: x_{part} has {len(pixels):,} images but y_{part} {len(labels):,} labels; each image needs one"
        )
    known = np.unique(arrays["y_train"])
    if names is None:
        return Images(pixels, _numbered(path, labels, known), tuple(map(str, known.tolist())))
    if labels.max() >= len(names):
        raise VaebenchError(
            f"{path}: y_{part} has label {labels.max()}, but class_names has {len(names)} names, for 0 to "
            f"{len(names) - 1}; add the names that are missing"
        )
    if len(known) < len(names):
        absent = next(i for i in range(len(names)) if i not in known)
        raise VaebenchError(
            f"{path}: class {names[absent]!r} of class_names has no image in x_train; add some or remove the name"
        )
    return Images(pixels, torch.from_numpy(labels), names)


def _numbered(path: Path, labels: Int[np.ndarray, " N"], known: np.ndarray) -> Int[Tensor, " N"]:
    strange = labels[~np.isin(labels, known)]
    if len(strange):
        raise VaebenchError(f"{path}: y_test has label {strange[0]}, which is not in y_train; add images to train on")
    return torch.from_numpy(np.searchsorted(known, labels))


def _labels(y: np.ndarray, what: str, least: int = 0) -> Int[np.ndarray, " N"]:
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise VaebenchError(f"{what} has shape {y.shape}; expected one label an image, (N,)")
    if y.dtype.kind not in "iu":
        raise VaebenchError(f"{what} is {y.dtype}; expected integers from 0: convert it with astype(int)")
    if len(y) and int(y.min()) < least:
        raise VaebenchError(f"{what} has label {y.min()}; expected integers from {least}")
    return y.astype(np.int64)


def as_pixels(x: np.ndarray, what: str) -> UInt8[Tensor, "N C H W"]:
    """An array of images in any of the accepted layouts as 8-bit pixels; ``what`` is said in errors.

    Raises:
        VaebenchError: another shape or type, no image, NaN, or pixels out of range.
    """
    x = _channels_first(x, what)
    if x.size == 0:
        raise VaebenchError(f"{what} has shape {x.shape}, which holds no pixel; add images")
    if x.dtype.kind not in "biuf":
        raise VaebenchError(f"{what} is {x.dtype}; expected integers from 0 to 255 or floats from 0 to 1")
    low, high = x.min(), x.max()
    if x.dtype.kind in "bf":
        if not np.isfinite(low + high * 1.0):
            raise VaebenchError(f"{what} has pixels that are NaN or infinite; expected floats from 0 to 1: mend them")
        if low < 0 or high > 1:
            raise _out_of_range(what, low, high, "floats from 0 to 1")
        x = np.rint(x * np.float32(255))
    elif low < 0 or high > 255:
        raise _out_of_range(what, low, high, "integers from 0 to 255")
    elif high <= 1:
        raise VaebenchError(
            f"{what} is {x.dtype} with no pixel above {high}; integers are taken as 0 to 255: multiply by "
            "255, or save as floats from 0 to 1"
        )
    return torch.from_numpy(np.ascontiguousarray(x, dtype=np.uint8))


def _out_of_range(what: str, low: np.generic, high: np.generic, expected: str) -> VaebenchError:
    return VaebenchError(
        f"{what} has pixels from {low:.4g} to {high:.4g}; expected {expected}: undo the standardisation or rescale"
    )


def _channels_first(x: np.ndarray, what: str) -> np.ndarray:
    if x.ndim == 3:
        return x[:, None]
    first, last = x.ndim == 4 and x.shape[1] in (1, 3), x.ndim == 4 and x.shape[3] in (1, 3)
    if first == last:
        raise VaebenchError(
            f"{what} has shape {x.shape}; expected (N, H, W), (N, H, W, C) or (N, C, H, W) with C 1 or 3"
        )
    return x if first else np.moveaxis(x, 3, 1)
