"""Faults of sweeps, downloads and classifications."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
from PIL import Image
from run_faults import OPTIONS, OUTPUTS, FaultInjector, FaultResult, kill_group, wait_for, wait_for_end
from sklearn.datasets import load_digits

from vaebench.core.files import read_json


def kill_sweep(injector: FaultInjector, result: FaultResult, folder: Path) -> None:
    """SIGKILL of a sweep, or of one of its workers."""
    process = injector.start_command(sweep_command(injector, folder))
    injector.wait_for_training(process, folder)
    if int(folder.name) % 2:
        os.kill(worker_of(process.pid), signal.SIGKILL)
    else:
        kill_group(process)
        process = injector.start_command(sweep_command(injector, folder))
    result.tried += 1
    compare_sweep(injector, result, folder, process)


def sweep_command(injector: FaultInjector, folder: Path) -> list[str]:
    """Command of a sweep of two trials by one worker; one trial equals the reference run."""
    options = [*OPTIONS, "--grid", f"model.latent={_reference_latents(injector)},3", "--workers", "1"]
    return [sys.executable, "-m", "vaebench.cli", "sweep", "digits", *options, "--out", str(folder)]


def compare_sweep(injector: FaultInjector, result: FaultResult, folder: Path, process: subprocess.Popen[str]) -> None:
    """Wait for a sweep to end, and check that each trial exists once and one is bit-identical to the reference run."""
    latents, (code, errors) = _reference_latents(injector), wait_for_end(process)
    if result.check(code == 0, errors[-300:]):
        trials = {read_json(path)["recipe"]["model"]["latent"]: path.parent for path in folder.glob("*/results.json")}
        same = all(
            (trials[latents] / name).read_bytes() == (injector.reference() / name).read_bytes() for name in OUTPUTS[:4]
        )
        result.same += result.check(same and sorted(trials) == [3, latents], "a trial differs or is missing")


def _reference_latents(injector: FaultInjector) -> int:
    return int(read_json(injector.reference() / "recipe.json")["model"]["latent"])


def worker_of(parent: int) -> int:
    """Process ID of the worker of a sweep."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return next(int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes())


FETCH = """
import sys
from pathlib import Path
from vaebench.data import download
folder, address, md5 = sys.argv[1:]
download.cache = lambda: Path(folder)
download.MIRRORS["mnist"] = (address,)
print(download.whole(download.Official("mnist", "large.gz", md5, md5), lambda task, done: None))
"""


def kill_download(injector: FaultInjector, result: FaultResult, folder: Path) -> None:
    """SIGKILL of a download."""
    body, file = random.Random(1).randbytes(1 << 20), folder / "mnist" / "large.gz"
    with slow_server(body) as address:
        command = [sys.executable, "-c", FETCH, str(folder), address, hashlib.md5(body).hexdigest()]
        process = injector.start_command(command)
        wait_for(lambda: any(folder.rglob("*")), process)
        time.sleep(injector.random.uniform(0, 0.4))
        kill_group(process)
        result.tried += 1
        result.check(not file.exists() or file.read_bytes() == body, "an incomplete file under the final name")
        code, errors = wait_for_end(injector.start_command(command))
        if result.check(code == 0, errors[-300:]):
            result.same += file.read_bytes() == body


@contextmanager
def slow_server(body: bytes) -> Iterator[str]:
    """Address of a server that sends this body slowly."""

    class Slow(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            try:
                for start in range(0, len(body), 1 << 15):
                    self.wfile.write(body[start : start + (1 << 15)])
                    time.sleep(0.015)
            except OSError:
                pass

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()


ON_ONE_CORE = """
import os, sys
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from vaebench.cli import main
sys.exit(main())
"""
IMAGES, FILES = 60, ("predictions.csv", "to-label-next.csv", "model/weights.safetensors")
"""Number of images of a classification, and its output files."""


def kill_classification(injector: FaultInjector, result: FaultResult, folder: Path) -> None:
    """SIGKILL of a classification."""
    seconds, reference = _reference_classification(injector)
    process = injector.start_command(_classify_command(injector, folder))
    time.sleep(injector.random.uniform(0.1, 0.95) * seconds)
    kill_group(process)
    result.tried += 1
    code, errors = wait_for_end(injector.start_command(_classify_command(injector, folder)))
    if result.check(code == 0, errors[-300:]):
        differ = [name for name in FILES if (folder / name).read_bytes() != (reference / name).read_bytes()]
        result.same += result.check(not differ, f"differ: {', '.join(differ)}")


def _classify_command(injector: FaultInjector, folder: Path) -> list[str]:
    images = injector.folder / "digits"
    command = [sys.executable, "-c", ON_ONE_CORE, "classify", str(images), "--labels", str(images / "labels.csv")]
    return [*command, "--size", "8", "--out", str(folder)]


@cache
def _reference_classification(injector: FaultInjector) -> tuple[float, Path]:
    """Duration in seconds and folder of an undisturbed classification."""
    folder = injector.folder / "classified"
    _write_digits(injector.folder / "digits")
    shutil.rmtree(folder, ignore_errors=True)
    start = time.monotonic()
    code, errors = wait_for_end(injector.start_command(_classify_command(injector, folder)))
    if code:
        sys.exit(f"the undisturbed classification failed:\n{errors[-2000:]}")
    return time.monotonic() - start, folder


def _write_digits(folder: Path) -> None:
    """Write small images, one of each class labelled."""
    folder.mkdir(parents=True, exist_ok=True)
    digits = load_digits()
    lines = ["file,label"]
    for index, pixels in enumerate(digits.images[:IMAGES]):
        Image.fromarray(np.round(pixels * 255 / 16).astype(np.uint8)).save(folder / f"{index}.png")
        lines += [f"{index}.png,{digits.target[index]}"] if index < 10 else []
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
