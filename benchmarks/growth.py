"""How time and memory grow: `python benchmarks/growth.py [--minutes N] [--out DIR]`.

One epoch on synthetic images, one thread, fp32, each measurement in a process of its own: by number of images, held in
memory and read from a file in blocks; by latents; by the images' side. Trials a minute of a sweep by its workers. Goes
on where it was stopped; writes growth.json, growth.md and growth/*.png.
"""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from bench import About, Bench, Row, Tasks, made_by

from vaebench.experiments.experiment import Experiment
from vaebench.plotting.plots import Panel, Series, lines
from vaebench.training.compute import machine

CONTESTANT = Path(__file__).parent / "contestants" / "by_us.py"
CONV = {"network": "conv", "latent": 20}
SMALL = {"network": "mlp", "hidden": [128], "latent": 20}
MINUTES = 4
"""On two cores."""
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


def measured(experiment: Experiment, axis: str, value: float) -> Row:
    """One point, by a process of its own."""
    task = POINTS[axis][value]
    what = "in a sweep" if axis == "workers" else "grown"
    task = {"what": what, "epochs": 2, "threads": 1, "seed": 0, "data": None, **task}

    def make() -> dict[str, Any]:
        if what == "grown":
            task["data"] = str(synthetic(experiment.folder, task["images"], task.get("side", 28)))
        run = subprocess.run([sys.executable, CONTESTANT, json.dumps(task)], capture_output=True, text=True, check=True)
        found: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
        return found

    found = experiment.step(f"{axis}/{value:g}".replace(" ", "-"), {**task, "machine": machine()}, make)
    rate = 60 / found["seconds"] if axis == "workers" else found["rate"]
    return {"axis": axis, "value": value, "rate": rate, "megabytes": found.get("above")}


def synthetic(folder: Path, images: int, side: int) -> Path:
    """A file of random images, made once."""
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
    """Every point."""
    return {f"{axis}-{value}": partial(measured, experiment, axis, value) for axis in POINTS for value in POINTS[axis]}


def rows(experiment: Experiment) -> list[Row]:
    """One a point."""
    found = [measured(experiment, axis, value) for axis in POINTS for value in POINTS[axis]]
    experiment.figure("growth", lambda: lines(panels(found), 3, (4.6, 3.0)))
    return found


def panels(found: list[Row]) -> list[Panel]:
    """Time and memory by images and by their side, rates by latents and by workers."""

    def series(axis: str, key: str) -> Series:
        points = [row for row in found if row["axis"] == axis]
        y = [row["value"] / row["rate"] if key == "seconds" else row[key] for row in points]
        return Series([row["value"] for row in points], y)

    ways = {"in memory": "images, in memory", "from a file, in blocks": "images, from a file"}
    words = (("seconds", "an epoch (s)"), ("megabytes", "memory above the interpreter (MB)"))
    drawn = [
        Panel("784-128-20 MLP", {way: series(axis, key) for way, axis in ways.items()}, "images", y, True, True)
        for key, y in words
    ]
    convolutions, side, name = "32-64-64 convolutions", "side of the images, pixels", "in memory"
    others = [
        (convolutions, "latents", "rate", "images a second"),
        (convolutions, side, "rate", "images a second"),
        (convolutions, side, "megabytes", words[1][1]),
        ("a sweep", "workers", "rate", "trials a minute"),
    ]
    for title, axis, key, y in others:
        line = series(axis, key)
        drawn.append(Panel(title, {name: line}, axis, y, True, limits=(0, 1.1 * max(line.y))))
    return drawn


def render(about: About) -> str:
    """growth.json as a page."""
    out = [
        "# How time and memory grow",
        "",
        f"{made_by(about, 'growth')} One thread, fp32, batches of 128, random images; memory is the peak above that of "
        "the interpreter with everything imported. The side of images is at 5,000 images of 28 x 28 or as many pixels; "
        "those of `images` are 28 x 28. A sweep's trials are as small as can be: what is measured is the sweep.",
        "",
        "| by | value | rate | memory, MB |",
        "|---|---|---|---|",
    ]
    for row in about["rows"]:
        unit = "trials a minute" if row["axis"] == "workers" else "images/s"
        memory = "\N{EN DASH}" if row["megabytes"] is None else f"{row['megabytes']:,.0f}"
        out.append(f"| {row['axis']} | {row['value']:,.0f} | {row['rate']:,.0f} {unit} | {memory} |")
    for name, words in BENCH.captions.items():
        out += ["", f"![{words}](growth/{name}.png)", "", f"*{words}*"]
    return "\n".join(out) + "\n"


CAPTIONS = {
    "growth": "Time and memory of an epoch by images; speed by latents and by side, memory by side; trials by workers."
}
BENCH = Bench("growth", MINUTES, tasks, rows, render, CAPTIONS, max_workers=1)

if __name__ == "__main__":
    BENCH.run(__doc__)
