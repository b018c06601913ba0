"""Fault injection: `python benchmarks/faults.py [--only NAME ...] [--tries N] [--out DIR]`.

Runs, sweeps, downloads and classifications are killed, interrupted, starved of disk or memory, or damaged at random
moments; then the same command is run again, and its outputs are compared, bit by bit, with those of an undisturbed run.
Resumes where it was stopped; writes faults.json and reliability.md. Faults that need a small disk or a memory limit
create them (Linux, as root), and are left out elsewhere.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import run_faults
from benchmark_script import KeptResults, without_traceback, write_report
from memory_faults import can_starve, run_out_of_memory
from other_faults import kill_classification, kill_download, kill_sweep
from run_faults import FaultInjector, FaultResult

from vaebench.cli.terminal import progress
from vaebench.core.locks import lock_folder
from vaebench.core.provenance import commit
from vaebench.training.compute import machine


class Fault(NamedTuple):
    """A fault with its title, the way it is injected, and the function that does one try."""

    title: str
    injection: str
    inject: Callable[[FaultInjector, FaultResult, Path], None]


TRAINING = "at a random moment of training"
FAULTS = {
    "killed": Fault("kill -9 in training", f"SIGKILL {TRAINING}", run_faults.kill_run),
    "stopped": Fault("Ctrl-C", f"SIGINT {TRAINING}", run_faults.interrupt_run),
    "in-a-write": Fault(
        "kill -9 in a write", "SIGKILL once the temporary file of a checkpoint exists", run_faults.kill_during_write
    ),
    "damaged": Fault(
        "checkpoint cut",
        "killed, then the last checkpoint truncated to a random length",
        run_faults.truncate_checkpoint,
    ),
    "two-at-once": Fault(
        "two processes, one folder", "the same command started again while the first is running", run_faults.start_twice
    ),
    "disk-full": Fault(
        "disk full", "a disk of 8 KB to 600 KB, which is enlarged before resuming", run_faults.fill_disk
    ),
    "read-only": Fault("read-only folder", "a disk mounted read-only, then writable", run_faults.make_read_only),
    "out-of-memory": Fault(
        "killed for memory",
        "another process allocates all memory of the group until the system kills a run, or a worker of a sweep, in "
        "turn",
        run_out_of_memory,
    ),
    "sweep-killed": Fault(
        "kill -9 of a sweep or of a worker", "SIGKILL of all its processes, or of a worker alone, in turn", kill_sweep
    ),
    "download-killed": Fault(
        "kill -9 of a download",
        "SIGKILL during a slow download from 127.0.0.1, then the same download again",
        kill_download,
    ),
    "classify-killed": Fault(
        "kill -9 of classify",
        "SIGKILL at a random moment of reading, training or selection, then the same command again",
        kill_classification,
    ),
}
REQUIREMENTS = {"disk-full": run_faults.can_mount, "read-only": run_faults.can_mount, "out-of-memory": can_starve}
"""Whether a fault can be injected here, for those that need more than a process."""


def main() -> None:
    """Inject the faults, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=tuple(FAULTS), default=tuple(FAULTS))
    parser.add_argument("--tries", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/faults"))
    options = parser.parse_args()
    out = options.out
    left_out = [name for name, met in REQUIREMENTS.items() if name in options.only and not met()]
    names = [name for name in options.only if name not in left_out]
    with without_traceback(), lock_folder(out), progress() as callback:
        kept, faults = KeptResults(out / "kept.json"), []
        for name in names:
            injector = FaultInjector(out / "work", options.tries, random.Random(f"{options.seed} {name}"), callback)
            key = f"{name}, {options.tries} tries, seed {options.seed}"
            faults.append(kept.get(key, partial(inject, name, injector)))
    report = {"seed": options.seed, "left_out": left_out, "faults": faults}
    write_report(report, render, out / "faults.json", out / "reliability.md")


def inject(name: str, injector: FaultInjector) -> dict[str, Any]:
    """Result of all tries of one fault, with commit and machine."""
    fault = FAULTS[name]
    result = FaultResult(fault.title, fault.injection)
    for folder in injector.folders(name):
        fault.inject(injector, result, folder)
    return vars(result) | {"commit": commit(), "machine": machine()}


def render(report: dict[str, Any]) -> str:
    faults = report["faults"]
    lines = [
        "# Reliability under faults",
        "",
        "Every file is written atomically, every long job resumes where it was stopped, and the previous checkpoint "
        "is kept for the case that the last one is damaged. The table has the results of injected faults. After each "
        "fault the same command was run again, and weights, latents, panels, draws of labels, tables and result rows "
        "were compared, byte by byte, with those of an undisturbed run.",
        "",
        f"Made by `make faults`, seed {report['seed']}: {'; '.join(dict.fromkeys(map(describe_machine, faults)))}.",
        "",
        "| fault | injection | tries | data lost | bit-identical | reported in one sentence |",
        "|---|---|---|---|---|---|",
    ]
    for fault in faults:
        sentences = fault["sentences"] or "\N{EN DASH}"
        lines.append(
            f"| {fault['fault']} | {fault['injected']} | {fault['tried']} | {fault['tried'] - fault['same']} | "
            f"{fault['same']} | {sentences} |"
        )
    counts = Counter(f"{fault['fault']}: {note}" for fault in faults for note in fault["notes"])
    notes = [f"- {note} ({count} x)" for note, count in counts.items()]
    lines += ["", "Unexpected outcomes:", "", *notes] if notes else ["", "There were no unexpected outcomes."]
    if report["left_out"]:
        lines += [
            "",
            "Not injected, because no disk can be mounted or no memory limit set here: "
            f"{', '.join(report['left_out'])}.",
        ]
    return "\n".join(lines) + "\n"


def describe_machine(fault: dict[str, Any]) -> str:
    """Commit and machine on which a fault was injected."""
    here = fault["machine"]
    revision = (fault["commit"] or "unknown")[:12]
    return f"commit {revision} on {here['processor']}, {here['cores']} cores, torch {here['versions']['torch']}"


if __name__ == "__main__":
    main()
