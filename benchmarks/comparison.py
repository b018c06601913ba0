"""Comparison: tasks that competitors run in turn, each in a process of its own."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from benchmark_script import KeptResults

from vaebench.core.provenance import commit
from vaebench.data.datasets import Data
from vaebench.training.compute import machine

COMPETITORS = Path(__file__).parent / "competitors"
PYTHAE = "pythae==0.1.2"
Task = tuple[str, dict[str, Any]]
"""Script of the competitor, and arguments of the task."""
Result = dict[str, Any]


@dataclass
class Comparison:
    """Runs tasks in interleaved rounds and keeps their results.

    Args:
        out: folder for data, environments and results.
        rounds: repetitions of each task.
    """

    out: Path
    rounds: int

    def __post_init__(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        self.kept = KeptResults(self.out / "answers.json")
        data = Data(source="mnist").load()
        np.save(self.out / "images.npy", data.train.pixels.numpy())
        np.save(self.out / "labels.npy", data.train.labels.numpy())
        np.save(self.out / "validation.npy", data.validation.pixels.numpy())

    def pythae_interpreter(self) -> str:
        """Python of the environment with pythae, which is created on first use."""
        folder = self.out / "pythae-env"
        python = folder / "bin" / "python"
        if not (folder / "made").exists():
            print(f"creating an environment for {PYTHAE}", flush=True)
            venv.create(folder, with_pip=True)
            torch_version = machine()["versions"]["torch"].split("+")[0]
            subprocess.run([python, "-m", "pip", "install", "-q", PYTHAE, f"torch=={torch_version}"], check=True)
            (folder / "made").touch()
        return str(python)

    def run_rounds(self, tasks: dict[str, Task]) -> dict[str, list[Result]]:
        """Results of each task by round."""
        results: dict[str, list[Result]] = {name: [] for name in tasks}
        for index in range(self.rounds):
            for name, (script, arguments) in tasks.items():
                results[name].append(self.run(script, arguments, index))
        return results

    def run(self, script: str, arguments: dict[str, Any], index: int) -> Result:
        """Result of a task in a process of its own, read if it is kept."""
        files = {"data": str(self.out / "images.npy"), "labels": str(self.out / "labels.npy"), "seed": 0}
        task = {**files, **arguments}

        def compute() -> Result:
            name = f"{script} {task['task']} {task.get('precision', '')}"
            print(f"round {index + 1} of {self.rounds}: {name}", flush=True)
            python = self.pythae_interpreter() if script == "run_pythae" else sys.executable
            env = os.environ | {"OMP_NUM_THREADS": str(task["threads"])}
            command = [python, str(COMPETITORS / f"{script}.py"), json.dumps(task)]
            process = subprocess.run(command, capture_output=True, text=True, env=env)
            if process.returncode:
                sys.exit(f"{script} failed on {task}:\n{process.stderr[-2000:]}")
            result: Result = json.loads(process.stdout.splitlines()[-1])
            return result

        key = json.dumps([script, task, index, commit()], sort_keys=True)  # measured again for other sources
        return self.kept.get(key, compute)


def comparison_row(
    title: str,
    ours: Sequence[Result],
    other: Sequence[Result],
    threads: int,
    unit: str = "images/s",
    key: str = "rate",
    **more: Any,
) -> dict[str, Any]:
    """Row with the medians of two competitors and their ratio, paired by round, above 1 where ours is better."""
    our_values, other_values = [one[key] for one in ours], [one[key] for one in other]
    ratios = [(a / b if key == "rate" else b / a) for a, b in zip(our_values, other_values, strict=True)]
    return {
        "title": title,
        "ours": statistics.median(our_values),
        "other": statistics.median(other_values),
        "unit": unit,
        "ratio": statistics.median(ratios),
        "spread": [min(ratios), max(ratios)],
        "threads": threads,
        "megabytes": [max(one["megabytes"] for one in each) for each in (ours, other)],
        **more,
    }
