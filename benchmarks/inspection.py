"""Time and memory of `vaebench inspect` on many images; prints one line for each set.

python benchmarks/inspection.py [--files 20000] [--rows 1000000]
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = 10


def write_files(folder: Path, count: int, side: int) -> None:
    """Write random smooth colour images as PNG files into class folders."""

    def write(number: int) -> None:
        rng = np.random.default_rng(number)
        small = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        small.resize((side, side), Image.Resampling.BICUBIC).save(folder / f"{number % CLASSES}" / f"{number:06}.png")

    for label in range(CLASSES):
        (folder / str(label)).mkdir(parents=True)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(count)))


def time_command(folder: Path) -> tuple[float, float]:
    """Seconds of the command in a fresh process, and its processor seconds."""
    start, before = time.monotonic(), os.times()
    command = [sys.executable, "-m", "vaebench.cli", "inspect", str(folder), "--out", str(folder.parent / "page.html")]
    subprocess.run(command, check=True, capture_output=True)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return time.monotonic() - start, used


def time_rows(count: int) -> tuple[float, float]:
    """Seconds, and growth of memory in megabytes, of the inspection of an array of images on the disk."""
    from vaebench.data.checks.inspection import inspect_images
    from vaebench.data.image_set import array_set
    from vaebench.data.survey import choose_rule, survey

    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "images.npy"
        array = np.lib.format.open_memmap(path, "w+", np.uint8, (count, 16, 16, 1))
        for start in range(0, count, 10_000):
            part = array[start : start + 10_000]
            part[...] = np.random.default_rng(start).integers(0, 256, part.shape, dtype=np.uint8)
        images = array_set(path, "images", np.load(path, mmap_mode="r"), lambda: "")
        before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
        seen = survey(images)
        inspect_images(images, choose_rule(seen), seen)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return time.monotonic() - begun, (after - before) / 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--rows", type=int, default=1_000_000)
    args = parser.parse_args()
    for side in (28, 128):
        with tempfile.TemporaryDirectory() as temporary:
            write_files(Path(temporary) / "images", args.files, side)
            seconds, used = time_command(Path(temporary) / "images")
            print(f"{args.files:,} PNG files of {side} x {side}: {seconds:.1f} s ({used:.1f} s of processor time)")
    seconds, megabytes = time_rows(args.rows)
    print(f"{args.rows:,} images of an array: {seconds:.1f} s, memory grows by {megabytes:.0f} MB")


if __name__ == "__main__":
    main()
