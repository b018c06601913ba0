"""Commands beside other busy programs: `python benchmarks/crowded.py [--rounds N] [--out DIR]`.

A run, a classification and a paper are timed on a quiet machine and then beside two busy processes, beside a training
of plain PyTorch with a thread for every core, beside the same command, and with a CPU quota of one core, as a container
sets it. Writes crowded.json and crowded.md; resumes where it was stopped.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from benchmark_script import KeptResults, Report, Row, provenance, without_traceback, write_report
from time_spent import write_digits

from vaebench.core.provenance import commit
from vaebench.training.compute import machine

LIMIT = 2.5
"""Largest ratio to the quiet time that is accepted."""
BUSY = "while True: pass"
TRAINING = """
import torch
torch.set_num_threads({cores})
network = torch.nn.Sequential(*(torch.nn.Conv2d(16, 16, 3, padding=1) for _ in range(4)))
while True:
    network(torch.randn(64, 16, 28, 28)).square().mean().backward()
"""
GROUP = "vaebench-crowded"
COMMANDS: dict[str, tuple[str, ...]] = {
    "run digits": ("run", "digits", "--training.epochs", "5"),
    "classify": ("classify", "{images}"),
    "reproduce": ("reproduce", "benchmarking-mnist", "--budget", "quick"),
}


class Launcher:
    """Starts vaebench's commands, each in a new folder."""

    def __init__(self, out: Path) -> None:
        self.folder = out / "commands"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.images = self.folder / "images.npz"
        write_digits(self.images)
        self.count = 0

    def start(self, name: str, prefix: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        """Start a command in a process of its own; ``prefix`` is put before it."""
        self.count += 1
        arguments = [part.format(images=self.images) for part in COMMANDS[name]]
        command = [
            *prefix,
            sys.executable,
            "-m",
            "vaebench.cli",
            *arguments,
            "--out",
            str(self.folder / str(self.count)),
        ]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def seconds_of(processes: Callable[[], Sequence[subprocess.Popen[bytes]]]) -> float:
    """Seconds from the start of the processes to the end of the last.

    Raises:
        RuntimeError: one of them failed.
    """
    start = time.monotonic()
    for process in processes():
        error = process.communicate()[1].decode()
        if process.returncode:
            raise RuntimeError(error)
    return time.monotonic() - start


@contextmanager
def beside(count: int, code: str) -> Iterator[None]:
    """Run ``count`` processes of this Python code beside the block."""
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(count)]
    time.sleep(3)
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


@contextmanager
def quota_of_one_core() -> Iterator[list[str]]:
    """A control group with a CPU quota of one core; yields the words to put before a command that is to run in it."""
    root = Path("/sys/fs/cgroup")
    group = (root if (root / "cgroup.controllers").exists() else root / "cpu") / GROUP
    group.mkdir(exist_ok=True)
    try:
        if (group / "cpu.max").exists():
            (group / "cpu.max").write_text("100000 100000")
        else:
            (group / "cpu.cfs_period_us").write_text("100000")
            (group / "cpu.cfs_quota_us").write_text("100000")
        yield ["sh", "-c", f'echo $$ > {group / "cgroup.procs"}; exec "$@"', "sh"]
    finally:
        group.rmdir()


def conditions() -> dict[str, Callable[[], AbstractContextManager[list[str] | None]]]:
    """The conditions by name; each is entered around a command and may yield words to put before it."""
    cores = len(os.sched_getaffinity(0))
    return {
        "quiet": nullcontext,
        f"beside {cores} busy processes": lambda: beside(cores, BUSY),
        f"beside a training with {cores} threads": lambda: beside(1, TRAINING.format(cores=cores)),
        "beside the same command": nullcontext,
        "with a quota of one core": quota_of_one_core,
    }


def measure(launcher: Launcher, name: str, condition: str) -> Row:
    """Seconds of a command under a condition, or the reason why the condition cannot be had here."""
    copies = 2 if condition == "beside the same command" else 1
    try:
        with conditions()[condition]() as prefix:
            return {"seconds": seconds_of(lambda: [launcher.start(name, prefix or ()) for _ in range(copies)])}
    except OSError as error:
        return {"reason": str(error)}


def rows_of(kept: KeptResults, rounds: int) -> list[Row]:
    """Medians over rounds, and ratios to the quiet time."""
    rows: list[Row] = []
    for name in COMMANDS:
        for condition in conditions():
            results = [kept.results[f"{index} {name} {condition}"] for index in range(rounds)]
            seconds = [result["seconds"] for result in results if "seconds" in result]
            row: Row = {"command": name, "condition": condition, "rounds": seconds}
            if seconds:
                row["seconds"] = statistics.median(seconds)
                row["ratio"] = row["seconds"] / next(r for r in [*rows, row] if r["command"] == name)["seconds"]
            else:
                row["reason"] = results[0]["reason"]
            rows.append(row)
    return rows


def render(report: Report) -> str:
    """The page crowded.md."""
    out = [
        "# Commands beside other busy programs",
        "",
        f"{provenance(report, 'crowded')} Wall time of whole commands, medians of {len(report['rows'][0]['rounds'])} "
        f"rounds. At most {LIMIT} times the quiet time is accepted.",
        "",
        "| command | condition | seconds | times quiet | rounds, seconds |",
        "|---|---|---|---|---|",
    ]
    for row in report["rows"]:
        head = f"| `vaebench {' '.join(COMMANDS[row['command']]).format(images='IMAGES')}` | {row['condition']} "
        if "reason" in row:
            out.append(f"{head}| not measured: {row['reason']} | | |")
            continue
        rounds = ", ".join(f"{seconds:.1f}" for seconds in row["rounds"])
        out.append(f"{head}| {row['seconds']:.1f} | {row['ratio']:.2f} | {rounds} |")
    return "\n".join(out) + "\n"


def main() -> None:
    """Run as a command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs") / "crowded")
    options = parser.parse_args()
    start = time.monotonic()
    with without_traceback():
        kept, launcher = KeptResults(options.out / "answers.json"), Launcher(options.out)
        for index in range(options.rounds):
            for name in COMMANDS:
                for condition in conditions():
                    print(f"round {index + 1}: {name}, {condition}", flush=True)
                    kept.get(f"{index} {name} {condition}", lambda: measure(launcher, name, condition))  # noqa: B023
        made = {"seconds": time.monotonic() - start, "date": time.strftime("%Y-%m-%d"), "commit": commit()}
        report = {"made": made | {"machine": machine()}, "rows": rows_of(kept, options.rounds)}
        write_report(report, render, options.out / "crowded.json")


if __name__ == "__main__":
    main()
