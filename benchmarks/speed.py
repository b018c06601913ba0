"""Speed of vaebench compared with others: `python benchmarks/speed.py [--only NAME ...] [--rounds N] [--out DIR]`.

Competitors run in turn, in interleaved rounds, each in a process of its own: pythae 0.1.2 in an environment of its own,
a plain PyTorch loop, the code of the papers, and vaebench. Reports medians over rounds. Resumes where it was stopped;
writes speed.json, speed.md and speed/ratios.png.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from benchmark_script import without_traceback, write_report
from comparison import PYTHAE, Comparison, comparison_row
from speed_summary import PICTURE, sentences, write_picture

from vaebench.core.provenance import commit
from vaebench.deprecated import upgrade_rows
from vaebench.training.compute import machine

CONV = {"network": "conv", "latent": 20}
WIDE = {"network": "mlp", "hidden": [500, 500], "latent": 10}
SMALL = {"network": "mlp", "hidden": [128], "latent": 20}
NETWORKS = {"32-64-64 convolutions": CONV, "784-500-500-10 MLP": WIDE, "784-128-20 MLP": SMALL}
PRECISIONS: dict[str, dict[str, Any]] = {
    "fp32": {"precision": "fp32"},
    "bf16": {"precision": "bf16"},
    "fp32, compiled": {"precision": "fp32", "compile": True},
    "bf16, compiled": {"precision": "bf16", "compile": True},
}
TRIED_EPOCHS, SEEDS = (3, 4, 5, 6), 3
"""Epochs of one cycle to try until pythae's validation loss is reached with every seed."""
MUON = {"kind": "muon", "rate": 0.05}
FIVE = {"epochs": 5, "optimiser": {"kind": "adam", "rate": 7e-3, "beta2": 0.99}}
WINDOWS: dict[str, dict[str, int]] = {
    "in windows of 256 blocks of 64 KB": {},
    "in windows as small relative to the file as the default for 2 GB": {"block_bytes": 1 << 11, "window": 220},
}
FILES: dict[str, dict[str, Any]] = {
    "PNG files of 28 x 28": {"files": 10_000, "side": 28, "suffix": "png"},
    "JPEG files of 640 x 640": {"files": 2_000, "side": 640, "suffix": "jpg"},
}
BIG = 2_600_000
"""Images of 784 bytes, 2 GB in total."""


def training(comparison: Comparison) -> list[dict[str, Any]]:
    """Training of the same networks."""
    rows = []
    for threads in (1, 2):
        for network, model in NETWORKS.items():
            size = {"images": 6_400 if model is CONV else 38_400, "epochs": 6, "batch": 128, "threads": threads}
            task = {"task": "train", **model, **size}
            tasks = {"pythae": ("run_pythae", task), "plain": ("run_vaebench", {**task, "task": "plain"})}
            tasks |= {name: ("run_vaebench", {**task, **options}) for name, options in PRECISIONS.items()}
            results = comparison.run_rounds(tasks)
            for name in PRECISIONS:
                for other in ("pythae", "plain"):
                    title = f"training, {network}, {name}, compared with {other}"
                    rows.append(comparison_row(title, results[name], results[other], threads))
            rows += peak_rows(comparison, network, {**model, "threads": threads}, results)
    return rows


def peak_rows(
    comparison: Comparison, network: str, task: dict[str, Any], results: dict[str, list[dict[str, Any]]]
) -> list[dict[str, Any]]:
    """Training speed compared with the speed at the processor's peak FLOPS."""
    flops = comparison.run("run_vaebench", {**task, "task": "flops"}, 0)["operations"]
    peaks = comparison.run_rounds({"peak": ("run_vaebench", {"task": "peak", "threads": task["threads"]})})["peak"]
    rows = []
    for precision in ("fp32", "bf16"):
        bounds = [{**one, "rate": one["operations"][precision] / flops} for one in peaks]
        title = f"training, {network}, {precision}, compared with this processor's peak"
        most = statistics.median(
            bound["rate"] / one["rate"] for bound, one in zip(bounds, results["pythae"], strict=True)
        )
        rows.append(comparison_row(title, results[precision], bounds, task["threads"], most=most))
    return rows


def quality(comparison: Comparison) -> list[dict[str, Any]]:
    """Time to the validation loss of 20 epochs at a constant rate, by the fewest epochs of one cycle of Muon that reach
    it with every seed."""
    pythae = _train_all_seeds(comparison, "run_pythae", epochs=20)
    for epochs in TRIED_EPOCHS:
        ours = _train_all_seeds(comparison, "run_vaebench", epochs=epochs, optimiser=MUON, precision="auto")
        if reached := all(one["loss"] <= other["loss"] for one, other in zip(ours, pythae, strict=True)):
            break
    title = f"{epochs} epochs of one cycle of Muon, compared with 20 of Adam at a constant rate, whose validation loss "
    title += "they reach with every seed" if reached else "they do NOT reach with every seed"
    return [comparison_row(title, ours, pythae, 2, "s", "seconds", losses=_losses(ours, pythae))]


def rounding(comparison: Comparison) -> list[dict[str, Any]]:
    """Effect of bf16 on the final loss of a training."""
    bf16, fp32 = (_train_all_seeds(comparison, "run_vaebench", **FIVE, precision=name) for name in ("bf16", "fp32"))
    title = "5 epochs of one cycle in bf16, compared with the same in fp32"
    return [comparison_row(title, bf16, fp32, 2, "s", "seconds", losses=_losses(bf16, fp32))]


def shuffling(comparison: Comparison) -> list[dict[str, Any]]:
    """Effect of reading in shuffled blocks on the final loss, for a file sorted by class."""
    file, order = comparison.out / "sorted.npy", np.argsort(np.load(comparison.out / "labels.npy"), kind="stable")
    np.save(file, np.load(comparison.out / "images.npy")[order])
    options, rows = {**FIVE, "precision": "fp32"}, []
    memory = _train_all_seeds(comparison, "run_vaebench", **options)
    for name, window in WINDOWS.items():
        ours = _train_all_seeds(comparison, "run_vaebench", **options, blocks={"path": str(file), **window})
        title = f"5 epochs of one cycle from a file sorted by class, {name}, compared with shuffled in memory"
        rows.append(comparison_row(title, ours, memory, 2, "s", "seconds", losses=_losses(ours, memory)))
    return rows


def _train_all_seeds(comparison: Comparison, script: str, **more: Any) -> list[dict[str, Any]]:
    """Time and validation loss of training the convolutional network, by seed."""
    validation = str(comparison.out / "validation.npy")
    base = {"task": "quality", **CONV, "images": 55_000, "batch": 128, "threads": 2, "validation": validation}
    return [comparison.run(script, {**base, **more, "seed": seed}, 0) for seed in range(SEEDS)]


def _losses(*competitors: list[dict[str, Any]]) -> list[list[float]]:
    return [[round(one["loss"], 2) for one in each] for each in competitors]


def evidence(comparison: Comparison) -> list[dict[str, Any]]:
    """log p(x) by importance weighting."""
    rows = []
    for samples, images in ((1000, 24), (5000, 8)):
        task = {"task": "evidence", **CONV, "images": images, "samples": samples, "chunk": 500, "threads": 1}
        tasks = {precision: ("run_vaebench", {**task, "precision": precision}) for precision in ("fp32", "bf16")}
        results = comparison.run_rounds({"pythae": ("run_pythae", task), **tasks})
        for precision in tasks:
            title = f"log p(x), {samples:,} samples, networks in {precision}"
            rows.append(comparison_row(title, results[precision], results["pythae"], 1))
        fp32, bf16 = (results[precision][0] for precision in tasks)
        rows[-1] |= {"moved": bf16["log_px"] - fp32["log_px"], "error": fp32["error"]}
    return rows


def heads(comparison: Comparison) -> list[dict[str, Any]]:
    """Linear probes of latents."""
    task = {**CONV, "images": 55_000, "epochs": 10, "threads": 1}
    options: dict[str, dict[str, Any]] = {name: {"task": "heads", "precision": name} for name in ("fp32", "bf16")}
    options["papers"] = {"task": "heads of the papers"}
    results = comparison.run_rounds({name: ("run_vaebench", {**task, **more}) for name, more in options.items()})
    title = "a linear head, 10 epochs of 55,000 images, encoding included, in"
    rows = [
        comparison_row(f"{title} {precision}", results[precision], results["papers"], 1, "s", "seconds")
        for precision in ("fp32", "bf16")
    ]
    task = {**CONV, "images": 55_000, "epochs": 100, "threads": 1, "counts": [1, 3, 5, 10, 30, 100, 300]}
    results = comparison.run_rounds(
        {name: ("run_vaebench", {**task, "task": name}) for name in ("batched", "sequential")}
    )
    batched, sequential = results["batched"], results["sequential"]
    apart = max(
        abs(a - b)
        for one, other in zip(batched, sequential, strict=True)
        for a, b in zip(one["weights"], other["weights"], strict=True)
    )
    title = "35 few-label heads, 100 epochs, compared with one by one"
    return [*rows, comparison_row(title, batched, sequential, 1, "s", "seconds", apart=apart)]


def beyond_memory(comparison: Comparison) -> list[dict[str, Any]]:
    """A file of 2 GB read in blocks, compared with the same number of images in memory."""
    big, part = comparison.out / "big.npy", comparison.out / "big.npy.part"
    if not big.exists():
        pixels = np.lib.format.open_memmap(part, "w+", np.uint8, (BIG, 1, 28, 28))
        few = np.load(comparison.out / "images.npy")
        for start in range(0, BIG, len(few)):
            pixels[start : start + len(few)] = few[: BIG - start]
        pixels.flush()
        part.replace(big)
    task = {**SMALL, "precision": "bf16", "images": 50_000, "epochs": 4, "threads": 1}
    blocks = {**task, "task": "grown", "from": "file", "data": str(big), "part": True}
    tasks = {"blocks": ("run_vaebench", blocks), "memory": ("run_vaebench", {**task, "task": "train"})}
    results = comparison.run_rounds(tasks)
    above = max(one["above"] for one in results["blocks"])
    title = "training from a file of 2 GB, compared with memory, 784-128-20 MLP"
    return [comparison_row(title, results["blocks"], results["memory"], 1, megabytes_above_imports=above)]


def sweeps(comparison: Comparison) -> list[dict[str, Any]]:
    """Overhead of a sweep per trial."""
    task = {"trials": 22, "workers": 1, "threads": 1}
    results = comparison.run_rounds({name: ("run_vaebench", {**task, "task": name}) for name in ("sweep", "trials")})
    sweep, alone = (statistics.median(one["seconds"] for one in results[name]) for name in results)
    title = "a small trial of a sweep, its worker warm, compared with the same in one process"
    return [comparison_row(title, results["sweep"], results["trials"], 1, "s", "seconds", overhead=sweep - alone)]


def predictions(comparison: Comparison) -> list[dict[str, Any]]:
    """A classifier applied to files, compared with the README's code for onnxruntime, image by image."""
    rows = []
    for name, sizes in FILES.items():
        base = {**sizes, "folder": str(comparison.out / "predictions"), "threads": 2}
        comparison.run("run_vaebench", {**base, "task": "prepare"}, 0)
        results = comparison.run_rounds({way: ("run_vaebench", {**base, "task": way}) for way in ("predict", "readme")})
        title = f"predict, {sizes['files']:,} {name}, compared with the README's lines for onnxruntime"
        rows.append(comparison_row(title, results["predict"], results["readme"], 2))
    return rows


class Measurement(NamedTuple):
    """Function that measures some rows, and its minutes on two cores of an AMD EPYC in three rounds."""

    minutes: int
    rows: Callable[[Comparison], list[dict[str, Any]]]


MEASUREMENTS = {
    "training": Measurement(25, training),
    "quality": Measurement(22, quality),
    "rounding": Measurement(5, rounding),
    "shuffling": Measurement(5, shuffling),
    "evidence": Measurement(2, evidence),
    "heads": Measurement(4, heads),
    "beyond-memory": Measurement(1, beyond_memory),
    "sweeps": Measurement(2, sweeps),
    "predictions": Measurement(1, predictions),
}


def measure(comparison: Comparison, names: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of these measurements; prints the remaining time before each."""
    rows, left = [], sum(MEASUREMENTS[name].minutes for name in names)
    for name in names:
        minutes = MEASUREMENTS[name].minutes
        print(f"{name}: {minutes} of about {left} minutes left; kept measurements are read", flush=True)
        rows += MEASUREMENTS[name].rows(comparison)
        left -= minutes
    return rows


def main() -> None:
    """Measure, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=tuple(MEASUREMENTS), default=tuple(MEASUREMENTS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/speed"), help="folder for speed.json and speed.md")
    options = parser.parse_args()
    names = [name for name in MEASUREMENTS if name in options.only]
    with without_traceback():
        rows = measure(Comparison(options.out, options.rounds), names)
    report = {"machine": machine(), "commit": commit(), "rounds": options.rounds, "peer": PYTHAE, "rows": rows}
    report["left_out"] = [name for name in MEASUREMENTS if name not in names]
    write_report(report, render, options.out / "speed.json")
    write_picture(rows, options.out)


def render(report: dict[str, Any]) -> str:
    report = upgrade_rows(report)
    here = report["machine"]
    lines = [
        "# Speed compared with other code",
        *["", f"![Speed relative to other code]({PICTURE})"],
        *(line for text in sentences(report["rows"]) for line in ("", text)),
        "",
        f"Made by `{command(report)}` at commit {(report['commit'] or 'unknown')[:12]} on {here['processor']}, "
        f"{here['cores']} cores, torch {here['versions']['torch']}. Competitors run in turn, {report['rounds']} "
        f"rounds, each in a process of its own. The other code is {report['peer']} in its fastest configuration "
        "(tensors in memory, no worker processes, fused Adam) unless the row names another: *plain* is a plain "
        "PyTorch loop. Values are medians over rounds. A ratio above 1 means that vaebench is faster; its spread is "
        "the range over rounds. The rate of a training is that of its median epoch, without the first. The "
        "processor's peak is the rate if all matrix products and convolutions of a step ran at the highest rate "
        "measured for either, and nothing else took time.",
        *(["", f"Not measured in this run: {', '.join(report['left_out'])}."] if report["left_out"] else []),
        "",
        "| task | threads | vaebench | other | ratio | spread | peak memory, MB |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in report["rows"]:
        low, high = row["spread"]
        ours, other = row["megabytes"]
        lines.append(
            f"| {row['title']} | {row['threads']} | {_number(row['ours'])} {row['unit']} | {_number(row['other'])} "
            f"{row['unit']} | **{row['ratio']:.2f}** | {low:.2f} to {high:.2f} | {ours:,.0f} / {other:,.0f} |"
        )
    for row in report["rows"]:
        lines += [line for note in _notes(row) for line in ("", note)]
    return "\n".join(lines) + "\n"


def _notes(row: dict[str, Any]) -> Iterator[str]:
    """Sentences below the table about one row."""
    if "apart" in row:
        yield f"Sums of weights of the 35 heads, trained both ways, differ by at most {row['apart']:.1e}."
    if "most" in row:
        training = row["title"].split(", compared with")[0]
        yield (
            f"At the processor's peak ({training}, threads: {row['threads']}) training would "
            f"be {row['most']:.2f} times as fast as pythae."
        )
    if "moved" in row:
        yield (
            f"{row['title']}: bf16 changes the mean by {row['moved']:+.3f} nats per image; its standard error over "
            f"samples of z is {row['error']:.3f}. The network was trained briefly before, which vaebench's peak memory "
            "includes."
        )
    if "overhead" in row:
        yield f"A sweep adds {row['overhead']:.3f} s to each trial."
    if "losses" in row:
        ours, other = (", ".join(f"{loss:.2f}" for loss in losses) for losses in row["losses"])
        difference = statistics.mean(row["losses"][0]) - statistics.mean(row["losses"][1])
        seeds = max(statistics.stdev(losses) for losses in row["losses"])
        yield (
            f"Validation losses of {row['title']}, by seed: {ours}; of the other: {other} nats per image. Their means "
            f"differ by {difference:+.2f}; the standard deviation over seeds is {seeds:.2f}."
        )
    if "megabytes_above_imports" in row:
        yield f"Reading the 2 GB took at most {row['megabytes_above_imports']:.0f} MB more than the imports."


def command(report: dict[str, Any]) -> str:
    """Command that measured the rows."""
    if not report["left_out"]:
        return "make speed"
    names = " ".join(name for name in MEASUREMENTS if name not in report["left_out"])
    return f"python benchmarks/speed.py --rounds {report['rounds']} --only {names}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    main()
