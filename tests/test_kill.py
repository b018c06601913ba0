"""A run stopped by kill -9 or Ctrl-C at any point and resumed gives the same bits as an uninterrupted run."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

COMMAND = [
    sys.executable, "-m", "vaebench.cli", "run", "digits",
    "--training.epochs", "8", "--training.checkpoint-seconds", "0", "--training.ema", "0.9",
    "--evaluation.samples", "100", "--evaluation.labels-per-class", "1", "10", "--evaluation.draws", "2",
    "--evaluation.features", "vae", "autoencoder",
    "--evaluation.supervised.least-steps", "20", "--compute.threads", "1",
]  # fmt: skip
pytestmark = pytest.mark.xdist_group("kill")  # one worker, so that the reference run is made once
WEIGHTS = ("weights.safetensors", "autoencoder/weights.safetensors")
FINAL = (*WEIGHTS, "latents.npz", "panels.npz", "label-draws.json", "results.csv")


def start(folder, *more):
    return subprocess.Popen(
        [*COMMAND, "--out", str(folder), *more], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def finish(folder, *more):
    process = start(folder, *more)
    out, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    return out


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The folder of an uninterrupted run, and its duration in seconds."""
    folder = tmp_path_factory.mktemp("reference") / "run"
    start_time = time.monotonic()
    finish(folder)
    return folder, time.monotonic() - start_time


def wait_for(condition, process):
    """Wait until the condition holds or the process ends."""
    while process.poll() is None and not condition():
        time.sleep(0.005)


def assert_same_results(folder, other):
    for name in FINAL:
        assert (folder / name).read_bytes() == (other / name).read_bytes(), name
    rows, others = (json.loads((path / "results.json").read_text())["rows"] for path in (folder, other))
    assert rows == others


def stop_at_random(folder, kill, random_times, seconds):
    """Start or resume the run and send a signal at a random time; return whether the run was still in progress."""
    process = start(folder, "--resume")
    wait_for(lambda: (folder / "recipe.json").exists(), process)
    time.sleep(random_times.uniform(0, seconds))
    process.send_signal(kill)
    process.communicate(timeout=60)
    return process.returncode != 0


def stop_repeatedly(tmp_path, reference, kill, times, seed):
    """Stop runs ``times`` times; a run that finishes in between is compared, and a new one started."""
    reference_folder, seconds = reference
    random_times, stops, folder = random.Random(seed), 0, tmp_path / "0"
    while stops < times:
        if stop_at_random(folder, kill, random_times, min(6.0, seconds / 2)):
            stops += 1
        else:
            assert_same_results(reference_folder, folder)
            folder = tmp_path / str(int(folder.name) + 1)
    finish(folder, "--resume")
    assert_same_results(reference_folder, folder)


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGINT])
def test_a_run_stopped_during_training_and_resumed_gives_the_same_bits(tmp_path, reference, kill):
    folder = tmp_path / "run"
    process = start(folder)
    wait_for(lambda: (folder / "checkpoint.safetensors").exists(), process)
    process.send_signal(kill)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == (-9 if kill == signal.SIGKILL else 130)
    assert (folder / "checkpoint.safetensors").exists()
    assert not (folder / "results.json").exists()
    if kill == signal.SIGINT:
        assert errors.strip().splitlines()[-1] == (
            "vaebench: stopped; the same command with --resume goes on from here"
        )
        assert "Traceback" not in errors
    again = start(folder)  # without --resume the folder is refused
    assert "already holds a run; add --resume" in again.communicate(timeout=60)[1]
    assert again.returncode == 2
    finish(folder, "--resume")
    assert_same_results(reference[0], folder)


def test_a_second_process_on_the_same_folder_is_refused(tmp_path):
    folder = tmp_path / "run"
    first = start(folder)
    wait_for(lambda: (folder / "recipe.json").exists(), first)
    second = start(folder, "--resume")
    assert "is in use by another process" in second.communicate(timeout=60)[1]
    assert second.returncode == 2
    first.kill()
    first.communicate()


def test_a_resume_with_another_number_of_threads_is_refused(tmp_path):
    folder = tmp_path / "run"
    process = start(folder)
    wait_for(lambda: (folder / "checkpoint.safetensors").exists(), process)
    process.kill()
    process.communicate()
    other = start(folder, "--resume", "--compute.threads", "2")
    errors = other.communicate(timeout=60)[1]
    assert other.returncode == 2
    assert "compute.threads was 1 and is now 2" in errors
    assert "Traceback" not in errors


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGINT])
def test_ten_random_stops_and_a_resume_give_the_same_bits(tmp_path, reference, kill, seed):
    stop_repeatedly(tmp_path, reference, kill, 10, seed + int(os.environ.get("VAEBENCH_SOAK_SEED", "0")))
