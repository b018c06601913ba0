"""Fits of the cross-validation in several workers: the same bits as in one, each made once."""

import json
import sys

import numpy as np
import pytest
import torch
from miniature import COMPUTE, tiny

from fake_ray import FakeRay, install
from vaebench.classification import shared_work
from vaebench.classification.cross_validation import FIRST_FOLDS
from vaebench.classification.job import classify
from vaebench.classification.latents import Latents
from vaebench.classification.methods import METHODS
from vaebench.classification.shared_work import divide_fits
from vaebench.classification.steps import Steps
from vaebench.classification.time_estimate import ClassificationInfo, TimeEstimate
from vaebench.cli import main
from vaebench.core.local_pool import LocalPool
from vaebench.core.ray_pool import RayPool
from vaebench.experiments.experiment import Experiment
from vaebench.semi_supervised.self_training import SelfTraining
from vaebench.training.compute import Compute


def records(folder):
    """The kept fits of the cross-validation."""
    steps = folder / "work" / "steps"
    return {
        f"{name}/{path.stem}": json.loads(path.read_text())
        for name in METHODS
        for path in (steps / name).glob("fold-*.json")
    }


def assert_same(first, second):
    assert first.selection.probabilities.keys() == second.selection.probabilities.keys()
    for name in first.selection.probabilities:
        assert torch.equal(first.selection.probabilities[name], second.selection.probabilities[name]), name
    assert first.method == second.method
    assert torch.equal(first.probabilities, second.probabilities)
    np.testing.assert_array_equal(first.outlier_scores, second.outlier_scores)
    assert first.to_label_next.tolist() == second.to_label_next.tolist()


@pytest.fixture(scope="module")
def shared_fits(shared, tmp_path_factory):
    """A classification whose fits two processes share, and its progress events."""
    events = []
    out = tmp_path_factory.mktemp("two") / "out"
    return shared.classify(out, callback=events.append, executor=LocalPool(2)), events


def test_two_workers_give_the_bits_of_one(result, shared_fits):
    two, events = shared_fits
    assert_same(two, result)
    made = records(two.folder)
    networks = {name: record for name, record in made.items() if METHODS[name.partition("/")[0]].trains_network}
    assert len(networks) >= 2 * len(FIRST_FOLDS)
    assert {record["machine"]["workers"] for record in networks.values()} == {2}
    assert {record["machine"]["threads"] for record in made.values()} == {1}
    assert not (two.folder / "work" / "claims").exists()
    seconds = json.loads((two.folder / "summary.json").read_text())["seconds"]
    assert seconds < sum(record["seconds"] for record in networks.values()) / 2 + 60
    fits = [event for event in events if event.note in networks]
    assert {event.note for event in fits} == set(networks)
    assert all(event.seconds_left is not None and event.done < 1 for event in fits)


def test_the_same_call_with_other_workers_fits_nothing(result, shared_fits, shared, monkeypatch):
    two, _ = shared_fits
    monkeypatch.setattr("vaebench.classification.steps.run_shared", lambda *of: pytest.fail("shared again"))
    monkeypatch.setattr(SelfTraining, "fit", lambda *of: pytest.fail("fitted again"))
    for workers in (1, 3):
        assert_same(shared.classify(two.folder, executor=LocalPool(workers)), result)


def test_a_call_that_was_stopped_goes_on_with_other_workers(result, shared, tmp_path):
    stopped = []

    def stop(event):
        if not stopped and any("self-trained" in name for name in records(tmp_path / "out")):
            stopped.append(event)
            raise KeyboardInterrupt  # SIGINT may be ignored, as in background jobs of a shell

    with pytest.raises(KeyboardInterrupt):
        shared.classify(tmp_path / "out", callback=stop, executor=LocalPool(2))
    kept = records(tmp_path / "out")
    assert 1 <= len(kept) < len(records(result.folder))
    assert not (tmp_path / "out" / "work" / "claims").exists()
    assert_same(shared.classify(tmp_path / "out"), result)
    again = records(tmp_path / "out")
    assert all(again[name] == record for name, record in kept.items())


def test_a_cluster_gives_the_bits_of_one_process_also_from_an_npz(tmp_path, monkeypatch):
    generator = np.random.default_rng(0)
    y = np.repeat([7, -1, 3], 30)
    x = np.where(y[:, None, None] == 3, 200, 40) + generator.integers(0, 40, (90, 8, 8))
    np.savez(tmp_path / "a.npz", x_train=x.astype(np.uint8), y_train=y)
    monkeypatch.setattr("vaebench.classification.steps.POOL", 70)
    monkeypatch.setattr("vaebench.classification.cross_validation.FEW_ERRORS", -1.0)  # networks have a chance
    ray = install(monkeypatch, FakeRay(nodes=({"CPU": 2.0}, {"CPU": 1.0})))
    one, cluster = (
        classify(tmp_path / "a.npz", out=tmp_path / name, compute=COMPUTE, settings=tiny(90), executor=executor)
        for name, executor in (("one", None), ("cluster", RayPool("there:1")))
    )
    assert_same(cluster, one)
    made = records(cluster.folder).items()
    networks = [record for name, record in made if METHODS[name.partition("/")[0]].trains_network]
    assert {record["machine"]["workers"] for record in networks} == {3}
    assert ray.options["num_cpus"] == 1


def test_a_worker_reads_the_latents_of_the_pool_alone(context, tmp_path, monkeypatch):
    experiment = Experiment(ClassificationInfo({"cpu": 1.0}), "cpu", tmp_path, COMPUTE)
    pool = np.arange(0, 400, 4)
    first = Latents(experiment, context.images, context.vae, "a", pool)
    np.testing.assert_allclose(first.pool_means, context.means[pool], atol=1e-5)
    graph = first.graph
    monkeypatch.setattr("vaebench.classification.latents.encode_means", lambda *args: pytest.fail("encoded again"))
    for path in (tmp_path / "steps" / "all").glob("codes.*"):
        path.unlink()
    second = Latents(experiment, context.images, context.vae, "a", pool)
    np.testing.assert_array_equal(second.pool_means, first.pool_means)
    assert (second.graph.weights != graph.weights).nnz == 0
    with pytest.raises(pytest.fail.Exception):
        Latents(experiment, context.images, context.vae, "another", pool).pool_means  # noqa: B018


def test_fits_are_shared_where_they_take_long(monkeypatch):
    monkeypatch.setattr("vaebench.training.compute.available_cores", lambda: 4)
    free = Compute(device="cpu", precision="fp32")
    assert divide_fits(free, None, shared_work.LONG - 1).executor is None
    assert divide_fits(free, None, shared_work.LONG + 1).executor == LocalPool(4)
    assert divide_fits(free, None, shared_work.LONG + 1).compute.threads == 1
    assert divide_fits(COMPUTE, None, shared_work.LONG + 1).executor is None  # the threads are given
    assert divide_fits(free, LocalPool(1), 1.0).executor is None
    assert divide_fits(free, LocalPool(3), 1.0).executor == LocalPool(3)


def test_few_missing_fits_are_made_in_this_process(shared_fits, shared, monkeypatch):
    two, _ = shared_fits
    estimate = TimeEstimate(0.0, 1.0, {"self-trained": 10.0, "supervised": 6.0}, 1.0)
    monkeypatch.setattr("vaebench.classification.job.estimate_time", lambda *of: estimate)
    monkeypatch.setattr("vaebench.classification.job.divide_fits", lambda *of: divide_fits(COMPUTE, LocalPool(2), 1.0))
    asked, shares = [], Steps._shares
    monkeypatch.setattr(Steps, "_shares", lambda self, missing: asked.append(shares(self, missing)) or False)
    for folds in ((), (1,), (1, 2)):
        for fold in folds:
            (two.folder / "work" / "steps" / "self-trained" / f"fold-{fold}.json").unlink()
        asked.append("call")
        shared.classify(two.folder)
    calls = [any(call) for call in _divided(asked, "call")]
    assert calls == [False, False, True]


def _divided(values, separator):
    """Lists of the values after each separator."""
    groups = []
    for value in values:
        if value == separator:
            groups.append([])
        else:
            groups[-1].append(value)
    return groups


def test_the_estimate_counts_the_workers():
    estimate = TimeEstimate(pilots=20.0, vae=60.0, fits={"self-trained": 30.0, "supervised": 6.0}, rest=12.0)
    fits = (3 + 1) * 30 + 2 * 6  # the folds and all labels
    assert estimate.seconds_of_fits == fits
    assert estimate.minutes(cross_validated=False) == pytest.approx((60 + 30 + 12) / 60)
    twice = 2 * 12  # results of all images by the short training, and by the full one
    assert estimate.minutes(cross_validated=True) == pytest.approx((20 + 60 + fits + twice) / 60)
    assert estimate.minutes(cross_validated=True, workers=2) == pytest.approx((10 + 60 + fits / 2 + twice) / 60)
    assert estimate.minutes_to_first(2) == pytest.approx((10 + 12) / 60)
    for other in (estimate._replace(pilots=0.0), estimate._replace(vae=9.0), estimate._replace(rest=61.0)):
        assert not other.short_training_first
        assert other.minutes_to_first(2) == pytest.approx((other.pilots / 2 + other.vae + other.rest) / 60)


def test_a_cluster_that_does_not_answer_is_one_sentence(shared, tmp_path, monkeypatch, capsys):
    words = ["classify", str(shared.folder), "--labels", str(shared.labels), "--ray", "there:1"]
    words += ["--out", str(tmp_path / "out")]
    monkeypatch.setattr("vaebench.classification.job.settings_for", lambda shape, images, labels, name: tiny(images))
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(words) == 2
    assert "pip install 'vaebench[cluster]'" in capsys.readouterr().err
    install(monkeypatch, FakeRay(unreachable=True))
    assert main(words) == 2
    assert "no Ray cluster answers at 'there:1' (nobody there)" in capsys.readouterr().err
    assert main([*words, "--workers", "2"]) == 2
    assert "give one of them" in capsys.readouterr().err
