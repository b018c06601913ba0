"""Time and memory by size of the problem: `python benchmarks/growth.py [--minutes N] [--out DIR]`.

One epoch on synthetic images, one thread, fp32, each measurement in a process of its own: by number of images, in
memory and read from a file in blocks; by latents; by side of the images. Trials per minute of a sweep by its workers.
Resumes where it was stopped; writes growth.json, growth.md and growth/*.png.
"""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from benchmark_script import BenchmarkScript, Report, Row, Tasks, figures, import_script, provenance

from vaebench.experiments.experiment import Experiment
from vaebench.plotting.plots import Panel, Series, lines
from vaebench.training.compute import machine

VAEBENCH = Path(__file__).parent / "competitors" / "run_vaebench.py"
CONV = {"network": "conv", "latent": 20}
SMALL = {"network": "mlp", "hidden": [128], "latent": 20}
MINUTES = 4
"""Time on two cores."""
POINTS: dict[str, dict[float, dict[str, Any]]] = {
    "images, in memory": {n: {**SMALL, "images": n, "from": "memory"} for n in (1000, 10_000, 100_000, 1_000_000)},
    "images, from a file": {n: {**SMALL, "images": n, "from": "file"} for n in (1000, 10_000, 100_000, 1_000_000)},
    "latents": {d: {**CONV, "latent": d, "images": 5000, "from": "memory"} for d in (2, 8, 32, 128, 512)},
    "side of the images, pixels": {
        side: {**CONV, "side": side, "images": 5000 * 28**2 // side**2, "from": "memory"}
        for side in (16, 28, 32, 64, 128)
    },
    "workers": {n: {"workers": n, "trials": 30} for n in (1, 2, 4)},
}


def measure(experiment: Experiment, axis: str, value: float) -> Row:
    """Row of one point, measured in a process of its own."""
    sweep = axis == "workers"
    options = {"epochs": 2, "threads": 1, "seed": 0, "data": None, **POINTS[axis][value]}
    identity = {"what": "in a sweep" if sweep else "grown", **options, "machine": machine()}

    def make() -> dict[str, Any]:
        task = {"task": "sweep" if sweep else "grown", **options}
        if not sweep:
            task["data"] = str(make_images(experiment.folder, task["images"], task.get("side", 28)))
        command = [sys.executable, str(VAEBENCH), json.dumps(task)]
        process = subprocess.run(command, capture_output=True, text=True, check=True)
        measured: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
        return measured

    measured = experiment.step(f"{axis}/{value:g}".replace(" ", "-"), identity, make)
    rate = 60 / measured["seconds"] if sweep else measured["rate"]
    return {"axis": axis, "value": value, "rate": rate, "megabytes": measured.get("above")}


def make_images(folder: Path, images: int, side: int) -> Path:
    """File of random images, written on first use."""
    path = folder / f"{images}-{side}.npy"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        generator, part = np.random.default_rng(0), path.with_suffix(".part")
        pixels = np.lib.format.open_memmap(part, "w+", np.uint8, (images, 1, side, side))
        for start in range(0, images, 50_000):
            stop = min(start + 50_000, images)
            pixels[start:stop] = generator.integers(0, 256, (stop - start, 1, side, side), np.uint8)
        pixels.flush()
        part.replace(path)
    return path


def tasks(experiment: Experiment) -> Tasks:
    """Measurement of every point."""
    return {f"{axis}-{value}": partial(measure, experiment, axis, value) for axis in POINTS for value in POINTS[axis]}


def rows(experiment: Experiment) -> list[Row]:
    """One row per point."""
    rows = [measure(experiment, axis, value) for axis in POINTS for value in POINTS[axis]]
    experiment.figure("growth", lambda: lines(panels(rows), 3, (4.6, 3.0)))
    return rows


def panels(rows: list[Row]) -> list[Panel]:
    """Panels of time and memory by images and by their side, and of rates by latents and by workers."""

    def series(axis: str, key: str) -> Series:
        points = [row for row in rows if row["axis"] == axis]
        y = [row["value"] / row["rate"] if key == "seconds" else row[key] for row in points]
        return Series([row["value"] for row in points], y)

    sources = {"in memory": "images, in memory", "from a file, in blocks": "images, from a file"}
    quantities = {"seconds": "seconds per epoch", "megabytes": "memory above the imports (MB)"}
    drawn = [
        Panel("784-128-20 MLP", {name: series(axis, key) for name, axis in sources.items()}, "images", y, True, True)
        for key, y in quantities.items()
    ]
    convolutions, side, name = "32-64-64 convolutions", "side of the images, pixels", "in memory"
    others = [
        (convolutions, "latents", "rate", "images per second"),
        (convolutions, side, "rate", "images per second"),
        (convolutions, side, "megabytes", quantities["megabytes"]),
        ("a sweep", "workers", "rate", "trials per minute"),
    ]
    for title, axis, key, y in others:
        line = series(axis, key)
        drawn.append(Panel(title, {name: line}, axis, y, True, limits=(0, 1.1 * max(line.y))))
    return drawn


def render(report: Report) -> str:
    out = [
        "# Time and memory by size of the problem",
        "",
        f"{provenance(report, 'growth')} One thread, fp32, batches of 128, random images. Memory is the peak above "
        "that of the interpreter after all imports. Rows by side have 5,000 images of 28 x 28 or as many pixels in "
        "total; rows by images have 28 x 28 pixels. The trials of the sweep are as small as possible, to measure the "
        "sweep itself.",
        "",
        "| by | value | rate | memory, MB |",
        "|---|---|---|---|",
    ]
    for row in report["rows"]:
        unit = "trials per minute" if row["axis"] == "workers" else "images/s"
        memory = "\N{EN DASH}" if row["megabytes"] is None else f"{row['megabytes']:,.0f}"
        out.append(f"| {row['axis']} | {row['value']:,.0f} | {row['rate']:,.0f} {unit} | {memory} |")
    return "\n".join([*out, *figures(BENCHMARK)]) + "\n"


CAPTIONS = {
    "growth": "Time and memory of an epoch by number of images; speed by latents and by side of the images, memory by "
    "side; trials of a sweep by workers."
}
BENCHMARK = BenchmarkScript("growth", MINUTES, tasks, rows, render, CAPTIONS, max_workers=1)

if __name__ == "__main__":
    import_script("growth").BENCHMARK.run(__doc__)
