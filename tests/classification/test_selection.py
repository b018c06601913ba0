"""Cross-validation: what is held out, which method is selected, which labels are suspected."""

import numpy as np
import pytest
import torch

from vaebench.classification import cross_validation
from vaebench.classification.cross_validation import cross_validate, selected_method
from vaebench.classification.methods import (
    DEFAULT,
    METHODS,
    TEMPERATURE,
    Method,
    MethodSelection,
)
from vaebench.data.draws import balanced_draw


def selection_of(correct, labels=None, classes=3):
    """A selection whose methods are correct where ``correct`` says, with probability 0.8."""
    count = len(next(iter(correct.values())))
    labels = torch.arange(count) % classes if labels is None else labels
    probabilities = {}
    for name, hit in correct.items():
        predicted = torch.where(torch.as_tensor(hit), labels, (labels + 1) % classes)
        probabilities[name] = torch.full((count, classes), 0.1)
        probabilities[name][torch.arange(count), predicted] = 0.8
    return MethodSelection(labels, probabilities, np.arange(count) % 5, dict.fromkeys(correct, 1.0))


def test_every_prediction_comes_from_a_fit_without_its_label(context, truth, monkeypatch):
    fitted = []

    def spy(context, rows, labels, seed):
        fitted.append(set(rows.tolist()))
        return METHODS["pixel-line"].fit(context, rows, labels, seed)

    steps = []

    def step(name, fold, compute):
        steps.append((name, fold))
        return compute()

    two = {"pixel-line": METHODS["pixel-line"], "spied": Method("spied", "pixel-line", spy)}
    monkeypatch.setattr(cross_validation, "METHODS", two)
    rows = balanced_draw(truth, 6, (0, 0))
    selection = cross_validate(context, rows, truth[rows], step)
    assert len(fitted) == 5
    for fold, seen in enumerate(fitted):
        held_out = set(rows[torch.from_numpy(selection.folds == fold)].tolist())
        assert not held_out & seen
        assert held_out | seen == set(rows.tolist())
    assert steps == [(name, fold) for name in ("pixel-line", "spied") for fold in range(5)]
    assert torch.equal(selection.probabilities["spied"], selection.probabilities["pixel-line"])


def test_with_fewer_than_five_labels_of_all_classes_but_one_there_is_no_cross_validation(context, truth):
    rows = balanced_draw(truth, 5, (0, 0))
    rows = torch.cat([rows[truth[rows] == label][0 if label == 3 else 1 :] for label in range(10)]).sort().values
    never = pytest.fail
    assert cross_validate(context, rows, truth[rows], lambda *arguments: never("was fitted")) is None
    assert selected_method(None) == (DEFAULT, TEMPERATURE)


def test_the_most_accurate_method_is_selected_and_compared():
    correct = {"worse": np.arange(100) < 60, "better": np.arange(100) < 90, "middle": np.arange(100) < 75}
    selection = selection_of(correct)
    assert selection.method == "better"
    assert selected_method(selection)[0] == "better"
    assert selection.accuracies == {"worse": 0.6, "better": 0.9, "middle": 0.75}
    difference = selection.difference_to("worse")
    assert difference.mean == pytest.approx(0.3)
    half = 1.96 * np.std([1] * 30 + [0] * 70, ddof=1) / 10
    assert (difference.low, difference.high) == pytest.approx((0.3 - half, 0.3 + half))
    assert selection.expected_accuracy.low < selection.expected_accuracy.accuracy < selection.expected_accuracy.high
    assert selection.expected_accuracy.accuracy == pytest.approx(0.9, abs=0.01)


def test_ties_are_broken_by_log_loss():
    correct = np.arange(100) < 80
    selection = selection_of({"first": correct, "second": correct})
    selection.probabilities["first"][:] = torch.where(selection.probabilities["first"] > 0.5, 0.34, 0.33)
    second = selection.probabilities["second"]
    second[80:] = torch.tensor([0.35, 0.35, 0.3])
    second[80:][torch.arange(20), (selection.labels[80:] + 1) % 3] = 0.36
    assert selection.method == "second"


def test_labels_of_a_fold_do_not_calibrate_their_own_probabilities():
    generator = np.random.default_rng(0)
    selection = selection_of({"only": generator.random(200) < 0.7})
    before = selection.calibrated_probabilities("only")
    own = torch.from_numpy(selection.folds == 2)
    selection.labels[own] = (selection.labels[own] + 1) % 3
    after = selection.calibrated_probabilities("only")
    assert torch.equal(before[own], after[own])
    assert not torch.equal(before[~own], after[~own])


def test_swapped_labels_are_suspects():
    labels = torch.arange(100) % 3
    selection = selection_of({"only": np.ones(100, dtype=bool)}, labels.clone())
    assert selection.label_suspects() == []
    swapped = [7, 50]
    selection.labels[swapped] = (selection.labels[swapped] + 1) % 3
    suspects = selection.label_suspects()
    assert sorted(index for index, _, _ in suspects) == swapped
    assert all(predicted == labels[index] and probability > 0.5 for index, predicted, probability in suspects)


def test_the_brier_score_is_compared_with_class_frequencies():
    scores = selection_of({"only": np.ones(99, dtype=bool)}).scores
    assert scores["brier_score_of_class_frequencies"] == pytest.approx(2 / 3)
    assert scores["brier_score"] < 0.1
