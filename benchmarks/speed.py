"""How fast vaebench is beside others: `python benchmarks/speed.py [--only NAME ...] [--rounds N] [--out DIR]`.

Contestants run one after another in interleaved rounds, each in a process of its own: pythae 0.1.2 in an environment
that is made for it, a plain PyTorch loop, the papers' own ways, and vaebench. Medians over rounds; goes on where it was
stopped; writes speed.json and speed.md.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from bench import without_traceback
from contest import PYTHAE, Contest, row

from vaebench.core.files import write_json, write_text
from vaebench.core.provenance import commit
from vaebench.training.compute import machine

CONV = {"network": "conv", "latent": 20}
WIDE = {"network": "mlp", "hidden": [500, 500], "latent": 10}
SMALL = {"network": "mlp", "hidden": [128], "latent": 20}
NETWORKS = {"32-64-64 convolutions": CONV, "784-500-500-10 MLP": WIDE, "784-128-20 MLP": SMALL}
WAYS: dict[str, dict[str, Any]] = {
    "fp32": {"precision": "fp32"},
    "bf16": {"precision": "bf16"},
    "fp32, compiled": {"precision": "fp32", "compile": True},
    "bf16, compiled": {"precision": "bf16", "compile": True},
}
TRIED, SEEDS = (3, 4, 5, 6), 3
"""Epochs of one cycle, until the other's validation loss is reached with every seed."""
MUON = {"kind": "muon", "rate": 0.05}
FIVE = {"epochs": 5, "optimiser": {"kind": "adam", "rate": 7e-3, "beta2": 0.99}}
WINDOWS: dict[str, dict[str, int]] = {
    "in windows of 256 blocks of 64 KB": {},
    "in windows that are as small beside it as those are beside 2 GB": {"block_bytes": 1 << 11, "window": 220},
}
FILES: dict[str, dict[str, Any]] = {
    "PNG files of 28 x 28": {"files": 10_000, "side": 28, "suffix": "png"},
    "JPEG files of 640 x 640": {"files": 2_000, "side": 640, "suffix": "jpg"},
}
BIG = 2_600_000
"""Images of 784 bytes: 2 GB."""


def training(contest: Contest) -> list[dict[str, Any]]:
    """Training the same network."""
    rows = []
    for threads in (1, 2):
        for network, parts in NETWORKS.items():
            size = {"images": 6_400 if parts is CONV else 38_400, "epochs": 6, "batch": 128, "threads": threads}
            task = {"what": "train", **parts, **size}
            tasks = {"pythae": ("by_pythae", task), "plain": ("by_us", {**task, "what": "plain"})}
            tasks |= {way: ("by_us", {**task, **more}) for way, more in WAYS.items()}
            found = contest.play(tasks)
            for way in WAYS:
                for other in ("pythae", "plain"):
                    rows.append(row(f"training, {network}, {way}, beside {other}", found[way], found[other], threads))
            rows += ceilings(contest, network, {**parts, "threads": threads}, found)
    return rows


def ceilings(
    contest: Contest, network: str, task: dict[str, Any], found: dict[str, list[dict[str, Any]]]
) -> list[dict[str, Any]]:
    """The same training beside what the processor's peak in products would make of it."""
    asked = contest.answer("by_us", {**task, "what": "work"}, 0)["operations"]
    peaks = contest.play({"peak": ("by_us", {"what": "peak", "threads": task["threads"]})})["peak"]
    rows = []
    for precision in ("fp32", "bf16"):
        bounds = [{**one, "rate": one["operations"][precision] / asked} for one in peaks]
        what = f"training, {network}, {precision}, beside this processor's peak"
        most = statistics.median(
            bound["rate"] / one["rate"] for bound, one in zip(bounds, found["pythae"], strict=True)
        )
        rows.append(row(what, found[precision], bounds, task["threads"], most=most))
    return rows


def quality(contest: Contest) -> list[dict[str, Any]]:
    """Time to the validation loss of 20 epochs at a constant rate, by the fewest epochs of one cycle of Muon that reach
    it with every seed."""
    theirs = _all_seeds(contest, "by_pythae", epochs=20)
    for epochs in TRIED:
        ours = _all_seeds(contest, "by_us", epochs=epochs, optimiser=MUON, precision="auto")
        if reached := all(one["loss"] <= other["loss"] for one, other in zip(ours, theirs, strict=True)):
            break
    what = f"{epochs} epochs of one cycle of Muon, beside 20 of Adam at a constant rate, whose validation loss they "
    what += "reach with every seed" if reached else "do NOT reach with every seed"
    return [row(what, ours, theirs, 2, "s", "seconds", losses=_losses(ours, theirs))]


def rounding(contest: Contest) -> list[dict[str, Any]]:
    """What bf16 does to the loss that a training ends with."""
    ours, theirs = (_all_seeds(contest, "by_us", **FIVE, precision=precision) for precision in ("bf16", "fp32"))
    what = "5 epochs of one cycle in bf16, beside the same in fp32"
    return [row(what, ours, theirs, 2, "s", "seconds", losses=_losses(ours, theirs))]


def shuffling(contest: Contest) -> list[dict[str, Any]]:
    """What reading in shuffled blocks does to the loss, of a file sorted by class."""
    file, order = contest.out / "sorted.npy", np.argsort(np.load(contest.out / "labels.npy"), kind="stable")
    np.save(file, np.load(contest.out / "images.npy")[order])
    in_memory, rows = _all_seeds(contest, "by_us", **FIVE, precision="fp32"), []
    for words, window in WINDOWS.items():
        ours = _all_seeds(contest, "by_us", **FIVE, precision="fp32", blocks={"path": str(file), **window})
        what = f"5 epochs of one cycle from a file sorted by class, {words}, beside shuffled in memory"
        rows.append(row(what, ours, in_memory, 2, "s", "seconds", losses=_losses(ours, in_memory)))
    return rows


def _all_seeds(contest: Contest, script: str, **more: Any) -> list[dict[str, Any]]:
    """Time and validation loss of a training of the convolutional network, with every seed."""
    validation = str(contest.out / "validation.npy")
    base = {"what": "quality", **CONV, "images": 55_000, "batch": 128, "threads": 2, "validation": validation}
    return [contest.answer(script, {**base, **more, "seed": seed}, 0) for seed in range(SEEDS)]


def _losses(*contestants: list[dict[str, Any]]) -> list[list[float]]:
    return [[round(one["loss"], 2) for one in each] for each in contestants]


def evidence(contest: Contest) -> list[dict[str, Any]]:
    """log p(x) by importance weighting."""
    rows = []
    for samples, images in ((1000, 24), (5000, 8)):
        task = {"what": "evidence", **CONV, "images": images, "samples": samples, "chunk": 500, "threads": 1}
        ways = {precision: ("by_us", {**task, "precision": precision}) for precision in ("fp32", "bf16")}
        found = contest.play({"pythae": ("by_pythae", task), **ways})
        for precision in ways:
            what = f"log p(x), {samples:,} samples, networks in {precision}"
            rows.append(row(what, found[precision], found["pythae"], 1))
        exact, rounded = (found[precision][0] for precision in ways)
        rows[-1] |= {"moved": rounded["log_px"] - exact["log_px"], "error": exact["error"]}
    return rows


def heads(contest: Contest) -> list[dict[str, Any]]:
    """Heads on latents."""
    task = {**CONV, "images": 55_000, "epochs": 10, "threads": 1}
    ways = {precision: {"what": "heads", "precision": precision} for precision in ("fp32", "bf16")}
    ways["theirs"] = {"what": "heads, their way"}
    found = contest.play({way: ("by_us", {**task, **more}) for way, more in ways.items()})
    what = "a linear head, 10 epochs of 55,000 images, encoding included, in"
    rows = [row(f"{what} {way}", found[way], found["theirs"], 1, "s", "seconds") for way in ("fp32", "bf16")]
    task = {**CONV, "images": 55_000, "epochs": 100, "threads": 1, "counts": [1, 3, 5, 10, 30, 100, 300]}
    found = contest.play({way: ("by_us", {**task, "what": way}) for way in ("together", "one by one")})
    apart = max(
        abs(a - b)
        for one, other in zip(found["together"], found["one by one"], strict=True)
        for a, b in zip(one["weights"], other["weights"], strict=True)
    )
    what = "35 few-label heads, 100 epochs, beside one by one"
    rows.append(row(what, found["together"], found["one by one"], 1, "s", "seconds", apart=apart))
    return rows


def beyond_memory(contest: Contest) -> list[dict[str, Any]]:
    """Data of 2 GB read in blocks, beside the same number of images held in memory."""
    big = contest.out / "big.npy"
    if not big.exists():
        pixels = np.lib.format.open_memmap(contest.out / "big.npy.part", "w+", np.uint8, (BIG, 1, 28, 28))
        few = np.load(contest.out / "images.npy")
        for start in range(0, BIG, len(few)):
            pixels[start : start + len(few)] = few[: BIG - start]
        pixels.flush()
        (contest.out / "big.npy.part").replace(big)
    task = {**SMALL, "precision": "bf16", "images": 50_000, "epochs": 4, "threads": 1}
    blocks = {**task, "what": "grown", "from": "file", "data": str(big), "part": True}
    found = contest.play({"blocks": ("by_us", blocks), "memory": ("by_us", {**task, "what": "train"})})
    above = max(one["above"] for one in found["blocks"])
    what = "training from a file of 2 GB, beside memory, 784-128-20 MLP"
    return [row(what, found["blocks"], found["memory"], 1, megabytes_above_imports=above)]


def sweeps(contest: Contest) -> list[dict[str, Any]]:
    """What a sweep adds to each trial."""
    task = {"trials": 22, "workers": 1, "threads": 1}
    ways = ("in a sweep", "in a row")
    found = contest.play({way: ("by_us", {**task, "what": way}) for way in ways})
    each = [statistics.median(one["seconds"] for one in found[way]) for way in ways]
    what = "a small trial of a sweep, its worker warm, beside the same in one process"
    return [row(what, found[ways[0]], found[ways[1]], 1, "s", "seconds", overhead=each[0] - each[1])]


def predictions(contest: Contest) -> list[dict[str, Any]]:
    """A classifier applied to files, beside the README's lines for onnxruntime, image by image."""
    rows = []
    for words, sizes in FILES.items():
        base = {**sizes, "folder": str(contest.out / "predictions"), "threads": 2}
        contest.answer("by_us", {**base, "what": "prepare"}, 0)
        found = contest.play({way: ("by_us", {**base, "what": way}) for way in ("predict", "ten lines")})
        what = f"predict, {sizes['files']:,} {words}, beside the README's lines for onnxruntime"
        rows.append(row(what, found["predict"], found["ten lines"], 2))
    return rows


class Measure(NamedTuple):
    """Some rows, and the minutes that they take on two cores of an AMD EPYC in three rounds."""

    minutes: int
    rows: Callable[[Contest], list[dict[str, Any]]]


MEASURES = {
    "training": Measure(25, training),
    "quality": Measure(22, quality),
    "rounding": Measure(5, rounding),
    "shuffling": Measure(5, shuffling),
    "evidence": Measure(2, evidence),
    "heads": Measure(4, heads),
    "beyond-memory": Measure(1, beyond_memory),
    "sweeps": Measure(2, sweeps),
    "predictions": Measure(1, predictions),
}


def measured(contest: Contest, measures: dict[str, Measure]) -> list[dict[str, Any]]:
    """All rows of these measures; says what is left before each."""
    rows, left = [], sum(measure.minutes for measure in measures.values())
    for name, measure in measures.items():
        print(f"{name}: {measure.minutes} of about {left} minutes left; what was measured before is read", flush=True)
        rows += measure.rows(contest)
        left -= measure.minutes
    return rows


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=tuple(MEASURES), default=tuple(MEASURES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", default="runs/speed", help="where speed.json and speed.md are written")
    asked = parser.parse_args()
    out = Path(asked.out)
    measures = {name: measure for name, measure in MEASURES.items() if name in asked.only}
    with without_traceback():
        rows = measured(Contest(out, asked.rounds), measures)
    about = {"machine": machine(), "commit": commit(), "rounds": asked.rounds, "peer": PYTHAE, "rows": rows}
    about["left_out"] = [name for name in MEASURES if name not in measures]
    write_json(out / "speed.json", about)
    write_text(out / "speed.md", render(about))
    print(f"open {out / 'speed.md'}")


def render(about: dict[str, Any]) -> str:
    """speed.json as a page."""
    here = about["machine"]
    lines = [
        "# Speed, side by side",
        "",
        f"Made by `{command(about)}` at commit {(about['commit'] or 'unknown')[:12]} on {here['processor']}, "
        f"{here['cores']} cores, torch {here['versions']['torch']}. Contestants take turns, {about['rounds']} rounds, "
        f"each in a process of its own; the other is {about['peer']} at its fastest (in-memory tensors, no worker "
        "processes, fused Adam), or what is named. A ratio above 1 means that vaebench is faster; its spread is over "
        "rounds. Rates of training are those of the median epoch, the first left out. A processor's peak is what all "
        "products and convolutions of a step would take at the rate of the fastest one measured, with nothing else "
        "to do.",
        *(["", f"Not measured this time: {', '.join(about['left_out'])}."] if about["left_out"] else []),
        "",
        "| what | threads | vaebench | other | ratio | spread | peak memory, MB |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in about["rows"]:
        low, high = one["spread"]
        mine, theirs = one["megabytes"]
        lines.append(
            f"| {one['what']} | {one['threads']} | {_figure(one['ours'])} {one['unit']} | {_figure(one['other'])} "
            f"{one['unit']} | **{one['ratio']:.2f}** | {low:.2f} to {high:.2f} | {mine:,.0f} / {theirs:,.0f} |"
        )
    for one in about["rows"]:
        if "apart" in one:
            lines += ["", f"Sums of weights of the 35 heads, trained both ways, differ by at most {one['apart']:.1e}."]
        if "most" in one:
            lines += [
                "",
                f"At that peak ({one['what'].split(', beside')[0]}, threads: {one['threads']}) nothing could be more "
                f"than {one['most']:.2f} times as fast as pythae.",
            ]
        if "moved" in one:
            lines += [
                "",
                f"{one['what']}: this moves the mean by {one['moved']:+.3f} nats per image; its standard error by the "
                f"drawing of codes is {one['error']:.3f}. The network had been trained a little before, which "
                "vaebench's peak memory includes.",
            ]
        if "overhead" in one:
            lines += ["", f"A sweep adds {one['overhead']:.3f} s to each trial."]
        if "losses" in one:
            mine, theirs = (", ".join(f"{loss:.2f}" for loss in losses) for losses in one["losses"])
            apart = statistics.mean(one["losses"][0]) - statistics.mean(one["losses"][1])
            seeds = max(statistics.stdev(losses) for losses in one["losses"])
            lines += [
                "",
                f"Validation losses of {one['what']}, by seed: {mine}; of the other: {theirs} nats per image. "
                f"Their means differ by {apart:+.2f}; seeds have a standard deviation of {seeds:.2f}.",
            ]
        if "megabytes_above_imports" in one:
            above = one["megabytes_above_imports"]
            lines += ["", f"Reading the 2 GB took at most {above:.0f} MB above the interpreter with all imported."]
    return "\n".join(lines) + "\n"


def command(about: dict[str, Any]) -> str:
    """What made these rows."""
    if not about["left_out"]:
        return "make speed"
    names = " ".join(name for name in MEASURES if name not in about["left_out"])
    return f"python benchmarks/speed.py --rounds {about['rounds']} --only {names}"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    main()
