"""Workers on this machine: a step is computed once, whoever computes it; a lost or stopped worker loses nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pool_tasks import (
    NAMES,
    cache_in,
    diverge,
    fail,
    fail_once,
    gpu,
    hold,
    ignore,
    linger,
    make_slowly,
    meet,
    refuse,
    stay,
    step,
    stumble,
    threads,
    walk,
)

from vaebench.core.errors import VaebenchError
from vaebench.core.local_pool import LocalPool, _Run
from vaebench.core.locks import file_lock
from vaebench.core.processes import CONTEXT
from vaebench.core.workers import Task, TaskError
from vaebench.experiments.experiment import Experiment
from vaebench.few_label_benchmark.run import BenchmarkInfo
from vaebench.training.compute import Compute


@pytest.fixture(autouse=True)
def _without_gpus(monkeypatch):
    """Processes need not import torch to count GPUs."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def outcomes(pool, *tasks):
    return list(pool([Task(f"task {n}", *task) for n, task in enumerate(tasks)], ignore))


def test_two_workers_compute_every_step_once_and_both_make_some(tmp_path):
    found = outcomes(LocalPool(2), (meet, (tmp_path, "begun-0")), (meet, (tmp_path, "begun-1")))
    lines = [line.split() for line in (tmp_path / "made").read_text().splitlines()]
    assert sorted(name for name, _ in lines) == sorted(NAMES)
    assert len({process for _, process in lines}) == 2
    assert sorted(found[0].value + found[1].value) == sorted(NAMES)
    kept = json.loads((tmp_path / "steps" / f"{NAMES[0]}.json").read_text())
    assert kept["machine"] == {"precision": "fp32", "workers": 2}


def test_a_record_states_how_the_work_was_divided(tmp_path):
    compute = Compute(device="cpu", precision="fp32", threads=1)
    Experiment(BenchmarkInfo(), "quick", tmp_path, compute, workers=2).step("a", {}, lambda: {"value": 1})
    kept = json.loads((tmp_path / "steps" / "a.json").read_text())["machine"]
    assert kept == {"processor": kept["processor"], "precision": "fp32", "threads": 1, "workers": 2}


def test_a_step_that_another_worker_computes_is_waited_for_and_not_made_again(tmp_path):
    cache, made = cache_in(tmp_path), CONTEXT.Event()
    path = tmp_path / "claims" / "steps" / "slow.lock"
    other = CONTEXT.Process(target=hold, args=(path, made))
    other.start()
    assert made.wait(30)
    with file_lock(path, wait=False) as mine:
        assert not mine
    os.kill(other.pid, signal.SIGKILL)  # what it held is free, and the step is made here
    assert step(cache, "slow", 0) == {"value": 4}
    other.join()


def test_a_step_that_two_workers_want_is_made_by_the_first_alone(tmp_path):
    assert [one.error for one in outcomes(LocalPool(2), *[(make_slowly, (tmp_path,))] * 2)] == [None, None]
    assert len((tmp_path / "made").read_text().splitlines()) == 1


def test_a_worker_that_is_lost_is_replaced_and_reported_and_its_task_run_again(tmp_path, caplog):
    (outcome,) = outcomes(LocalPool(1), (fail_once, (tmp_path,)))
    assert (outcome.error, outcome.value) == (None, "done")
    assert "process 1 of the workers was lost (exit code -9)" in caplog.text


def test_a_task_whose_worker_is_lost_three_times_has_an_error_and_the_others_go_on(tmp_path, caplog):
    found = {one.task.key: one for one in outcomes(LocalPool(2), (fail,), (walk, (tmp_path,)))}
    assert isinstance(found["task 0"].error, TaskError)
    assert str(found["task 0"].error) == "its worker was lost 3 times (exit code 9), possibly out of memory"
    assert sorted(found["task 1"].value) == sorted(NAMES)
    assert caplog.text.count("of the workers was lost (exit code 9)") == 3


def test_errors_of_a_task_are_its_outcome(caplog, capfd):
    refused, diverged = outcomes(LocalPool(1), (refuse,), (diverge,))
    assert (type(refused.error), str(refused.error)) == (VaebenchError, "no such data")
    assert (type(diverged.error), str(diverged.error)) == (FloatingPointError, "the loss is nan")
    assert caplog.text == ""
    assert "Traceback" not in capfd.readouterr().err


def test_an_unexpected_error_is_said_once_with_its_traceback(caplog, capfd):
    (outcome,) = outcomes(LocalPool(1), (stumble,))
    assert isinstance(outcome.error, TaskError)
    assert str(outcome.error) == "it failed: KeyError: 'absent'"
    assert caplog.text == ""  # the worker was not lost, and the task not run again
    said = capfd.readouterr().err
    assert said.count("Traceback") == 1
    assert "in stumble" in said


def test_one_that_begins_after_the_end_does_nothing(tmp_path):
    run = _Run(LocalPool(1), [], ignore)
    process = run.start(0)
    run.processes.append(process)
    run.send(process, Task("stay", stay, (tmp_path,)))
    run.interrupt()
    assert not (tmp_path / "begun").exists()
    assert process.process.exitcode == 0


def test_one_that_is_told_to_stop_when_it_has_finished_is_not_lost(tmp_path):
    run = _Run(LocalPool(1), [Task("linger", linger, (tmp_path,))], ignore)
    found = run.outcomes()
    assert next(found).error is None
    process = run.processes[0].process
    run.processes[0].connection.close()  # there are no further tasks
    while not (tmp_path / "finished").exists():
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    process.join()
    assert process.exitcode == 0


def test_whatever_stops_this_process_stops_the_others_in_order(tmp_path):
    def stop(number, key, event):
        assert (number, key, event.stage) == (0, "stay", "staying")
        raise KeyboardInterrupt

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        list(LocalPool(1)([Task("stay", stay, (tmp_path,))], stop))
    assert (tmp_path / "kept").exists()
    assert time.monotonic() - start < 55


def test_ctrl_c_in_a_terminal_reaches_the_workers_once_and_saving_is_not_interrupted(tmp_path):
    program = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import signal; signal.signal(signal.SIGINT, signal.default_int_handler)
from pathlib import Path
from pool_tasks import ignore, stay
from vaebench.core.local_pool import LocalPool
from vaebench.core.workers import Task
if __name__ == "__main__":
    list(LocalPool(1)([Task("stay", stay, (Path({str(tmp_path)!r}),))], ignore))
"""
    (tmp_path / "program.py").write_text(program)
    main = subprocess.Popen([sys.executable, tmp_path / "program.py"], start_new_session=True, stderr=subprocess.PIPE)
    while not (tmp_path / "begun").exists():
        assert main.poll() is None, main.communicate()
        time.sleep(0.01)
    os.killpg(main.pid, signal.SIGINT)  # as a terminal does
    main.communicate(timeout=30)
    assert (tmp_path / "kept").exists()


def test_a_worker_has_one_thread_unless_told_otherwise():
    assert outcomes(LocalPool(1), (threads,))[0].value == (1, {1})
    assert outcomes(LocalPool(1, threads=2), (threads,))[0].value == (2, {2})


def test_gpus_are_assigned_in_turn(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert sorted(one.value for one in outcomes(LocalPool(2), (gpu,), (gpu,))) == ["3", "5"]


def test_one_hand_claims_nothing(tmp_path):
    cache = cache_in(tmp_path, workers=1)
    cache.run_tasks({"a": lambda: step(cache, "a")})
    assert not (tmp_path / "claims").exists()


def test_a_script_that_starts_workers_is_not_run_again_in_them(tmp_path):
    program = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pool_tasks import ignore, threads
from vaebench.core.local_pool import LocalPool
from vaebench.core.workers import Task
print("begun", flush=True)
print([outcome.value for outcome in LocalPool(1)([Task("threads", threads)], ignore)])
"""
    (tmp_path / "program.py").write_text(program)
    done = subprocess.run([sys.executable, tmp_path / "program.py"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["begun", "[(1, {1})]"]
