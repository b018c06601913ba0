"""What is lost when things go wrong: `python benchmarks/faults.py [--only NAME ...] [--tries N] [--out DIR]`.

Runs, sweeps and downloads are killed, stopped, starved of disk and damaged at random moments, then given the same
command again; what they end with is compared, bit by bit, with a run that nothing happened to. Goes on where it was
stopped; writes faults.json and reliability.md. Faults that need a small disk or a bound on memory of their own make one
(Linux, as root), and are left out elsewhere.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import without_traceback
from injected import (
    Bench,
    Found,
    can_mount,
    damaged,
    disk_full,
    in_a_write,
    killed,
    read_only,
    stopped,
    two_at_once,
)
from injected_elsewhere import classify_killed, download_killed, sweep_killed
from starved import can_starve, out_of_memory

from vaebench.cli.terminal import progress
from vaebench.core.files import read_json, write_json, write_text
from vaebench.core.locks import lock_folder
from vaebench.core.progress import ProgressCallback
from vaebench.core.provenance import commit
from vaebench.training.compute import machine

FAULTS: dict[str, Callable[[Bench], Found]] = {
    "killed": killed,
    "stopped": stopped,
    "in-a-write": in_a_write,
    "damaged": damaged,
    "two-at-once": two_at_once,
    "disk-full": disk_full,
    "read-only": read_only,
    "out-of-memory": out_of_memory,
    "sweep-killed": sweep_killed,
    "download-killed": download_killed,
    "classify-killed": classify_killed,
}
NEED = {"disk-full": can_mount, "read-only": can_mount, "out-of-memory": can_starve}
"""What some faults need."""


def main() -> None:
    """Inject and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=tuple(FAULTS), default=tuple(FAULTS))
    parser.add_argument("--tries", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="runs/faults")
    asked = parser.parse_args()
    out = Path(asked.out)
    left_out = [name for name, there in NEED.items() if name in asked.only and not there()]
    names = [name for name in asked.only if name not in left_out]
    with without_traceback(), lock_folder(out), progress() as callback:
        found = [tried(out, name, asked.tries, asked.seed, callback) for name in names]
    about = {"seed": asked.seed, "left_out": left_out, "faults": found}
    write_json(out / "faults.json", about)
    write_text(out / "reliability.md", render(about))
    print(f"open {out / 'reliability.md'}")


def tried(out: Path, name: str, tries: int, seed: int, callback: ProgressCallback) -> dict[str, Any]:
    """What came of one fault, read if it is kept."""
    kept_file, key = out / "kept.json", f"{name}, {tries} tries, seed {seed}"
    kept: dict[str, Any] = read_json(kept_file) if kept_file.exists() else {}
    if key not in kept:
        bench = Bench(out / "work", tries, random.Random(f"{seed} {name}"), callback)
        kept[key] = vars(FAULTS[name](bench)) | {"commit": commit(), "machine": machine()}
        write_json(kept_file, kept)
    found: dict[str, Any] = kept[key]
    return found


def render(about: dict[str, Any]) -> str:
    """faults.json as a page."""
    made = dict.fromkeys(made_on(one) for one in about["faults"])
    lines = [
        "# What is lost when things go wrong",
        "",
        "Every write is whole or not there at all; every long job goes on where it was stopped; the checkpoint before "
        "the last is kept for the day that the last is damaged. Below is what came of trying. After each fault the "
        "same command was given again, and weights, latents, panels, draws of labels, tables and result rows were "
        "compared, byte by byte, with those of a run that nothing happened to.",
        "",
        f"Made by `make faults`, seed {about['seed']}: {'; '.join(made)}.",
        "",
        "| fault | how it was injected | tried | lost | the same bits | said in one sentence |",
        "|---|---|---|---|---|---|",
    ]
    for one in about["faults"]:
        said = one["sentences"] or "\N{EN DASH}"
        lines.append(
            f"| {one['fault']} | {one['injected']} | {one['tried']} | {one['tried'] - one['same']} | {one['same']} | "
            f"{said} |"
        )
    noted = Counter(f"{one['fault']}: {note}" for one in about["faults"] for note in one["notes"])
    notes = [f"- {note} ({count} x)" for note, count in noted.items()]
    lines += ["", "Otherwise than expected:", "", *notes] if notes else ["", "Nothing went otherwise than expected."]
    if about["left_out"]:
        lines += [
            "",
            f"Not tried, as no disk can be mounted here, or no memory bounded: {', '.join(about['left_out'])}.",
        ]
    return "\n".join(lines) + "\n"


def made_on(fault: dict[str, Any]) -> str:
    """Where a fault was tried."""
    here = fault["machine"]
    commit = (fault["commit"] or "unknown")[:12]
    return f"commit {commit} on {here['processor']}, {here['cores']} cores, torch {here['versions']['torch']}"


if __name__ == "__main__":
    main()
