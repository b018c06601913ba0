"""Sweeps: every trial once, however they are stopped; chosen by validation; results like those of single runs."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vaebench.core.errors import VaebenchError
from vaebench.data.datasets import Data
from vaebench.models.networks import MLP
from vaebench.models.vae import Model
from vaebench.runs.evaluation import Evaluation
from vaebench.runs.pipeline import run
from vaebench.runs.recipe import Recipe
from vaebench.runs.run import Run
from vaebench.sweeps.grid import Axis, axis, trials
from vaebench.sweeps.page import points_table, verdict, write_page
from vaebench.sweeps.sweep import Point, Sweep, local, sweep
from vaebench.sweeps.trial import BEST, perform_trial
from vaebench.sweeps.workers import LocalWorkers, Outcome
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
# as text for a new process: a sweep of three trials, slow enough to be stopped in the middle
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


def inline(every, folder, callback):
    """An engine without processes."""
    for trial in every:
        perform_trial(trial.recipe, folder / trial.key, lambda tick: None)
        yield Outcome(trial, None)


def never(every, folder, callback):
    raise AssertionError(f"{len(every)} trials were run again")


def test_a_grid_is_every_combination_with_every_seed():
    found = trials(SMALL, [LATENTS, Axis("objective.beta", ("1", "4", "8"))], seeds=2)
    made = [(trial.recipe.model.latent, trial.recipe.objective.beta, trial.recipe.seed) for trial in found]
    assert made == [(d, b, s) for d in (2, 3) for b in (1.0, 4.0, 8.0) for s in (0, 1)]
    assert len({trial.key for trial in found}) == 12
    assert found[3].words == "model.latent 2, objective.beta 4, seed 1"


def test_parts_of_other_kinds_and_json_values_are_taken():
    kinds = trials(SMALL, [axis("objective.kind=elbo,free-bits")], 1)
    assert [trial.recipe.objective.kind for trial in kinds] == ["elbo", "free-bits"]
    nets = trials(SMALL, [axis("model.network.hidden=[[8],[16,8]]")], 1)
    assert [trial.recipe.model.network.hidden for trial in nets] == [(8,), (16, 8)]


def test_a_trial_is_named_by_what_decides_its_numbers():
    key = trials(SMALL, [], 1)[0].key
    for same in ({"name": "other"}, {"compute": Compute(threads=7)}):
        assert trials(SMALL.model_copy(update=same), [], 1)[0].key == key
    assert trials(SMALL.model_copy(update={"seed": 1}), [], 1)[0].key != key


def test_too_many_trials_are_refused():
    with pytest.raises(VaebenchError, match=r"the grid has 20,002 trials; expected at most 10,000"):
        trials(SMALL, [Axis("seed2", tuple("ab"))], 10_001)


def test_workers_find_what_single_runs_find_and_a_second_call_does_nothing(tmp_path):
    engine = LocalWorkers(workers=2, threads=1)
    ticks = []
    found = sweep(SMALL, [LATENTS], seeds=2, folder=tmp_path / "sweep", engine=engine, callback=ticks.append)
    assert [point.values for point in found.points] == [{"model.latent": "2"}, {"model.latent": "3"}]
    recipe = SMALL.model_copy(update={"model": SMALL.model.model_copy(update={"latent": 3})})
    alone = run(recipe, tmp_path / "alone")
    kept = Run.load(tmp_path / "sweep" / found.points[1].folders[0])
    for name in ("weights.safetensors", "latents.npz"):
        assert (alone.path / name).read_bytes() == (kept.path / name).read_bytes()
    assert alone.rows == kept.rows
    assert found.points[1].scores[BEST][0] == alone.history[0]["validation_elbo"]
    assert ticks[-1].done == 1
    assert ticks[-1].note.startswith("4 of 4")
    again = sweep(SMALL, [LATENTS], seeds=2, folder=tmp_path / "sweep", engine=never)
    assert again.points == found.points
    more = []

    def noted(every, *rest):
        more.extend(every)
        return inline(every, *rest)

    sweep(SMALL, [Axis("model.latent", ("2", "3", "4"))], seeds=2, folder=tmp_path / "sweep", engine=noted)
    assert [trial.recipe.model.latent for trial in more] == [4, 4]


def test_a_worker_that_is_killed_is_replaced_and_its_trial_done_once(tmp_path):
    base = SMALL.model_copy(update={"training": Training(epochs=12, batch=8)})
    killed = []

    def callback(tick):
        if tick.stage.startswith("worker") and tick.done > 0.1 and "training" in tick.note and not killed:
            children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
            workers = [pid for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
            killed.append(workers[0])
            os.kill(int(workers[0]), signal.SIGKILL)

    found = sweep(base, [LATENTS], folder=tmp_path, engine=LocalWorkers(workers=1, threads=1), callback=callback)
    assert len(killed) == 1
    assert [len(point.folders) for point in found.points] == [1, 1]
    assert [point.troubles for point in found.points] == [[], []]
    assert len([path for path in tmp_path.iterdir() if (path / "results.json").exists()]) == 2


def test_a_trial_that_diverges_is_told_and_the_others_go_on(tmp_path):
    wild = SMALL.model_copy(update={"training": Training(epochs=3, batch=64, optimiser=Adam(rate=1.0))})
    axes = [Axis("training.optimiser.rate", ("0.001", "1e30"))]
    found = sweep(wild, axes, folder=tmp_path, engine=LocalWorkers(workers=1, threads=1))
    assert found.points[0].troubles == []
    assert found.points[1].scores == {}
    assert found.points[1].troubles[0].startswith("seed 0: the loss is nan at step")
    assert found.best is found.points[0]
    assert "the loss is nan at step" in write_page(found).read_text()
    assert json.loads((tmp_path / "sweep.json").read_text())["best"]["values"] == {"training.optimiser.rate": "0.001"}


def begun(folder, machine=None):
    """A trial stopped in its training, with the machine that its checkpoint names; and its key."""
    trial = trials(SMALL.model_copy(update={"training": Training(epochs=3, batch=16, checkpoint_seconds=0)}), [], 1)[0]

    def stop(tick):
        if tick.stage == "training" and tick.done > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(trial.recipe, folder / trial.key, callback=stop)
    file = folder / trial.key / "checkpoint.safetensors"
    tensors, text = read_tensors(file)
    if machine is not None:
        write_tensors(file, tensors, {**text, "identity": {**text["identity"], "machine": machine}})
    return trial, file


def test_a_trial_keeps_what_it_has_where_its_data_are_gone_for_a_while(tmp_path, monkeypatch):
    trial, file = begun(tmp_path)

    def gone(data, progress):
        raise VaebenchError("the disk is not there")

    monkeypatch.setattr("vaebench.sweeps.trial._load", gone)
    with pytest.raises(VaebenchError, match="the disk is not there"):
        perform_trial(trial.recipe, file.parent, lambda tick: None)
    assert file.exists()


def test_a_trial_half_done_on_another_machine_is_begun_anew(tmp_path):
    trial, file = begun(tmp_path, machine={"processor": "abacus"})
    perform_trial(trial.recipe, file.parent, lambda tick: None)
    assert (file.parent / "results.json").exists()


def command(folder):
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # not so where tests run behind &
    program = f"{heard}; import sys; from vaebench.cli import main; sys.exit(main(sys.argv[1:]))"
    return [sys.executable, "-c", program, "sweep", *SLOW, "--out", str(folder)]


def first_checkpoint(folder, seconds=90):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := list(folder.glob("*/checkpoint.safetensors")):
            return found[0]
        time.sleep(0.02)
    raise AssertionError("no trial ever began")


@pytest.mark.parametrize(("kill", "status"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)], ids=["Ctrl-C", "kill -9"])
def test_a_sweep_that_is_stopped_goes_on_and_repeats_nothing(tmp_path, kill, status):
    folder = tmp_path / "sweep"
    with subprocess.Popen(command(folder), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        begun = first_checkpoint(folder).parent
        process.send_signal(kill)
        errors = process.communicate(timeout=60)[1]
    assert process.returncode == status
    assert "Traceback" not in errors
    left = {path.name: path.stat().st_mtime_ns for path in folder.glob("*/results.json")}
    for _ in range(10):  # a worker whose parent was killed leaves by itself, but not at once
        done = subprocess.run(command(folder), capture_output=True, text=True, timeout=240)
        if "is in use by another process" not in done.stdout + done.stderr:
            break
    assert done.returncode == 0, done.stderr
    results = list(folder.glob("*/results.json"))
    assert len(results) == 3
    assert begun in {path.parent for path in results}
    assert all(path.stat().st_mtime_ns == left[path.name] for path in results if path.name in left)
    assert "Best by validation ELBO" in done.stdout


def made_up(scores):
    points = [Point({"model.latent": str(d)}, {BEST: [v], "test ELBO": [t]}, ["x"], []) for d, v, t in scores]
    return Sweep("made up", (Axis("model.latent", tuple(str(d) for d, *_ in scores)),), 1, points, Path())


def test_the_best_is_chosen_by_validation_never_by_test():
    found = made_up([(2, -90.0, -50.0), (3, -80.0, -99.0), (4, -85.0, -10.0)])
    assert found.best.values == {"model.latent": "3"}
    assert verdict(found) == "Best by validation ELBO: model.latent 3, \N{MINUS SIGN}80.00 nats per image."
    assert [row[0] for row in points_table(found).rows] == ["model.latent 3", "model.latent 4", "model.latent 2"]


def test_the_table_and_the_page_hold_every_point(tmp_path):
    axes = [Axis("model.likelihood.kind", ("bernoulli", "continuous-bernoulli")), LATENTS]
    found = sweep(SMALL, axes, seeds=2, folder=tmp_path, engine=inline)
    with (tmp_path / "sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["model.likelihood.kind"] for row in rows] == ["bernoulli"] * 2 + ["continuous-bernoulli"] * 2
    values = found.points[2].scores["test KL"]
    assert float(rows[2]["test KL mean"]) == pytest.approx(sum(values) / 2)
    text = write_page(found).read_text()
    assert text.count("data:image/png;base64,") == 2
    assert all(point.words in text for point in found.points)


def test_workers_share_the_cores():
    cores = len(os.sched_getaffinity(0))
    assert local(cores).threads == 1
    assert local(1).threads == cores
    assert local().workers == max(1, cores // 2)
