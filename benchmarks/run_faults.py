"""Faults of a single run for faults.py: each is injected, and the outcome compared with an undisturbed run."""

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

OPTIONS = ["--model.network.kind", "mlp", "--model.network.hidden", "32", "--compute.threads", "1"]
OPTIONS += ["--training.epochs", "40", "--training.batch", "32", "--training.checkpoint-seconds", "0"]
OPTIONS += ["--evaluation.samples", "none", "--evaluation.supervised", "none", "--evaluation.features", "vae"]
OPTIONS += ["--evaluation.labels-per-class", "1", "10", "--evaluation.draws", "2"]
OUTPUTS = ("weights.safetensors", "latents.npz", "panels.npz", "label-draws.json", "results.csv")
TIMEOUT = 300


@dataclass
class FaultResult:
    """Outcome of the tries of one fault."""

    fault: str
    injected: str
    """How the fault is injected."""
    tried: int = 0
    same: int = 0
    """Tries whose outputs are bit-identical to those of an undisturbed run."""
    sentences: int = 0
    """Tries in which the program reported the fault in one sentence without a traceback, where it can."""
    notes: list[str] = field(default_factory=list)
    """Unexpected outcomes."""

    def check_message(self, code: int, errors: str, message: str) -> None:
        """Check that the program ended with this message, without a traceback."""
        reported = code == 2 and "Traceback" not in errors and message in errors
        self.sentences += self.check(reported, f"{code}: {errors[-300:]}")

    def check(self, condition: bool, note: str) -> bool:
        """Add a note unless the condition holds; returns the condition."""
        if not condition:
            self.notes.append(note)
        return condition


@dataclass(eq=False)
class FaultInjector:
    """Starts runs in folders below ``folder``, and compares them with an undisturbed run.

    Args:
        tries: tries per fault.
        random: generator of the moments at which faults are injected.
    """

    folder: Path
    tries: int
    random: random.Random
    callback: ProgressCallback = lambda event: None

    def start(self, folder: Path, *options: str) -> subprocess.Popen[str]:
        """Start the run in a process group of its own."""
        return self.start_command([*run_command(folder), *options])

    def start_command(self, command: list[str]) -> subprocess.Popen[str]:
        """Start a command in a process group of its own."""
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )

    def reference(self) -> Path:
        """Folder of the undisturbed run, which is run on first use."""
        folder = self.folder / "whole"
        if not (folder / "results.json").exists():
            shutil.rmtree(folder, ignore_errors=True)
            code, errors = wait_for_end(self.start(folder))
            if code:
                sys.exit(f"the undisturbed run failed:\n{errors[-2000:]}")
        return folder

    def resume_and_compare(self, result: FaultResult, folder: Path) -> str:
        """Resume the run and compare its outputs with those of the reference; returns its standard error."""
        code, errors = wait_for_end(self.start(folder, "--resume"))
        if result.check(code == 0, errors[-300:]):
            reference = self.reference()
            differ = [name for name in OUTPUTS if (folder / name).read_bytes() != (reference / name).read_bytes()]
            rows = [read_json(one / "results.json")["rows"] for one in (folder, reference)]
            differ += ["rows"] if rows[0] != rows[1] else []
            result.same += result.check(not differ, f"differ: {', '.join(differ)}")
        return errors

    def wait_for_training(self, process: subprocess.Popen[str], folder: Path) -> None:
        """Wait for a random moment of the training of a run, or of a trial of a sweep."""
        wait_for(lambda: any(folder.rglob("checkpoint.safetensors")), process)
        time.sleep(self.random.uniform(0, 1.5))

    def folders(self, name: str) -> Iterator[Path]:
        """New folder for each try."""
        start = time.monotonic()
        for number in range(self.tries):
            left = (time.monotonic() - start) / number * (self.tries - number) if number else None
            self.callback(ProgressEvent(name, number / self.tries, left))
            folder = self.folder / name / str(number)
            shutil.rmtree(folder, ignore_errors=True)
            yield folder
        self.callback(ProgressEvent(name, 1.0, 0.0))


def run_command(folder: Path) -> list[str]:
    """Command of the run, with its folder."""
    return [sys.executable, "-m", "vaebench.cli", "run", "digits", *OPTIONS, "--out", str(folder)]


def wait_for_end(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit status and standard error of a process."""
    errors = process.communicate(timeout=TIMEOUT)[1]
    return process.returncode, errors


def kill_group(process: subprocess.Popen[str]) -> int:
    """Send SIGKILL to the process group; returns the exit status."""
    os.killpg(process.pid, signal.SIGKILL)
    return wait_for_end(process)[0]


def wait_for(condition: Callable[[], object], process: subprocess.Popen[str]) -> bool:
    """Wait for the condition; returns whether it held before the process ended."""
    while process.poll() is None:
        if condition():
            return True
        time.sleep(0.002)
    return False


def start_in_training(folder: Path, injector: FaultInjector) -> subprocess.Popen[str]:
    """Run at a random moment of its training."""
    process = injector.start(folder)
    injector.wait_for_training(process, folder)
    return process


def kill_run(injector: FaultInjector, result: FaultResult, folder: Path) -> None:
    """SIGKILL of a run in training."""
    result.tried += result.check(kill_group(start_in_training(folder, injector)) != 0, "the run had already ended")
    injector.resume_and_compare(result, folder)


def interrupt_run(injector: FaultInjector, result: FaultResult, folder: Path) -> None:
    """Ctrl-C of a run in training."""
    process = start_in_training(folder, injector)
    process.send_signal(signal.SIGINT)
    code, errors = wait_for_end(process)
    result.tried += result.check(code == 130, f"exit status {code}")
    result.sentences += "stopped; the same command" in errors and "Traceback" not in errors
    injector.resume_and_compare(result, folder)


def kill_during_write(injector: FaultInjector, result: FaultResult, folder: Path) -> None:
    """SIGKILL while a checkpoint is being written."""
    while True:
        process = injector.start(folder, *(["--resume"] if folder.exists() else []))
        time.sleep(injector.random.uniform(0, 0.05))
        wait_for(lambda: any(folder.glob(".checkpoint.safetensors.*")), process)
        kill_group(process)
        if (folder / "results.json").exists():
            shutil.rmtree(folder)
        elif any(folder.glob(".checkpoint.safetensors.*")):
            break
    result.tried += 1
    injector.resume_and_compare(result, folder)


def truncate_checkpoint(injector: FaultInjector, result: FaultResult, folder: Path) -> None:
    """Truncation of the last checkpoint of a killed run."""
    file = folder / "checkpoint.safetensors"
    while not file.exists():  # the run ended before it was killed
        shutil.rmtree(folder, ignore_errors=True)
        kill_group(start_in_training(folder, injector))
    os.truncate(file, injector.random.randrange(file.stat().st_size))
    result.tried += 1
    errors = injector.resume_and_compare(result, folder)
    reported = "going on from the checkpoint before it" in errors
    result.sentences += result.check(reported, f"not reported: {errors[-200:]}")


def start_twice(injector: FaultInjector, result: FaultResult, folder: Path) -> None:
    """Start of a second process in the folder of the first."""
    first = start_in_training(folder, injector)
    result.check_message(*wait_for_end(injector.start(folder, "--resume")), "is in use by another process")
    result.tried += 1
    result.check(wait_for_end(first)[0] == 0, "the first process failed")
    injector.resume_and_compare(result, folder)


@contextmanager
def small_disk(path: Path, kilobytes: int) -> Iterator[Path]:
    """Temporary file system of this size, mounted at a path."""
    path.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", path], check=True)


def remount(path: Path, options: str) -> None:
    """Change the mount options of a file system in use."""
    subprocess.run(["mount", "-o", f"remount,{options}", path], check=True)


def fill_disk(injector: FaultInjector, result: FaultResult, folder: Path) -> None:
    """No space left on the disk, at any write."""
    with small_disk(folder, injector.random.randrange(8, 600)) as disk:
        code, errors = wait_for_end(injector.start(disk / "run"))
        result.tried += 1
        if code:
            result.check_message(code, errors, "cannot be written")
        else:
            result.sentences += 1  # the disk was large enough
        remount(disk, "size=200m")
        injector.resume_and_compare(result, disk / "run")


def make_read_only(injector: FaultInjector, result: FaultResult, folder: Path) -> None:
    """A read-only disk."""
    with small_disk(folder, 200_000) as disk:
        remount(disk, "ro")
        result.check_message(*wait_for_end(injector.start(disk / "run")), "cannot be written")
        result.tried += 1
        remount(disk, "rw")
        injector.resume_and_compare(result, disk / "run")


def can_mount() -> bool:
    """Whether temporary file systems can be mounted here."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        try:
            with small_disk(Path(folder), 64):
                return True
        except subprocess.CalledProcessError:
            return False
