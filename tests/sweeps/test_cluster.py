"""Trials on a Ray cluster: outcomes, errors, and the loss of a machine."""

import json
import os
import subprocess
import sys

import pytest

from fake_ray import FakeRay, install
from vaebench.cli import main
from vaebench.sweeps.grid import Axis, trials
from vaebench.sweeps.sweep import sweep, sweep_executor


@pytest.fixture
def small():
    from test_sweep import SMALL

    return SMALL


LATENTS = Axis("model.latent", ("2", "3"))


def test_a_cluster_and_this_machine_give_the_same_scores(small, tmp_path, monkeypatch):
    from test_sweep import inline

    ray = install(monkeypatch, FakeRay())
    on_cluster = sweep(small, [LATENTS], folder=tmp_path / "there", executor=sweep_executor(ray="head:6379"))
    local = sweep(small, [LATENTS], folder=tmp_path / "here", executor=inline)
    assert [point.values for point in on_cluster.points] == [point.values for point in local.points]
    for first, second in zip(on_cluster.points, local.points, strict=True):
        assert {k: v for k, v in first.scores.items() if k != "minutes"} == {
            k: v for k, v in second.scores.items() if k != "minutes"
        }
    assert ray.connections[0]["address"] == "head:6379"
    assert ray.connections[-1] == "shut down"
    assert ray.options == {"max_retries": 2, "num_cpus": 2, "num_gpus": 0}


def test_trials_fit_the_largest_machine_and_take_a_gpu_where_there_is_one(small, tmp_path, monkeypatch):
    for nodes, cores, gpus in ((({"CPU": 1.0},), 1, 0), (({}, {"CPU": 64.0, "GPU": 8.0}), 2, 1)):
        ray = install(monkeypatch, FakeRay(nodes))
        keys = [trial.key for trial in trials(small, [], 1)]
        ray.lost = keys
        sweep(small, [], folder=tmp_path / str(cores), executor=sweep_executor(ray="auto"))
        assert (ray.options["num_cpus"], ray.options["num_gpus"]) == (cores, gpus)


def test_failed_trials_have_errors_and_the_others_go_on(small, tmp_path, monkeypatch):
    axes = [Axis("model.latent", ("2", "3", "4", "5"))]
    first, second, third, _ = trials(small, axes, 1)
    install(monkeypatch, FakeRay(lost=[first.key], elsewhere=[second.key], broken=[third.key]))
    result = sweep(small, axes, folder=tmp_path, executor=sweep_executor(ray="auto"))
    assert "it was lost 3 times (Lost)" in result.points[0].errors[0]
    assert "must be on a disk that all machines share" in result.points[1].errors[0]
    assert result.points[2].errors == ["seed 0: it failed: OSError: no space left"]
    assert result.points[3].errors == []
    assert result.points[3].scores["minutes"]


def test_ctrl_c_stops_every_trial_on_the_cluster(small, tmp_path, monkeypatch):
    ray = install(monkeypatch, FakeRay())

    def interrupt(tasks, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(ray, "wait", interrupt)
    with pytest.raises(KeyboardInterrupt):
        sweep(small, [LATENTS], folder=tmp_path, executor=sweep_executor(ray="auto"))
    assert len(ray.cancelled) == 2
    assert ray.connections[-1] == "shut down"


@pytest.mark.parametrize(
    "command", [["sweep", "digits"], ["reproduce", "E"], ["few-labels"]], ids=lambda words: words[0]
)
def test_errors_are_one_sentence(command, monkeypatch, capsys, tmp_path):
    words = [*command, "--ray", "there:1", "--out", str(tmp_path)]
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(words) == 2
    assert "pip install 'vaebench[cluster]'" in capsys.readouterr().err
    install(monkeypatch, FakeRay(unreachable=True))
    assert main(words) == 2
    assert "no Ray cluster answers at 'there:1' (nobody there)" in capsys.readouterr().err
    assert main([*words, "--workers", "2"]) == 2
    assert "give one of them" in capsys.readouterr().err


TWO_MACHINES = """
import json, sys, threading, time
from pathlib import Path
from ray.cluster_utils import Cluster as Machines
from vaebench.sweeps.grid import Axis
from vaebench.sweeps.sweep import sweep, sweep_executor
from vaebench.training.loop import Training
sys.path.insert(0, sys.argv[1])
from test_sweep import SMALL
machines = Machines(initialize_head=True, head_node_args={"num_cpus": 0})
nodes = [machines.add_node(num_cpus=1) for _ in range(2)]
folder = Path(sys.argv[2])
base = SMALL.model_copy(update={"training": Training(epochs=40, batch=4, checkpoint_seconds=0.3)})
def kill():
    while len(list(folder.glob("*/checkpoint.safetensors"))) < 2:
        time.sleep(0.02)
    machines.remove_node(nodes[0], allow_graceful=False)
    killed.append(True)
killed = []
threading.Thread(target=kill, daemon=True).start()
axes = [Axis("model.latent", ("2", "3", "4"))]
result = sweep(base, axes, folder=folder, executor=sweep_executor(ray=machines.address))
print("result", json.dumps([killed, [[len(p.folders), p.errors] for p in result.points]]))
machines.shutdown()
"""


@pytest.mark.soak
def test_killing_a_machine_of_a_real_cluster_loses_no_trial(tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed")
    run = subprocess.run(
        [sys.executable, "-c", TWO_MACHINES, os.path.dirname(__file__), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=900,
        env={**os.environ, "RAY_worker_niceness": "0"},
    )
    line = next((line for line in run.stdout.splitlines() if line.startswith("result ")), None)
    assert line is not None, run.stderr[-3000:]
    assert json.loads(line.removeprefix("result ")) == [[True], [[1, []]] * 3]
    assert len(list(tmp_path.glob("*/results.json"))) == 3
