"""Pilots: the augmentation is chosen by labels that were held out."""

import json

import numpy as np
import pytest
import torch
from miniature import COMPUTE, tiny
from sklearn.datasets import load_digits

from vaebench.classification import pilots as module
from vaebench.classification.job import classify
from vaebench.classification.methods import METHODS
from vaebench.classification.page import write_page
from vaebench.classification.pilots import Pilots, best_augmentation, candidates, pilot_sample
from vaebench.classification.time_estimate import ClassificationInfo, TimeEstimate
from vaebench.core.errors import VaebenchError
from vaebench.core.local_pool import LocalPool
from vaebench.data.augment import PRESETS
from vaebench.experiments.experiment import Experiment


@pytest.fixture
def digits(tmp_path, monkeypatch):
    """Pilots of 400 digits in two settings, with few pairs."""
    monkeypatch.setattr(module, "PILOT_PAIRS", 800)
    source = load_digits()
    np.save(tmp_path / "pixels.npy", (source.images[:400, None] * 15).astype(np.uint8))
    rows = np.concatenate([np.flatnonzero(source.target[:400] == label)[:6] for label in range(10)])
    return Pilots(
        settings={"gentle": tiny(400), "strokes": tiny(400).model_copy(update={"seed": 1})},
        folder=tmp_path,
        pixels=tmp_path / "pixels.npy",
        sample=np.arange(400),
        rows=np.sort(rows),
        labels=source.target[:400][np.sort(rows)].astype(np.int64),
        classes=10,
        compute=COMPUTE,
        identity={"data": "digits"},
    )


def experiment_in(folder):
    return Experiment(ClassificationInfo({"cpu": 1.0}), "cpu", folder, COMPUTE)


def test_labels_are_predicted_from_other_labels(digits, tmp_path):
    """Right for true labels; no better than chance for labels without a relation to the images."""
    correct = digits.correct(experiment_in(tmp_path), "gentle")
    assert correct.shape == (module.REPEATS, 60)
    assert correct.mean() > 0.5
    permuted = np.random.default_rng(0).permutation(digits.labels)
    other = Pilots(**{**vars(digits), "labels": permuted, "identity": {"data": "permuted"}})
    assert other.correct(experiment_in(tmp_path / "other"), "gentle").mean() < 0.3


def test_a_result_is_kept_and_each_repetition_has_other_folds(digits, tmp_path, monkeypatch):
    first = digits.correct(experiment_in(tmp_path), "gentle")
    assert not digits.kept(experiment_in(tmp_path))
    monkeypatch.setattr(module, "train", lambda *args, **kwargs: pytest.fail("trained again"))
    np.testing.assert_array_equal(digits.correct(experiment_in(tmp_path), "gentle"), first)
    held_out = [sorted(map(tuple, (fold[1] for fold in digits._folds(repeat)))) for repeat in range(2)]
    assert held_out[0] != held_out[1]


def test_the_most_accurate_of_the_others_is_best():
    low, high = np.zeros((2, 4), bool), np.ones((2, 4), bool)
    assert best_augmentation({"gentle": low, "strokes": high, "objects": high}) == "strokes"
    assert best_augmentation({"gentle": low, "strokes": high, "objects": low}) == "strokes"
    assert best_augmentation({"gentle": low}) == "gentle"


def test_the_mildest_is_chosen_only_where_it_is_clearly_ahead():
    other = np.array([[True] * 6 + [False] * 4])
    ahead = np.array([[True] * 7 + [False] * 3])  # by 0.1, with a standard error of 0.3 / sqrt(10)
    equal = np.array([[True] * 6 + [False, True] + [False] * 2])
    assert best_augmentation({"gentle": ahead, "strokes": other}) == "gentle"
    swapped = equal.copy()
    swapped[0, 0] = False  # one more right, one more wrong
    assert best_augmentation({"gentle": swapped, "strokes": other}) == "strokes"
    assert best_augmentation({"gentle": other, "strokes": other}) == "strokes"


def test_candidates_depend_on_colour():
    assert candidates(1)[0] == candidates(3)[0] == "gentle"
    assert "photographs" not in candidates(1)
    assert "strokes" not in candidates(3)
    assert set(candidates(1)) | set(candidates(5)) == set(PRESETS)


def test_a_sample_holds_every_labelled_image(monkeypatch):
    labelled = np.array([3, 900, 4999])
    assert pilot_sample(100, labelled[:1], 0).tolist() == list(range(100))
    monkeypatch.setattr(module, "PILOT_IMAGES", 50)
    sample = pilot_sample(5000, labelled, 0)
    assert len(sample) == 50 == len(np.unique(sample))
    assert np.isin(labelled, sample).all()
    np.testing.assert_array_equal(sample, np.sort(sample))


@pytest.fixture
def with_pilots(shared, monkeypatch):
    """Classify with pilots of 240 pairs, where the training of the VAE is expected to take 100 seconds."""
    monkeypatch.setattr(module, "PILOT_PAIRS", 240)
    monkeypatch.setattr("vaebench.classification.job.candidates", lambda channels: ["gentle", "strokes"])
    small = lambda shape, images, labels, name="gentle": tiny(images).model_copy(update={"augmentation": name})  # noqa: E731
    monkeypatch.setattr("vaebench.classification.job.settings_for", small)
    estimate = TimeEstimate(1.0, 100.0, {"self-trained": 1.0, "supervised": 1.0}, 1.0)
    monkeypatch.setattr("vaebench.classification.job.estimate_time", lambda *of: estimate)

    def run(out, **options):
        return classify(shared.folder, [shared.labels], out, compute=COMPUTE, **options)

    return run


def test_first_results_come_from_the_short_training(with_pilots, tmp_path, monkeypatch):
    results, trained = [], []
    vae = tmp_path / "out" / "work" / "networks" / "vae.json"

    def keep(result):
        results.append(result)
        trained.append(vae.exists())
        assert "These are first results" in write_page(result).read_text() or not result.preliminary

    last = with_pilots(tmp_path / "out", result_callback=keep)
    assert [result.preliminary for result in results] == [True, False]
    assert trained == [False, True]
    first = results[0]
    assert not METHODS[first.selection.method].trains_network
    assert not np.array_equal(first.outlier_scores, last.outlier_scores)  # by the latents of another VAE
    assert "These are first results" not in (tmp_path / "out" / "report.html").read_text()
    assert not (tmp_path / "out" / "work" / "first").exists()
    monkeypatch.setattr("vaebench.classification.time_estimate.FIRST_RESULTS", 1000.0)
    plain = with_pilots(tmp_path / "plain", result_callback=results.append)
    assert len(results) == 3
    assert torch.equal(plain.probabilities, last.probabilities)


def test_first_results_are_not_written_again_after_a_stop(with_pilots, tmp_path):
    results = []

    def stop_in_training(event):
        if results and event.note.startswith("vae"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        with_pilots(tmp_path / "out", result_callback=results.append, callback=stop_in_training)
    assert [result.preliminary for result in results] == [True]
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["preliminary"]
    last = with_pilots(tmp_path / "out", result_callback=results.append)
    assert [result.preliminary for result in results] == [True, False]
    with_pilots(tmp_path / "whole", result_callback=results.append)
    assert torch.equal(results[-1].probabilities, last.probabilities)


def test_classify_says_which_augmentation_it_chose_and_how(shared, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PILOT_PAIRS", 240)
    monkeypatch.setattr("vaebench.classification.job.candidates", lambda channels: ["gentle", "strokes"])
    small = lambda shape, images, labels, name="gentle": tiny(images).model_copy(update={"augmentation": name})  # noqa: E731
    monkeypatch.setattr("vaebench.classification.job.settings_for", small)
    messages = []
    two = classify(
        shared.folder,
        [shared.labels],
        tmp_path / "two",
        compute=COMPUTE,
        message_callback=messages.append,
        executor=LocalPool(2),
    )
    (sentence,) = [message for message in messages if message.startswith("Augmentation")]
    assert "gentle" in sentence
    assert "strokes" in sentence
    one = classify(shared.folder, [shared.labels], tmp_path / "one", compute=COMPUTE)
    assert one.settings.augmentation == two.settings.augmentation
    assert torch.equal(one.probabilities, two.probabilities)


def test_a_named_augmentation_is_taken_and_a_wrong_one_is_one_sentence(shared, tmp_path, monkeypatch):
    small = lambda shape, images, labels, name="gentle": tiny(images).model_copy(update={"augmentation": name})  # noqa: E731
    monkeypatch.setattr("vaebench.classification.job.settings_for", small)
    result = classify(shared.folder, [shared.labels], tmp_path / "out", augmentation="objects", compute=COMPUTE)
    assert result.settings.augmentation == "objects"
    assert not list((tmp_path / "out" / "work" / "steps").glob("augmentation/*"))
    with pytest.raises(VaebenchError, match="augmentation is 'bold'; expected one of gentle, strokes"):
        classify(shared.folder, [shared.labels], tmp_path / "other", augmentation="bold")
