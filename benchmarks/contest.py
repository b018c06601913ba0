"""Contest: tasks that contestants answer in turn, each in a process of its own; row(): what came of one."""

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

from vaebench.core.files import read_json, write_json
from vaebench.core.provenance import commit
from vaebench.data.datasets import Data
from vaebench.training.compute import machine

HERE = Path(__file__).parent / "contestants"
PYTHAE = "pythae==0.1.2"


@dataclass
class Contest:
    """Tasks in interleaved rounds, each answer kept."""

    out: Path
    rounds: int

    def __post_init__(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        self.kept_file = self.out / "answers.json"
        self.kept: dict[str, Any] = read_json(self.kept_file) if self.kept_file.exists() else {}
        data = Data(source="mnist").load()
        np.save(self.out / "images.npy", data.train.pixels.numpy())
        np.save(self.out / "labels.npy", data.train.labels.numpy())
        np.save(self.out / "validation.npy", data.validation.pixels.numpy())

    def python(self) -> str:
        """The interpreter of the environment that pythae has to itself; made once."""
        folder = self.out / "pythae-env"
        python = folder / "bin" / "python"
        if not (folder / "made").exists():
            print(f"making an environment for {PYTHAE}", flush=True)
            venv.create(folder, with_pip=True)
            here = machine()["versions"]["torch"].split("+")[0]
            subprocess.run([python, "-m", "pip", "install", "-q", PYTHAE, f"torch=={here}"], check=True)
            (folder / "made").touch()
        return str(python)

    def play(self, tasks: dict[str, tuple[str, dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
        """Answers of every contestant, a list over rounds; ``tasks`` gives each its script and its task."""
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in tasks}
        for turn in range(self.rounds):
            for name, (script, task) in tasks.items():
                found[name].append(self.answer(script, task, turn))
        return found

    def answer(self, script: str, task: dict[str, Any], turn: int) -> dict[str, Any]:
        """One process's answer, read if it was given before."""
        files = {"data": str(self.out / "images.npy"), "labels": str(self.out / "labels.npy"), "seed": 0}
        task = {**files, **task}
        key = json.dumps([script, task, turn, commit()], sort_keys=True)  # other sources, other answers
        if key not in self.kept:
            print(f"round {turn + 1} of {self.rounds}: {script} {task['what']} {task.get('precision', '')}", flush=True)
            python = self.python() if script == "by_pythae" else sys.executable
            env = os.environ | {"OMP_NUM_THREADS": str(task["threads"])}
            run = subprocess.run(
                [python, HERE / f"{script}.py", json.dumps(task)], capture_output=True, text=True, env=env
            )
            if run.returncode:
                sys.exit(f"{script} failed on {task}:\n{run.stderr[-2000:]}")
            self.kept[key] = json.loads(run.stdout.splitlines()[-1])
            write_json(self.kept_file, self.kept)
        answer: dict[str, Any] = self.kept[key]
        return answer


def row(
    what: str,
    ours: Sequence[dict[str, Any]],
    other: Sequence[dict[str, Any]],
    threads: int,
    unit: str = "images/s",
    key: str = "rate",
    **more: Any,
) -> dict[str, Any]:
    """Medians of two contestants and their ratio, above 1 where ours is better, round by round."""
    mine, theirs = [one[key] for one in ours], [one[key] for one in other]
    ratios = [(a / b if key == "rate" else b / a) for a, b in zip(mine, theirs, strict=True)]
    return {
        "what": what,
        "ours": statistics.median(mine),
        "other": statistics.median(theirs),
        "unit": unit,
        "ratio": statistics.median(ratios),
        "spread": [min(ratios), max(ratios)],
        "threads": threads,
        "megabytes": [max(one["megabytes"] for one in each) for each in (ours, other)],
        **more,
    }
