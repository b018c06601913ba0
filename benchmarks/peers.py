"""What other VAE libraries compute: `python benchmarks/peers.py [--out DIR] [--times]`.

Each library is installed at a pinned version into an environment of its own and asked the questions of
competitors/peers/ask.py on MNIST; vaebench answers the same ones. Writes peers.json and peers.md. Speed is measured
with --times only, on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import Any

import numpy as np
from benchmark_script import Report, without_traceback, write_report
from peers_page import render, rows

from vaebench.core.provenance import commit
from vaebench.data.datasets import Data
from vaebench.training.compute import machine

__all__ = ["render"]
ASK = Path(__file__).parent / "competitors" / "peers" / "ask.py"
IMAGES, VALIDATION, EPOCHS = 5000, 1000, 10
COMMON = ("torch==2.13.0", "numpy==2.4.6")
PEERS = {
    "pythae": ("pythae==0.1.2",),
    "autoencoders": ("autoencoders==0.6.8",),
    "pyautoencoder": ("pyautoencoder==2.1.0",),
    "multivae": ("multivae==1.0.3", "pythae==0.1.2", "torchvision==0.28.0"),
    "disent": ("disent==0.8.0", "lightning==2.6.6", "scikit-learn==1.9.1", "torchvision==0.28.0"),
}
"""Packages of each environment, the library first."""


def install(peer: str, folder: Path) -> str | None:
    """Create an environment with the packages of a library; returns pip's last line if that fails."""
    venv.create(folder, with_pip=True)
    command = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "--no-compile", *COMMON, *PEERS[peer]]
    process = subprocess.run(command, capture_output=True, text=True)
    return process.stderr.strip().splitlines()[-1] if process.returncode else None


def ask(python: Path | str, peer: str, folder: Path) -> dict[str, Any]:
    """Answers of a library, in a process of its own with one thread."""
    task = {"peer": peer, "epochs": EPOCHS, "out": str(folder / f"{peer}.npz")}
    task |= {name: str(folder / f"{name}.npy") for name in ("training", "validation")}
    command = [str(python), str(ASK), json.dumps(task)]
    process = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    if process.returncode:
        return {"failed": process.stderr.strip().splitlines()[-1]}
    answers: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return answers


def evaluate(file: Path, images: np.ndarray) -> dict[str, Any]:
    """Half the squared error and the KL of one sample of z, in nats per image and in float64."""
    arrays = {name: array.astype(np.float64) for name, array in np.load(file).items()}
    squares = (images.reshape(len(images), -1) / 255 - arrays["decoded"]) ** 2
    variance = np.exp(arrays["log_variance"])
    kl = 0.5 * (variance + arrays["mean"] ** 2 - 1 - arrays["log_variance"])
    return {"reconstruction": float(squares.sum(1).mean() / 2), "kl": [float(one) for one in kl.mean(0)]}


def measure(peer: str, folder: Path, times: bool) -> dict[str, Any]:
    """Answers of vaebench or of a library that is installed first, with the evaluation of its VAE."""
    print(f"{peer} ...", flush=True)
    python, version = Path(sys.executable), ""
    if peer != "vaebench":
        version = PEERS[peer][0].split("==")[1]
        if failure := install(peer, folder / peer):
            return {"version": version, "failed": failure}
        python = folder / peer / "bin" / "python"
    answers = {"version": version, **ask(python, peer, folder)}
    trained = answers.get("trains")
    if trained and "error" not in trained:
        if not times:
            del trained["rate"]
        trained |= evaluate(folder / f"{peer}.npz", np.load(folder / "validation.npy"))
    return answers


def measure_all(times: bool) -> dict[str, dict[str, Any]]:
    """Answers by library, in environments that are deleted."""
    with tempfile.TemporaryDirectory() as name:
        folder, data = Path(name), Data(source="mnist").load()
        np.save(folder / "training.npy", data.train.pixels[:IMAGES].numpy())
        np.save(folder / "validation.npy", data.validation.pixels[:VALIDATION].numpy())
        return {peer: measure(peer, folder, times) for peer in ("vaebench", *PEERS)}


def main() -> None:
    """Run as a command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs") / "peers")
    parser.add_argument("--times", action="store_true", help="measure speed too")
    options = parser.parse_args()
    start = time.monotonic()
    with without_traceback():
        answers = measure_all(options.times)
        made = {"seconds": time.monotonic() - start, "date": time.strftime("%Y-%m-%d"), "commit": commit()}
        settings = {"images": IMAGES, "validation": VALIDATION, "epochs": EPOCHS}
        report: Report = {"made": made | {"machine": machine()}, "settings": settings}
        write_report(report | {"answers": answers, "rows": rows(answers)}, render, options.out / "peers.json")


if __name__ == "__main__":
    main()
