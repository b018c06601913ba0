"""What readers of images make of the same file: `python benchmarks/readers.py [--out DIR]`.

Files of unusual kinds are written by tifffile, imagecodecs and Pillow, and read by vaebench, Pillow, tifffile, OpenCV
and imageio. The last two are packages of this script alone: pip install opencv-python-headless imageio. Writes
readers.json and readers.md.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import imagecodecs
import numpy as np
import tifffile
from benchmark_script import Report, provenance, without_traceback, write_report
from PIL import Image

from vaebench.core.provenance import commit
from vaebench.data.decoding import Options, decode
from vaebench.training.compute import machine

GENERATOR = np.random.default_rng(0)
GREY = GENERATOR.integers(0, 65536, (16, 20), np.uint16)
COLOUR = GENERATOR.integers(0, 65536, (16, 20, 3), np.uint16)
PACKAGES = {
    "vaebench": "vaebench",
    "Pillow": "pillow",
    "tifffile": "tifffile",
    "OpenCV": "opencv-python-headless",
    "imageio": "imageio",
}


def tiff(array: np.ndarray, **options: Any) -> bytes:
    """The bytes of a TIFF file."""
    file = io.BytesIO()
    tifffile.imwrite(file, array, **options)
    return file.getvalue()


class Case(NamedTuple):
    """A file and what it holds."""

    suffix: str
    data: bytes | bytearray
    right: np.ndarray
    """Values (H, W, C) that a viewer must show."""
    stored: np.ndarray | None = None
    """Values that are stored, where they must be converted."""


def samples(count: int) -> np.ndarray:
    """Random 8-bit values of so many channels."""
    return GENERATOR.integers(0, 256, (16, 20, count), np.uint8)


def cases() -> dict[str, Case]:
    """Each file by what it is."""
    planes = np.ascontiguousarray(np.moveaxis(COLOUR, 2, 0))
    two, five, inks = samples(2), samples(5), samples(4)
    floats = GENERATOR.normal(500, 100, (16, 20))
    half = (GENERATOR.random((16, 20))).astype(np.float16)
    signed = GENERATOR.integers(-3000, 3000, (16, 20)).astype(np.int16)
    alpha = np.concatenate([COLOUR, GENERATOR.integers(0, 65536, (16, 20, 1), np.uint16)], -1)
    laid = np.rint(alpha[..., :3] * (alpha[..., 3:] / 65535)).astype(np.uint16)
    grey_alpha = np.stack([GREY, np.full_like(GREY, 65535)], -1)
    rgb = np.asarray(Image.fromarray(inks, "CMYK").convert("RGB"))
    palette = GENERATOR.integers(0, 65536, (3, 256), np.uint16)
    palette_rgb = np.moveaxis(palette[:, five[..., 0]] >> 8, 0, 2).astype(np.uint8)
    files: dict[str, tuple[Any, ...]] = {
        "TIFF, 16-bit RGB, samples together": Case(".tif", tiff(COLOUR, photometric="rgb"), COLOUR),
        "TIFF, 16-bit RGB, in planes": Case(".tif", tiff(planes, photometric="rgb", planarconfig="separate"), COLOUR),
        "TIFF, 2 samples of 8 bits": Case(".tif", tiff(two, photometric="minisblack", planarconfig="contig"), two),
        "TIFF, 5 samples of 8 bits": Case(".tif", tiff(five, photometric="minisblack", planarconfig="contig"), five),
        "TIFF, 16-bit grey, big-endian": Case(".tif", tiff(GREY, byteorder=">"), GREY),
        "TIFF, 16-bit grey, zero is white": Case(".tif", tiff(GREY, photometric="miniswhite"), 65535 - GREY, GREY),
        "TIFF, CMYK of 8 bits": Case(".tif", tiff(inks, photometric="separated"), rgb, inks),
        "TIFF, palette": Case(
            ".tif", tiff(five[..., 0], photometric="palette", colormap=palette), palette_rgb, five[..., 0]
        ),
        "TIFF, float16": Case(".tif", tiff(half), half),
        "TIFF, float64": Case(".tif", tiff(floats), floats),
        "TIFF, int16": Case(".tif", tiff(signed), signed),
        "TIFF, 16-bit RGB with opacity": Case(
            ".tif", tiff(alpha, photometric="rgb", extrasamples=["unassalpha"]), laid, alpha
        ),
        "TIFF, 12 bits in 16": Case(".tif", tiff(GREY >> 4), GREY >> 4),
        "TIFF, 3 channels of OME": (
            ".ome.tif",
            tiff(planes, ome=True, photometric="minisblack", metadata={"axes": "CYX"}),
            COLOUR,
        ),
        "PNG, 16-bit RGB": Case(".png", imagecodecs.png_encode(COLOUR), COLOUR),
        "PNG, 16-bit grey with opacity": Case(".png", imagecodecs.png_encode(grey_alpha), GREY, grey_alpha),
        "JPEG 2000, 16-bit RGB": Case(".jp2", imagecodecs.jpeg2k_encode(COLOUR, level=0), COLOUR),
        "PGM, 16 bits": Case(".pgm", b"P5 20 16 65535\n" + GREY.astype(">u2").tobytes(), GREY),
    }
    return {name: Case(*file) for name, file in files.items()}


def read_opencv(path: Path) -> np.ndarray:
    """The array of OpenCV with colours in the order red, green, blue."""
    import cv2

    array: np.ndarray | None = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if array is None:
        raise ValueError("imread returned None")
    return array[..., [2, 1, 0, *range(3, array.shape[2])]] if array.ndim == 3 and array.shape[2] > 2 else array


def read_imageio(path: Path) -> np.ndarray:
    """The array of imageio."""
    import imageio.v3

    return np.asarray(imageio.v3.imread(path))


READERS: dict[str, Callable[[Path], np.ndarray]] = {
    "vaebench": lambda path: decode(path.read_bytes(), path.name, Options()).values,
    "Pillow": lambda path: np.asarray(Image.open(path)),
    "tifffile": tifffile.imread,
    "OpenCV": read_opencv,
    "imageio": read_imageio,
}


def outcome(array: np.ndarray, right: np.ndarray) -> str:
    """What an array is, compared with the right values (H, W, C), in words."""
    right = right[..., None] if right.ndim == 2 else right
    array = array[..., None] if array.ndim == 2 else array
    if array.shape[-2:] == right.shape[:2] and array.shape != right.shape:
        array = np.moveaxis(array, 0, -1)
    if array.shape[:2] != right.shape[:2]:
        return f"shape {array.shape}"
    kept = min(array.shape[2], right.shape[2])
    words = "" if array.shape[2] == right.shape[2] else f"{array.shape[2]} of {right.shape[2]} channels, "
    return words + _values(array[..., :kept].astype(np.float64), right[..., :kept].astype(np.float64), array.dtype)


def _values(array: np.ndarray, right: np.ndarray, dtype: np.dtype) -> str:
    if np.allclose(array, right, rtol=1e-6):
        return "right"
    if dtype == np.uint8 and right.max() > 255 and np.abs(array - right / 257).max() <= 1:
        return "8 bits of 16"
    if np.allclose(array, 65535 - right) or np.allclose(array, 255 - right):
        return "negative"
    if right.min() < 0 and np.allclose(array % 65536, right % 65536):
        return "negative values as large ones"
    if np.abs(array - right.clip(0, 255)).max() < 1:
        return "cut off at 0 and 255"
    return f"other values ({np.isclose(array, right).mean():.0%} right)"


def read(reader: str, case: Case) -> str:
    """What a reader makes of a file, in words."""
    if reader == "tifffile" and "tif" not in case.suffix:
        return ""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"image{case.suffix}"
        path.write_bytes(case.data)
        try:
            array = READERS[reader](path)
        except Exception as error:  # the readers raise many kinds
            return f"refused ({type(error).__name__})"
    words = outcome(array, case.right)
    if words != "right" and case.stored is not None and outcome(array, case.stored) == "right":
        return "as stored, not converted"
    return words


def render(report: Report) -> str:
    """The page readers.md."""
    versions = report["made"]["versions"]
    out = [
        "# What readers make of the same file",
        "",
        f"{provenance(report, 'readers')} Each file holds random values, written by tifffile, imagecodecs or by hand, "
        "and is read with the default settings of each library. *Right* means: as a viewer must show it, so opacity "
        "laid on black, palettes looked up, white as the high value.",
        "",
        "| file | " + " | ".join(f"{name} {versions[name]}" for name in READERS) + " |",
        "|---|" + "---|" * len(READERS),
    ]
    for row in report["rows"]:
        out.append(f"| {row['file']} | " + " | ".join(row[name] or "not its format" for name in READERS) + " |")
    return "\n".join(out) + "\n"


def main() -> None:
    """Run as a command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs") / "readers")
    options = parser.parse_args()
    start = time.monotonic()
    with without_traceback():
        rows = [{"file": name} | {r: read(r, case) for r in READERS} for name, case in cases().items()]
        versions = {name: importlib.metadata.version(package) for name, package in PACKAGES.items()}
        made = {"seconds": time.monotonic() - start, "date": time.strftime("%Y-%m-%d"), "commit": commit()}
        report = {"made": made | {"machine": machine(), "versions": versions}, "rows": rows}
        write_report(report, render, options.out / "readers.json")


if __name__ == "__main__":
    main()
