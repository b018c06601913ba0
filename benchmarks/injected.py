"""The faults of benchmarks/faults.py: each is brought about, and what comes of it is compared."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from vaebench.core.files import read_json
from vaebench.core.progress import ProgressCallback, ProgressEvent

PARTS = ["--model.network.kind", "mlp", "--model.network.hidden", "32", "--compute.threads", "1"]
PARTS += ["--training.epochs", "40", "--training.batch", "32", "--training.checkpoint-seconds", "0"]
PARTS += ["--evaluation.samples", "none", "--evaluation.supervised", "none", "--evaluation.features", "vae"]
PARTS += ["--evaluation.labels-per-class", "1", "10", "--evaluation.draws", "2"]
FINAL = ("weights.safetensors", "latents.npz", "panels.npz", "label-draws.json", "results.csv")
PATIENCE = 300


@dataclass
class Found:
    """What came of one fault."""

    fault: str
    injected: str
    tried: int = 0
    same: int = 0
    """Tries that ended with the same bits as an undisturbed run."""
    sentences: int = 0
    """Tries in which the program said in one sentence what was wrong, without a traceback; where it could."""
    notes: list[str] = field(default_factory=list)
    """What went otherwise."""

    def check(self, holds: bool, otherwise: str) -> bool:
        """Note what went otherwise."""
        if not holds:
            self.notes.append(otherwise)
        return holds


@dataclass
class Bench:
    """A place for runs, an undisturbed one to compare with, and moments."""

    place: Path
    tries: int
    moments: random.Random
    callback: ProgressCallback = lambda tick: None

    def start(self, folder: Path, *words: str) -> subprocess.Popen[str]:
        """The run, in a process group of its own."""
        return self.begun([*run_command(folder), *words])

    def begun(self, command: list[str]) -> subprocess.Popen[str]:
        """Any command."""
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )

    def whole(self) -> Path:
        """The run that nothing happens to, made once."""
        folder = self.place / "whole"
        if not (folder / "results.json").exists():
            shutil.rmtree(folder, ignore_errors=True)
            code, errors = ended(self.start(folder))
            if code:
                sys.exit(f"the undisturbed run failed:\n{errors[-2000:]}")
        return folder

    def resumed(self, found: Found, folder: Path) -> str:
        """Give the same command again, and compare what it ends with; what it said."""
        code, errors = ended(self.start(folder, "--resume"))
        if found.check(code == 0, errors[-300:]):
            reference = self.whole()
            differ = [name for name in FINAL if (folder / name).read_bytes() != (reference / name).read_bytes()]
            rows = [read_json(one / "results.json")["rows"] for one in (folder, reference)]
            differ += ["rows"] if rows[0] != rows[1] else []
            found.same += found.check(not differ, f"differ: {', '.join(differ)}")
        return errors

    def wait_into(self, process: subprocess.Popen[str], folder: Path) -> None:
        """Wait until a run, or a trial of a sweep, is somewhere in its training."""
        until(lambda: any(folder.rglob("checkpoint.safetensors")), process)
        time.sleep(self.moments.uniform(0, 1.5))

    def folders(self, name: str) -> Iterator[Path]:
        """A fresh folder for each try."""
        start = time.monotonic()
        for number in range(self.tries):
            left = (time.monotonic() - start) / number * (self.tries - number) if number else None
            self.callback(ProgressEvent(name, number / self.tries, left))
            folder = self.place / name / str(number)
            shutil.rmtree(folder, ignore_errors=True)
            yield folder
        self.callback(ProgressEvent(name, 1.0, 0.0))


def run_command(folder: Path) -> list[str]:
    """What is run, into a folder."""
    return [sys.executable, "-m", "vaebench.cli", "run", "digits", *PARTS, "--out", str(folder)]


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit status and what was said on the standard error."""
    errors = process.communicate(timeout=PATIENCE)[1]
    return process.returncode, errors


def slain(process: subprocess.Popen[str]) -> int:
    """kill -9 for all of its processes; the exit status."""
    os.killpg(process.pid, signal.SIGKILL)
    return ended(process)[0]


def until(condition: Callable[[], object], process: subprocess.Popen[str]) -> bool:
    """Wait for the condition; whether it came before the process ended."""
    while process.poll() is None:
        if condition():
            return True
        time.sleep(0.002)
    return False


def in_training(folder: Path, bench: Bench) -> subprocess.Popen[str]:
    """A run somewhere in its training."""
    process = bench.start(folder)
    bench.wait_into(process, folder)
    return process


def killed(bench: Bench) -> Found:
    """kill -9 of a run in training."""
    found = Found("kill -9 in training", "SIGKILL at a random moment of training")
    for folder in bench.folders("killed"):
        found.tried += found.check(slain(in_training(folder, bench)) != 0, "the run was over already")
        bench.resumed(found, folder)
    return found


def stopped(bench: Bench) -> Found:
    """Ctrl-C."""
    found = Found("Ctrl-C", "SIGINT at a random moment of training")
    for folder in bench.folders("stopped"):
        process = in_training(folder, bench)
        process.send_signal(signal.SIGINT)
        code, errors = ended(process)
        found.tried += found.check(code == 130, f"exit status {code}")
        found.sentences += "stopped; the same command" in errors and "Traceback" not in errors
        bench.resumed(found, folder)
    return found


def in_a_write(bench: Bench) -> Found:
    """kill -9 while a checkpoint is half written."""
    found = Found("kill -9 in a write", "SIGKILL once the temporary file of a checkpoint is there")
    for folder in bench.folders("in-a-write"):
        while True:
            process = bench.start(folder, *(["--resume"] if folder.exists() else []))
            time.sleep(bench.moments.uniform(0, 0.05))
            until(lambda folder=folder: any(folder.glob(".checkpoint.safetensors.*")), process)  # type: ignore[misc]
            slain(process)
            if (folder / "results.json").exists():
                shutil.rmtree(folder)
            elif any(folder.glob(".checkpoint.safetensors.*")):
                break
        found.tried += 1
        bench.resumed(found, folder)
    return found


def damaged(bench: Bench) -> Found:
    """A checkpoint cut short behind the program's back."""
    found = Found("checkpoint cut", "killed, then the last checkpoint truncated to a random length")
    for folder in bench.folders("damaged"):
        file = folder / "checkpoint.safetensors"
        while not file.exists():  # where the run was over before the kill came
            shutil.rmtree(folder, ignore_errors=True)
            slain(in_training(folder, bench))
        length = bench.moments.randrange(file.stat().st_size)
        os.truncate(file, length)
        found.tried += 1
        said = bench.resumed(found, folder)
        found.sentences += found.check("going on from the checkpoint before it" in said, f"not said: {said[-200:]}")
    return found


def two_at_once(bench: Bench) -> Found:
    """A second process on the folder of the first."""
    found = Found("two processes, one folder", "the same command started again while the first is at work")
    for folder in bench.folders("two-at-once"):
        first = in_training(folder, bench)
        code, errors = ended(bench.start(folder, "--resume"))
        found.tried += 1
        found.sentences += found.check(
            code == 2 and "is in use by another process" in errors, f"{code}: {errors[-200:]}"
        )
        found.check(ended(first)[0] == 0, "the first did not end well")
        bench.resumed(found, folder)
    return found


@contextmanager
def small_disk(place: Path, kilobytes: int) -> Iterator[Path]:
    """A disk of its own, of this size."""
    place.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def remounted(place: Path, options: str) -> None:
    """Change a disk under way."""
    subprocess.run(["mount", "-o", f"remount,{options}", place], check=True)


def disk_full(bench: Bench) -> Found:
    """No space left, at whichever write it comes."""
    found = Found("disk full", "a disk of 8 KB to 600 KB, as large as it needs to be in the end")
    for folder in bench.folders("disk-full"):
        with small_disk(folder, bench.moments.randrange(8, 600)) as disk:
            code, errors = ended(bench.start(disk / "run"))
            found.tried += 1
            if code:
                fine = code == 2 and "Traceback" not in errors and "cannot be written" in errors
                found.sentences += found.check(fine, f"{code}: {errors[-300:]}")
            else:
                found.sentences += 1  # it was large enough
            remounted(disk, "size=200m")
            bench.resumed(found, disk / "run")
    return found


def read_only(bench: Bench) -> Found:
    """A disk that cannot be written."""
    found = Found("read-only folder", "a disk mounted read-only, then writable")
    for folder in bench.folders("read-only"):
        with small_disk(folder, 200_000) as disk:
            remounted(disk, "ro")
            code, errors = ended(bench.start(disk / "run"))
            found.tried += 1
            fine = code == 2 and "Traceback" not in errors and "cannot be written" in errors
            found.sentences += found.check(fine, f"{code}: {errors[-300:]}")
            remounted(disk, "rw")
            bench.resumed(found, disk / "run")
    return found


def can_mount() -> bool:
    """Whether a small disk can be had here."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        try:
            with small_disk(Path(folder), 64):
                return True
        except subprocess.CalledProcessError:
            return False
