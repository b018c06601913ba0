"""Workers: every step is computed once, whoever computes it; a worker that is lost or stopped loses nothing."""

import json
import os
import signal
import time
from multiprocessing import util
from pathlib import Path

import pytest

from vaebench.core.errors import VaebenchError
from vaebench.core.locks import file_lock
from vaebench.core.processes import CONTEXT
from vaebench.core.workers import worker_processes
from vaebench.experiments.experiment import Experiment
from vaebench.few_label_benchmark.run import BenchmarkInfo
from vaebench.training.compute import Compute

NAMES = [f"a/{n}" for n in range(12)]
ALONE = Compute(device="cpu", precision="fp32", threads=1)


def study_in(folder, workers=2):
    return Experiment(BenchmarkInfo(), "quick", folder, ALONE, workers=workers)


def step(experiment, name, seconds=0.05):
    def make():
        with (experiment.folder / "made").open("a") as file:  # one short line at a time is appended whole
            file.write(f"{name} {os.getpid()}\n")
        time.sleep(seconds)
        return {"value": len(name)}

    return experiment.step(name, {"name": name}, make)


def walk(folder):
    experiment = study_in(folder)
    experiment.run_tasks({name: lambda name=name: step(experiment, name) for name in NAMES})


def make_slowly(folder):
    step(study_in(folder), "slow", 2.0)


def hold(path, ready):
    with file_lock(path):
        ready.set()
        time.sleep(60)


def fail():
    os._exit(9)


def linger(folder):
    util.Finalize(None, finished, args=(folder,), exitpriority=1)


def finished(folder):
    (folder / "finished").touch()
    time.sleep(1)


def refuse():
    raise VaebenchError("no such data")


def stay(folder):
    (folder / "begun").touch()
    try:
        time.sleep(60)
    finally:
        (folder / "kept").touch()


def test_two_workers_compute_every_step_once_and_both_make_some(tmp_path):
    with worker_processes(1, walk, (tmp_path,)):
        while not (tmp_path / "made").exists():  # the other worker takes seconds to begin
            time.sleep(0.01)
        walk(tmp_path)
    lines = [line.split() for line in (tmp_path / "made").read_text().splitlines()]
    assert sorted(name for name, _ in lines) == sorted(NAMES)
    assert len({process for _, process in lines}) == 2
    kept = json.loads((tmp_path / "steps" / f"{NAMES[0]}.json").read_text())
    assert kept["machine"] == {
        "processor": kept["machine"]["processor"],
        "precision": "fp32",
        "workers": 2,
    }


def test_a_step_that_another_worker_computes_is_waited_for_and_not_made_again(tmp_path):
    experiment, made = study_in(tmp_path), CONTEXT.Event()
    path = tmp_path / "claims" / "steps" / "slow.lock"
    other = CONTEXT.Process(target=hold, args=(path, made))
    other.start()
    assert made.wait(30)
    with file_lock(path, wait=False) as mine:
        assert not mine
    os.kill(other.pid, signal.SIGKILL)  # what it held is free, and the step is made here
    assert step(experiment, "slow", 0) == {"value": 4}
    other.join()


def test_a_step_that_two_workers_want_is_made_by_the_first_alone(tmp_path):
    with worker_processes(1, make_slowly, (tmp_path,)):
        while not (tmp_path / "made").exists():
            time.sleep(0.01)
        assert step(study_in(tmp_path), "slow", 0) == {"value": 4}
    assert len((tmp_path / "made").read_text().splitlines()) == 1


def test_a_worker_that_is_lost_costs_nothing_and_is_reported(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("vaebench.core.workers.GRACE", 60)  # a busy machine takes long to start a process
    with worker_processes(1, fail, ()):
        walk(tmp_path)
    assert len((tmp_path / "made").read_text().splitlines()) == len(NAMES)
    assert "process 2 of the workers was lost (exit code 9)" in caplog.text


def test_an_error_of_the_projects_own_is_left_to_the_first_process_to_say(caplog, capfd):
    with worker_processes(1, refuse, ()):
        pass
    assert caplog.text == ""
    assert "Traceback" not in capfd.readouterr().err


def test_one_that_begins_after_the_end_does_nothing_and_is_not_lost(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("vaebench.core.workers.GRACE", 0.0)
    with worker_processes(1, stay, (tmp_path,)):
        pass
    assert not (tmp_path / "begun").exists()
    assert caplog.text == ""


def test_one_that_is_told_to_stop_when_it_has_finished_is_not_lost(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("vaebench.core.workers.GRACE", 0.0)
    with worker_processes(1, linger, (tmp_path,)):
        while not (tmp_path / "finished").exists():
            time.sleep(0.01)
    assert caplog.text == ""


def test_whatever_stops_this_process_stops_the_others_in_order(tmp_path):
    def stopped():
        with worker_processes(1, stay, (tmp_path,)):
            while not Path(tmp_path / "begun").exists():
                time.sleep(0.01)
            raise KeyboardInterrupt

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert (tmp_path / "kept").exists()
    assert time.monotonic() - start < 55


def test_one_hand_claims_nothing(tmp_path):
    experiment = study_in(tmp_path, workers=1)
    experiment.run_tasks({"a": lambda: step(experiment, "a")})
    assert not (tmp_path / "claims").exists()
