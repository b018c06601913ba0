"""Where the time of each command goes: `python benchmarks/time_spent.py [--out DIR]`.

Runs each command once on a quiet machine and adds up what it records of its own stages. Writes time_spent.json and
time_spent.md; commands that are done are kept.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
from benchmark_script import KeptResults, Report, Row, provenance, without_traceback, write_report
from sklearn.datasets import load_digits

from vaebench.core.files import read_json
from vaebench.core.provenance import commit
from vaebench.training.compute import machine

COMMANDS: dict[str, tuple[str, ...]] = {
    "run digits": ("run", "digits"),
    "run mnist": ("run", "mnist"),
    "run mnist --few-labels": ("run", "mnist", "--few-labels"),
    "classify": ("classify", "{images}"),
    "reproduce all --budget quick": ("reproduce", "all", "--budget", "quick"),
    "few-labels --budget quick": ("few-labels", "--budget", "quick"),
}
SMALLEST = 0.01
"""Fraction of a command's recorded time from which a stage has a line of its own."""


def measure(name: str, folder: Path) -> Row:
    """Wall time of a command, and the seconds of its stages, summed over its processes."""
    images = folder / "digits.npz"
    arguments = [part.format(images=images) for part in COMMANDS[name]]
    out = folder / name.replace(" ", "-")
    start = time.monotonic()
    command = [sys.executable, "-m", "vaebench.cli", *arguments, "--out", str(out)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return {"command": name, "seconds": time.monotonic() - start, "stages": stages_of(out)}


def stages_of(out: Path) -> dict[str, float]:
    """Seconds by stage, from the results of a run or from the kept steps and networks of a longer job."""
    if (out / "results.json").exists():
        return dict(read_json(out / "results.json")["stages"])
    seconds: Counter[str] = Counter()
    for path in sorted((*out.rglob("steps/**/*.json"), *out.rglob("networks/**/*.json"))):
        record = read_json(path)
        seconds[stage_of(path.relative_to(out))] += record["seconds"]
    return dict(seconds)


def stage_of(path: Path) -> str:
    """Name of the stage that a kept step belongs to: its folder, below ``steps``, or ``training`` for a network."""
    parts = path.with_suffix("").parts
    if "networks" in parts:
        return "training of networks"
    below = parts[parts.index("steps") + 1 :]
    return below[0]


def write_digits(file: Path) -> None:
    """300 digits, of which 60 are labelled."""
    digits = load_digits()
    pixels, labels = (digits.images[:300] * 15).astype(np.uint8), digits.target[:300].copy()
    labels[60:] = -1
    np.savez(file, x_train=pixels, y_train=labels)


def render(report: Report) -> str:
    """The page time_spent.md."""
    out = [
        "# Where the time goes",
        "",
        f"{provenance(report, 'time-spent')} Wall time of whole commands, once each, and seconds that they record of "
        f"their stages, summed over processes. Stages of less than {SMALLEST:.0%} of the recorded time are added up.",
    ]
    for row in report["rows"]:
        out += ["", f"## `vaebench {row['command']}`: {row['seconds']:.0f} s", "", "| stage | seconds | share |"]
        out.append("|---|---|---|")
        total = sum(row["stages"].values())
        large = {name: value for name, value in row["stages"].items() if value >= SMALLEST * total}
        rest = total - sum(large.values())
        for name, value in sorted(large.items(), key=lambda item: -item[1]):
            out.append(f"| {name} | {value:.1f} | {value / total:.0%} |")
        if rest:
            out.append(f"| others | {rest:.1f} | {rest / total:.0%} |")
    return "\n".join(out) + "\n"


def main() -> None:
    """Run as a command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs") / "time-spent")
    options = parser.parse_args()
    start = time.monotonic()
    options.out.mkdir(parents=True, exist_ok=True)
    write_digits(options.out / "digits.npz")
    with without_traceback():
        kept = KeptResults(options.out / "answers.json")
        rows = []
        for name in COMMANDS:
            print(name, flush=True)
            rows.append(kept.get(name, lambda: measure(name, options.out)))  # noqa: B023
        made = {"seconds": time.monotonic() - start, "date": time.strftime("%Y-%m-%d"), "commit": commit()}
        report = {"made": made | {"machine": machine()}, "rows": rows}
        write_report(report, render, options.out / "time_spent.json")


if __name__ == "__main__":
    main()
