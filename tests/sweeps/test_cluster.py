"""Trials on a cluster: its outcomes are told, and a machine that is lost loses nothing."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from vaebench.cli import main
from vaebench.sweeps.cluster import Cluster
from vaebench.sweeps.grid import Axis, trials
from vaebench.sweeps.sweep import sweep
from vaebench.sweeps.trial import perform_trial


class Lost(Exception):
    """Stands for Ray's errors."""


class Broken(Lost):
    """Stands for an exception of a task, as Ray hands it on."""


class MadeUpRay:
    """Runs tasks in place; ``lost`` names folders whose machine goes away, ``elsewhere`` those on another disk."""

    exceptions = SimpleNamespace(RayError=Lost, RayTaskError=Broken)

    def __init__(self, nodes=({"CPU": 4.0},), lost=(), elsewhere=(), broken=(), unreachable=False):
        self.broken = broken
        self.machines, self.lost, self.elsewhere, self.unreachable = nodes, lost, elsewhere, unreachable
        self.asked, self.cancelled, self.connected = None, [], []

    def init(self, **options):
        if self.unreachable:
            raise ConnectionError("nobody there\nand a long story")
        self.connected.append(options)

    def shutdown(self):
        self.connected.append("shut down")

    def nodes(self):
        return [{"Alive": True, "Resources": resources} for resources in self.machines]

    def remote(self, **options):
        self.asked = options
        return lambda task: SimpleNamespace(remote=lambda *inputs: (task, inputs))

    def wait(self, tasks, num_returns, timeout=None):
        return tasks[:num_returns], tasks[num_returns:]

    def get(self, task):
        do, (recipe, folder, cores) = task
        name = os.path.basename(folder)
        if name in self.lost:
            raise Lost
        if name in self.broken:
            raise Broken("a long story\nOSError: no space left")
        return None if name in self.elsewhere else do(recipe, folder, cores)

    def cancel(self, task):
        self.cancelled.append(task)


@pytest.fixture
def small():
    from test_sweep import SMALL

    return SMALL


LATENTS = Axis("model.latent", ("2", "3"))


def use(monkeypatch, ray):
    monkeypatch.setitem(sys.modules, "ray", ray)
    return ray


def test_a_cluster_finds_what_this_machine_finds(small, tmp_path, monkeypatch):
    ray = use(monkeypatch, MadeUpRay())
    there = sweep(small, [LATENTS], folder=tmp_path / "there", engine=Cluster("head:6379"))
    here = sweep(small, [LATENTS], folder=tmp_path / "here", engine=_inline)
    assert [point.values for point in there.points] == [point.values for point in here.points]
    for one, other in zip(there.points, here.points, strict=True):
        assert {k: v for k, v in one.scores.items() if k != "minutes"} == {
            k: v for k, v in other.scores.items() if k != "minutes"
        }
    assert ray.connected[0]["address"] == "head:6379"
    assert ray.connected[-1] == "shut down"
    assert ray.asked == {"max_retries": 2, "num_cpus": 2, "num_gpus": 0}


def _inline(every, folder, callback):
    from vaebench.sweeps.workers import Outcome

    for trial in every:
        perform_trial(trial.recipe, folder / trial.key, lambda tick: None)
        yield Outcome(trial, None)


def test_trials_fit_the_largest_machine_and_take_a_gpu_where_there_is_one(small, tmp_path, monkeypatch):
    for nodes, cores, gpus in ((({"CPU": 1.0},), 1, 0), (({}, {"CPU": 64.0, "GPU": 8.0}), 2, 1)):
        ray = use(monkeypatch, MadeUpRay(nodes))
        keys = [trial.key for trial in trials(small, [], 1)]
        ray.lost = keys
        sweep(small, [], folder=tmp_path / str(cores), engine=Cluster("auto"))
        assert (ray.asked["num_cpus"], ray.asked["num_gpus"]) == (cores, gpus)


def test_what_is_lost_and_what_lies_elsewhere_is_told_and_the_rest_goes_on(small, tmp_path, monkeypatch):
    axes = [Axis("model.latent", ("2", "3", "4", "5"))]
    first, second, third, _ = trials(small, axes, 1)
    use(monkeypatch, MadeUpRay(lost=[first.key], elsewhere=[second.key], broken=[third.key]))
    found = sweep(small, axes, folder=tmp_path, engine=Cluster("auto"))
    assert "it was lost 3 times (Lost)" in found.points[0].troubles[0]
    assert "must lie on a disk that all machines share" in found.points[1].troubles[0]
    assert found.points[2].troubles == ["seed 0: it failed: OSError: no space left"]
    assert found.points[3].troubles == []
    assert found.points[3].scores["minutes"]


def test_ctrl_c_stops_every_trial_on_the_cluster(small, tmp_path, monkeypatch):
    ray = use(monkeypatch, MadeUpRay())

    def stop(tick):
        if tick.stage == "cluster":
            raise KeyboardInterrupt

    monkeypatch.setattr(ray, "wait", lambda tasks, **options: stop(SimpleNamespace(stage="cluster")))
    with pytest.raises(KeyboardInterrupt):
        sweep(small, [LATENTS], folder=tmp_path, engine=Cluster("auto"))
    assert len(ray.cancelled) == 2
    assert ray.connected[-1] == "shut down"


def test_mistakes_are_one_sentence(monkeypatch, capsys, tmp_path):
    words = ["sweep", "digits", "--ray", "there:1", "--out", str(tmp_path)]
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(words) == 2
    assert "pip install 'vaebench[cluster]'" in capsys.readouterr().err
    use(monkeypatch, MadeUpRay(unreachable=True))
    assert main(words) == 2
    assert "no Ray cluster answers at 'there:1' (nobody there)" in capsys.readouterr().err
    assert main([*words, "--workers", "2"]) == 2
    assert "give one of them" in capsys.readouterr().err


TWO_MACHINES = """
import json, sys, threading, time
from pathlib import Path
from ray.cluster_utils import Cluster as Machines
from vaebench.sweeps.cluster import Cluster
from vaebench.sweeps.grid import Axis
from vaebench.sweeps.sweep import sweep
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
found = sweep(base, axes, folder=folder, engine=Cluster(machines.address))
print("found", json.dumps([killed, [[len(p.folders), p.troubles] for p in found.points]]))
machines.shutdown()
"""


@pytest.mark.soak
def test_a_machine_of_a_true_cluster_is_killed_and_every_trial_is_there_once(tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed")
    run = subprocess.run(
        [sys.executable, "-c", TWO_MACHINES, os.path.dirname(__file__), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=900,
        env={**os.environ, "RAY_worker_niceness": "0"},
    )
    line = next((line for line in run.stdout.splitlines() if line.startswith("found ")), None)
    assert line is not None, run.stderr[-3000:]
    assert json.loads(line.removeprefix("found ")) == [[True], [[1, []]] * 3]
    assert len(list(tmp_path.glob("*/results.json"))) == 3
