"""Sweeps: every trial runs once even if interrupted, the best is chosen by validation, results equal single runs."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vaebench.core.cores import available_cores
from vaebench.core.errors import VaebenchError
from vaebench.core.local_pool import LocalPool
from vaebench.core.workers import Outcome, Worker
from vaebench.data.datasets import Data
from vaebench.models.networks import MLP
from vaebench.models.vae import Model
from vaebench.runs.evaluation import Evaluation
from vaebench.runs.pipeline import run
from vaebench.runs.recipe import Recipe
from vaebench.runs.run import Run
from vaebench.sweeps.grid import Axis, axis, trials
from vaebench.sweeps.page import points_table, verdict, write_page
from vaebench.sweeps.sweep import Point, Sweep, sweep, sweep_executor
from vaebench.sweeps.trial import BEST, run_trial
from vaebench.training.checkpoint import read_tensors, write_tensors
from vaebench.training.compute import Compute
from vaebench.training.loop import Training
from vaebench.training.schedules import Adam

SMALL = Recipe(
    name="small",
    data=Data(source="digits"),
    model=Model(latent=2, network=MLP(hidden=(8,))),
    training=Training(epochs=1, batch=256),
    evaluation=Evaluation(labels_per_class=(1,), draws=2, supervised=None, features=("vae",), samples=None),
    compute=Compute(device="cpu", precision="fp32", threads=1),
)
LATENTS = Axis("model.latent", ("2", "3"))
# command-line options of a sweep of three trials that is slow enough to be interrupted
SLOW = ["digits", "--grid", "model.latent=2,3,4", "--workers", "1", "--training.epochs", "25", "--training.batch", "16"]
SLOW += ["--model.network.kind", "mlp", "--model.network.hidden", "16"]
SLOW += [
    "--evaluation.samples",
    "none",
    "--evaluation.supervised",
    "none",
    "--evaluation.features",
    "vae",
    "--evaluation.labels-per-class",
    "1",
]
SLOW += ["--training.checkpoint-seconds", "0.3", "--compute.threads", "1"]


class Inline:
    """An executor without processes, which runs each task by ``run(task)``."""

    def __init__(self, run):
        self.run = run

    def capacity(self):
        return 1

    def __call__(self, tasks, callback):
        for task in tasks:
            self.run(task)
            yield Outcome(task)


inline = Inline(lambda task: task.function(Worker(), *task.arguments))


@Inline
def fail(task):
    raise AssertionError(f"trial {task.key} was repeated")


def test_a_grid_is_every_combination_with_every_seed():
    result = trials(SMALL, [LATENTS, Axis("objective.beta", ("1", "4", "8"))], seeds=2)
    made = [(trial.recipe.model.latent, trial.recipe.objective.beta, trial.recipe.seed) for trial in result]
    assert made == [(d, b, s) for d in (2, 3) for b in (1.0, 4.0, 8.0) for s in (0, 1)]
    assert len({trial.key for trial in result}) == 12
    assert result[3].description == "model.latent 2, objective.beta 4, seed 1"


def test_kinds_and_json_values_can_be_varied():
    kinds = trials(SMALL, [axis("objective.kind=elbo,free-bits")], 1)
    assert [trial.recipe.objective.kind for trial in kinds] == ["elbo", "free-bits"]
    nets = trials(SMALL, [axis("model.network.hidden=[[8],[16,8]]")], 1)
    assert [trial.recipe.model.network.hidden for trial in nets] == [(8,), (16, 8)]


def test_a_trial_is_named_by_a_hash_of_its_recipe():
    key = trials(SMALL, [], 1)[0].key
    for same in ({"name": "other"}, {"compute": Compute(threads=7)}):
        assert trials(SMALL.model_copy(update=same), [], 1)[0].key == key
    assert trials(SMALL.model_copy(update={"seed": 1}), [], 1)[0].key != key


def test_too_many_trials_are_refused():
    with pytest.raises(VaebenchError, match=r"the grid has 20,002 trials; expected at most 10,000"):
        trials(SMALL, [Axis("seed2", tuple("ab"))], 10_001)


def test_workers_give_the_results_of_single_runs_and_a_second_call_repeats_nothing(tmp_path):
    executor = LocalPool(workers=2, threads=1)
    events = []
    result = sweep(SMALL, [LATENTS], seeds=2, folder=tmp_path / "sweep", executor=executor, callback=events.append)
    assert [point.values for point in result.points] == [{"model.latent": "2"}, {"model.latent": "3"}]
    recipe = SMALL.model_copy(update={"model": SMALL.model.model_copy(update={"latent": 3})})
    alone = run(recipe, tmp_path / "alone")
    kept = Run.load(tmp_path / "sweep" / result.points[1].folders[0])
    for name in ("weights.safetensors", "latents.npz"):
        assert (alone.path / name).read_bytes() == (kept.path / name).read_bytes()
    assert alone.rows == kept.rows
    assert result.points[1].scores[BEST][0] == alone.history[0]["validation_elbo"]
    assert events[-1].done == 1
    assert events[-1].note.startswith("4 of 4")
    again = sweep(SMALL, [LATENTS], seeds=2, folder=tmp_path / "sweep", executor=fail)
    assert again.points == result.points
    repeated = []

    @Inline
    def record(task):
        repeated.append(task.arguments[0])
        inline.run(task)

    sweep(SMALL, [Axis("model.latent", ("2", "3", "4"))], seeds=2, folder=tmp_path / "sweep", executor=record)
    assert [trial.recipe.model.latent for trial in repeated] == [4, 4]


def test_a_killed_worker_is_replaced_and_its_trial_finished(tmp_path):
    base = SMALL.model_copy(update={"training": Training(epochs=12, batch=8)})
    killed = []

    def callback(event):
        if event.stage.startswith("worker") and event.done > 0.1 and "training" in event.note and not killed:
            children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
            workers = [pid for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
            killed.append(workers[0])
            os.kill(int(workers[0]), signal.SIGKILL)

    result = sweep(base, [LATENTS], folder=tmp_path, executor=LocalPool(workers=1, threads=1), callback=callback)
    assert len(killed) == 1
    assert [len(point.folders) for point in result.points] == [1, 1]
    assert [point.errors for point in result.points] == [[], []]
    assert len([path for path in tmp_path.iterdir() if (path / "results.json").exists()]) == 2


def test_a_diverging_trial_has_an_error_and_the_others_go_on(tmp_path):
    diverging = SMALL.model_copy(update={"training": Training(epochs=3, batch=64, optimiser=Adam(rate=1.0))})
    axes = [Axis("training.optimiser.rate", ("0.001", "1e30"))]
    result = sweep(diverging, axes, folder=tmp_path, executor=LocalPool(workers=1, threads=1))
    assert result.points[0].errors == []
    assert result.points[1].scores == {}
    assert result.points[1].errors[0].startswith("seed 0: the loss is nan at step")
    assert result.best is result.points[0]
    assert "the loss is nan at step" in write_page(result).read_text()
    assert json.loads((tmp_path / "sweep.json").read_text())["best"]["values"] == {"training.optimiser.rate": "0.001"}


def interrupted(folder, machine=None):
    """A trial interrupted in its training, and its checkpoint, optionally of another machine."""
    trial = trials(SMALL.model_copy(update={"training": Training(epochs=3, batch=16, checkpoint_seconds=0)}), [], 1)[0]

    def stop(event):
        if event.stage == "training" and event.done > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(trial.recipe, folder / trial.key, callback=stop)
    file = folder / trial.key / "checkpoint.safetensors"
    tensors, metadata = read_tensors(file)
    if machine is not None:
        write_tensors(file, tensors, {**metadata, "identity": {**metadata["identity"], "machine": machine}})
    return trial, file


def test_a_trial_keeps_its_checkpoint_if_its_data_are_missing(tmp_path, monkeypatch):
    trial, file = interrupted(tmp_path)

    def missing(data, progress):
        raise VaebenchError("the disk is missing")

    monkeypatch.setattr("vaebench.sweeps.trial._load", missing)
    with pytest.raises(VaebenchError, match="the disk is missing"):
        run_trial(trial.recipe, file.parent, lambda event: None)
    assert file.exists()


def test_a_trial_of_another_machine_is_started_again(tmp_path):
    trial, file = interrupted(tmp_path, machine={"processor": "abacus"})
    run_trial(trial.recipe, file.parent, lambda event: None)
    assert (file.parent / "results.json").exists()


def command(folder):
    handler = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # background jobs ignore SIGINT
    program = f"{handler}; import sys; from vaebench.cli import main; sys.exit(main(sys.argv[1:]))"
    return [sys.executable, "-c", program, "sweep", *SLOW, "--out", str(folder)]


def first_checkpoint(folder, seconds=90):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if checkpoints := list(folder.glob("*/checkpoint.safetensors")):
            return checkpoints[0]
        time.sleep(0.02)
    raise AssertionError("no trial has started")


@pytest.mark.parametrize(("kill", "status"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)], ids=["Ctrl-C", "kill -9"])
def test_an_interrupted_sweep_is_resumed_and_repeats_nothing(tmp_path, kill, status):
    folder = tmp_path / "sweep"
    with subprocess.Popen(command(folder), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        started = first_checkpoint(folder).parent
        process.send_signal(kill)
        errors = process.communicate(timeout=60)[1]
    assert process.returncode == status
    assert "Traceback" not in errors
    finished = {path.name: path.stat().st_mtime_ns for path in folder.glob("*/results.json")}
    for _ in range(10):  # a worker whose parent was killed exits by itself, but not immediately
        done = subprocess.run(command(folder), capture_output=True, text=True, timeout=240)
        if "is in use by another process" not in done.stdout + done.stderr:
            break
    assert done.returncode == 0, done.stderr
    results = list(folder.glob("*/results.json"))
    assert len(results) == 3
    assert started in {path.parent for path in results}
    assert all(path.stat().st_mtime_ns == finished[path.name] for path in results if path.name in finished)
    assert "Best by validation ELBO" in done.stdout


def synthetic_sweep(scores):
    points = [Point({"model.latent": str(d)}, {BEST: [v], "test ELBO": [t]}, ["x"], []) for d, v, t in scores]
    return Sweep("made up", (Axis("model.latent", tuple(str(d) for d, *_ in scores)),), 1, points, Path())


def test_the_best_is_chosen_by_validation_not_by_test_scores():
    result = synthetic_sweep([(2, -90.0, -50.0), (3, -80.0, -99.0), (4, -85.0, -10.0)])
    assert result.best.values == {"model.latent": "3"}
    assert verdict(result) == "Best by validation ELBO: model.latent 3, \N{MINUS SIGN}80.00 nats per image."
    assert [row[0] for row in points_table(result).rows] == ["model.latent 3", "model.latent 4", "model.latent 2"]


def test_the_table_and_the_page_hold_every_point(tmp_path):
    axes = [Axis("model.likelihood.kind", ("bernoulli", "continuous-bernoulli")), LATENTS]
    result = sweep(SMALL, axes, seeds=2, folder=tmp_path, executor=inline)
    with (tmp_path / "sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["model.likelihood.kind"] for row in rows] == ["bernoulli"] * 2 + ["continuous-bernoulli"] * 2
    values = result.points[2].scores["test KL"]
    assert float(rows[2]["test KL mean"]) == pytest.approx(sum(values) / 2)
    text = write_page(result).read_text()
    assert text.count("data:image/png;base64,") == 2
    assert all(point.description in text for point in result.points)


def test_workers_share_the_cores():
    cores = available_cores()
    assert sweep_executor(cores).threads == 1
    assert sweep_executor(1).threads == cores
    assert sweep_executor().workers == max(1, cores // 2)
