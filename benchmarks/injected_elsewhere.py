"""Faults beyond a single run: of sweeps, downloads and classifications."""

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
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
from injected import FINAL, PARTS, Bench, Found, ended, slain, until
from PIL import Image
from sklearn.datasets import load_digits

from vaebench.core.files import read_json


def sweep_killed(bench: Bench) -> Found:
    """A sweep, or one of its workers, killed."""
    found = Found("kill -9 of a sweep or of a worker", "SIGKILL of all its processes, or of a worker alone, in turn")
    for number, folder in enumerate(bench.folders("sweep-killed")):
        process = bench.begun(sweep_command(bench, folder))
        bench.wait_into(process, folder)
        if number % 2:
            os.kill(worker_of(process.pid), signal.SIGKILL)
        else:
            slain(process)
            process = bench.begun(sweep_command(bench, folder))
        found.tried += 1
        compare_sweep(bench, found, folder, process)
    return found


def sweep_command(bench: Bench, folder: Path) -> list[str]:
    """A sweep of two trials by one worker; one is the undisturbed run."""
    words = ["sweep", "digits", *PARTS, "--grid", f"model.latent={_usual(bench)},3", "--workers", "1"]
    return [sys.executable, "-m", "vaebench.cli", *words, "--out", str(folder)]


def compare_sweep(bench: Bench, found: Found, folder: Path, process: subprocess.Popen[str]) -> None:
    """Wait for a sweep's end: each trial is there once, and one has the bits of the undisturbed run."""
    usual, (code, errors) = _usual(bench), ended(process)
    if found.check(code == 0, errors[-300:]):
        trials = {read_json(path)["recipe"]["model"]["latent"]: path.parent for path in folder.glob("*/results.json")}
        same = all((trials[usual] / name).read_bytes() == (bench.whole() / name).read_bytes() for name in FINAL[:4])
        found.same += found.check(same and sorted(trials) == [3, usual], "a trial differs, or is not there")


def _usual(bench: Bench) -> int:
    return int(read_json(bench.whole() / "recipe.json")["model"]["latent"])


def worker_of(parent: int) -> int:
    """The worker of a sweep."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return next(int(one) for one in children if b"spawn_main" in Path(f"/proc/{one}/cmdline").read_bytes())


FETCH = """
import sys
from pathlib import Path
from vaebench.data import download
folder, address, md5 = sys.argv[1:]
download.cache_folder = lambda: Path(folder)
download.MIRRORS["mnist"] = (address,)
print(download.fetch(download.Official("mnist", "large.gz", md5, md5), lambda what, share: None))
"""


def download_killed(bench: Bench) -> Found:
    """A download killed at a random moment."""
    found = Found("kill -9 of a download", "SIGKILL while a server on 127.0.0.1 sends slowly; then the same again")
    body = random.Random(1).randbytes(1 << 20)
    with served(body) as address:
        for folder in bench.folders("download-killed"):
            command = [sys.executable, "-c", FETCH, str(folder), address, hashlib.md5(body).hexdigest()]
            process = bench.begun(command)
            until(lambda folder=folder: any(folder.rglob("*")), process)  # type: ignore[misc]
            time.sleep(bench.moments.uniform(0, 0.4))
            slain(process)
            found.tried += 1
            half = (folder / "mnist" / "large.gz").exists()
            found.check(not half or (folder / "mnist" / "large.gz").read_bytes() == body, "half a file under its name")
            code, errors = ended(bench.begun(command))
            if found.check(code == 0, errors[-300:]):
                found.same += (folder / "mnist" / "large.gz").read_bytes() == body
    return found


@contextmanager
def served(body: bytes) -> Iterator[str]:
    """A server that sends this body slowly."""

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
SMALL, FILES = 60, ("predictions.csv", "to-label-next.csv", "model/weights.safetensors")
"""Images of a classification, and what it leaves."""


def classify_killed(bench: Bench) -> Found:
    """A classification killed, wherever it is."""
    found = Found("kill -9 of classify", "SIGKILL at a random moment of reading, training or choosing; the same again")
    images = _folder_of_digits(bench.place / "digits")
    seconds, whole = _classified(bench, images, bench.place / "classified")
    for folder in bench.folders("classify-killed"):
        process = bench.begun(_classify(images, folder))
        time.sleep(bench.moments.uniform(0.1, 0.95) * seconds)
        slain(process)
        found.tried += 1
        code, errors = ended(bench.begun(_classify(images, folder)))
        if found.check(code == 0, errors[-300:]):
            differ = [name for name in FILES if (folder / name).read_bytes() != (whole / name).read_bytes()]
            found.same += found.check(not differ, f"differ: {', '.join(differ)}")
    return found


def _classify(images: Path, folder: Path) -> list[str]:
    labels = str(images / "labels.csv")
    command = [sys.executable, "-c", ON_ONE_CORE, "classify", str(images), "--labels", labels]
    return [*command, "--size", "8", "--out", str(folder)]


def _classified(bench: Bench, images: Path, folder: Path) -> tuple[float, Path]:
    """Seconds of a classification that nothing happens to, and its folder."""
    shutil.rmtree(folder, ignore_errors=True)
    start = time.monotonic()
    code, errors = ended(bench.begun(_classify(images, folder)))
    if code:
        sys.exit(f"the undisturbed classification failed:\n{errors[-2000:]}")
    return time.monotonic() - start, folder


def _folder_of_digits(folder: Path) -> Path:
    """Small images, one of each class labelled."""
    folder.mkdir(parents=True, exist_ok=True)
    digits = load_digits()
    lines = ["file,label"]
    for index, pixels in enumerate(digits.images[:SMALL]):
        Image.fromarray(np.round(pixels * 255 / 16).astype(np.uint8)).save(folder / f"{index}.png")
        lines += [f"{index}.png,{digits.target[index]}"] if index < 10 else []
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder
