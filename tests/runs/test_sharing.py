"""Trainings and fits of a run in several processes: the same bits as in one."""

import json

import numpy as np
import pytest
import torch

from vaebench.core.progress import StageTimer
from vaebench.data.datasets import Data
from vaebench.data.images import Dataset, Images
from vaebench.evaluation.features import Codes, Features
from vaebench.evaluation.fidelity import Fidelity
from vaebench.evaluation.probes import KNN, Logistic
from vaebench.models.networks import MLP
from vaebench.models.vae import Model
from vaebench.runs import kept, pipeline, representations, sharing
from vaebench.runs.context import RunContext
from vaebench.runs.evaluation import Evaluation, SupervisedBaseline
from vaebench.runs.pipeline import run as run_recipe
from vaebench.runs.recipe import Recipe
from vaebench.training.compute import Compute
from vaebench.training.distributed import DistributedContext
from vaebench.training.loop import Training

SMALL = Recipe(
    name="small",
    data=Data(source="digits"),
    model=Model(latent=4, network=MLP(hidden=(32,))),
    training=Training(epochs=2, batch=128),
    evaluation=Evaluation(
        labels_per_class=(1, 5),
        draws=2,
        features=("vae", "autoencoder", "pixels"),
        probes=(Logistic(), KNN()),
        supervised=SupervisedBaseline(epochs=1, least_steps=5),
        samples=None,
    ),
    compute=Compute(device="cpu", precision="fp32"),
)


@pytest.fixture
def processes(monkeypatch):
    def use(count):
        monkeypatch.setattr(pipeline, "process_count", lambda run, processes: count)

    return use


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The run in one process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "process_count", lambda run, processes: 1)
        return run_recipe(SMALL, tmp_path_factory.mktemp("runs") / "alone").path


def _contents(folder):
    """Rows and weights of a run, without what depends on time and place."""
    results = json.loads((folder / "results.json").read_text())
    weights = [(folder / part / "weights.safetensors").read_bytes() for part in ("", "autoencoder")]
    return results["rows"], results["recipe"], weights


def test_two_processes_give_the_bits_of_one(alone, tmp_path, processes, monkeypatch):
    processes(2)
    torch.set_num_threads(2)  # as a process has by itself on two cores
    events, threads, measure = [], [], pipeline.measure
    monkeypatch.setattr(pipeline, "measure", lambda *of: threads.append(torch.get_num_threads()) or measure(*of))
    monkeypatch.setattr(representations, "latent_features", lambda *of: pytest.fail("encoded again"))
    shared = run_recipe(SMALL, tmp_path / "shared", callback=events.append).path
    assert threads == [1]
    assert _contents(shared) == _contents(alone)
    assert json.loads((shared / "recipe.json").read_text())["compute"]["threads"] == 1
    with np.load(alone / "latents.npz") as one, np.load(shared / "latents.npz") as two:
        assert all(np.array_equal(one[name], two[name]) for name in one)
    assert len((shared / "fits.jsonl").read_text().splitlines()) == 2 * (3 * 2 * 2 + 2)  # each fit once
    assert not (shared / "claims").exists()
    for stage in ("training", "training the plain autoencoder"):  # no record of an epoch is lost on the way
        assert [event.epoch["epoch"] for event in events if event.stage == stage and event.epoch] == [1, 2]
    assert "learning curve" in {event.stage for event in events}
    results = json.loads((shared / "results.json").read_text())
    stages = results["stages"]
    assert results["seconds"] == pytest.approx(
        sum(stages.values()) - min(stages["training"], stages["training the plain autoencoder"])
    )


def test_a_run_begun_in_one_process_ends_in_two(alone, tmp_path, processes, monkeypatch):
    class Stop(Exception):
        pass

    def stop(*arguments):
        raise Stop

    processes(1)
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "represent", stop)
        with pytest.raises(Stop):
            run_recipe(SMALL, tmp_path / "run")
    assert (tmp_path / "run" / "autoencoder" / "weights.safetensors").exists()
    processes(2)
    ended = run_recipe(SMALL, tmp_path / "run", resume=True).path
    assert _contents(ended) == _contents(alone)


@pytest.mark.parametrize(
    ("images", "epochs", "device", "seconds", "processes", "expected"),
    [
        (50_000, 12, "cpu", 1.0, 1, 2),
        (1_000, 12, "cpu", 1.0, 1, 1),
        (1_437, 60, "cpu", 1.0, 1, 2),
        (50_000, 12, "cpu", 1.0, 2, 1),
        (50_000, 12, "cuda", 1.0, 1, 1),
        (50_000, 12, "cpu", 60.0, 1, 1),
    ],
)
def test_processes_are_started_where_they_pay(
    monkeypatch, tmp_path, images, epochs, device, seconds, processes, expected
):
    recipe = SMALL.model_copy(
        update={"training": Training(epochs=epochs), "compute": Compute.model_construct(device=device)}
    )
    part = Images(torch.zeros(images, 1, 1, 1, dtype=torch.uint8), torch.zeros(images, dtype=torch.long))
    context = RunContext(recipe, tmp_path, Dataset("x", part, part, part), StageTimer(), print)
    context.timer.seconds["data"] = seconds
    monkeypatch.setattr(sharing, "available_cores", lambda: 2)
    assert sharing.process_count(context, DistributedContext(size=processes)) == expected


def test_threads_that_a_user_gives_are_kept(tmp_path, processes, monkeypatch):
    processes(2)
    monkeypatch.setattr(pipeline, "share_trainings_and_fits", lambda *arguments: pytest.fail("shared"))
    recipe = SMALL.model_copy(update={"compute": Compute(device="cpu", precision="fp32", threads=1)})
    assert run_recipe(recipe, tmp_path / "run").finished


def test_codes_and_sample_scores_are_made_once_for_all_processes(tmp_path):
    data = SMALL.data.load()
    run = RunContext(SMALL, tmp_path, data, StageTimer(), lambda event: None)
    parts = data.train, data.validation, data.test
    codes = Features("x", *(Codes(torch.rand(len(part), 3), part.labels, torch.rand(len(part), 3)) for part in parts))
    pixels = np.zeros((2, 1, 8, 8), np.uint8)
    scores = Fidelity({"samples": {"frechet": 1.5}}, 50, 0.9, pixels, pixels + 1)
    assert kept.kept_features(run, "x", lambda: codes) is codes
    assert list(tmp_path.iterdir()) == []  # nothing is kept by a process that is alone
    run.claims.mkdir()
    assert kept.kept_features(run, "x", lambda: codes) is codes
    kept.kept_fidelity(run, lambda: scores)
    again = RunContext(SMALL, tmp_path, data, StageTimer(), lambda event: None)
    read = kept.kept_features(again, "x", lambda: pytest.fail("encoded again"))
    for part in kept.PARTS:
        one, two = getattr(codes, part), getattr(read, part)
        assert all(torch.equal(getattr(one, name), getattr(two, name)) for name in ("mean", "labels", "log_variance"))
    found = kept.kept_fidelity(again, lambda: pytest.fail("scored again"))
    assert found.scores == scores.scores
    assert (found.images, found.classifier_accuracy) == (50, 0.9)
    assert np.array_equal(found.samples, pixels)
    assert np.array_equal(found.nearest, pixels + 1)
    assert again.timer.seconds["samples"] == run.timer.seconds["samples"] > 0
    assert again.timer.total == 0.0  # the seconds passed beside another stage
