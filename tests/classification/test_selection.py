"""The choice by cross-validation: what is held out, what is chosen, what is suspected."""

import numpy as np
import pytest
import torch

from vaebench.classification import selection as choices
from vaebench.classification.methods import DEFAULT, METHODS, Method
from vaebench.classification.selection import TEMPERATURE, MethodSelection, cross_validate, selected_method
from vaebench.data.images import balanced_draw


def made_up(hits, labels=None, classes=3):
    """A choice whose methods are right where ``hits`` says, sure of it by 80 %."""
    count = len(next(iter(hits.values())))
    labels = torch.arange(count) % classes if labels is None else labels
    answers = {}
    for name, right in hits.items():
        guess = torch.where(torch.as_tensor(right), labels, (labels + 1) % classes)
        answers[name] = torch.full((count, classes), 0.1)
        answers[name][torch.arange(count), guess] = 0.8
    return MethodSelection(labels, answers, np.arange(count) % 5, dict.fromkeys(hits, 1.0))


def test_every_answer_comes_from_a_fit_without_its_label(bench, truth, monkeypatch):
    given = []

    def spy(bench, rows, labels, seed):
        given.append(set(rows.tolist()))
        return METHODS["pixel-line"].fit(bench, rows, labels, seed)

    asked = []

    def keep(name, fold, make):
        asked.append((name, fold))
        return make()

    two = {"pixel-line": METHODS["pixel-line"], "spied": Method("spied", "pixel-line", spy)}
    monkeypatch.setattr(choices, "METHODS", two)
    rows = balanced_draw(truth, 6, (0, 0))
    choice = cross_validate(bench, rows, truth[rows], keep)
    assert len(given) == 5
    for fold, seen in enumerate(given):
        held = set(rows[torch.from_numpy(choice.folds == fold)].tolist())
        assert not held & seen
        assert held | seen == set(rows.tolist())
    assert asked == [(name, fold) for name in ("pixel-line", "spied") for fold in range(5)]
    assert torch.equal(choice.answers["spied"], choice.answers["pixel-line"])


def test_with_fewer_than_five_labels_of_a_class_there_is_none(bench, truth):
    rows = torch.cat([balanced_draw(truth, 5, (0, 0))[1:]]).sort().values
    never = pytest.fail
    assert cross_validate(bench, rows, truth[rows], lambda *given: never("was fitted")) is None
    assert selected_method(None) == (DEFAULT, TEMPERATURE)


def test_the_best_is_chosen_and_how_far_it_is_ahead():
    hits = {"worse": np.arange(100) < 60, "better": np.arange(100) < 90, "middle": np.arange(100) < 75}
    choice = made_up(hits)
    assert choice.method == "better"
    assert selected_method(choice)[0] == "better"
    assert choice.accuracies == {"worse": 0.6, "better": 0.9, "middle": 0.75}
    ahead = choice.ahead("worse")
    assert ahead.mean == pytest.approx(0.3)
    half = 1.96 * np.std([1] * 30 + [0] * 70, ddof=1) / 10
    assert (ahead.low, ahead.high) == pytest.approx((0.3 - half, 0.3 + half))
    assert choice.expected.low < choice.expected.accuracy < choice.expected.high
    assert choice.expected.accuracy == pytest.approx(0.9, abs=0.01)


def test_of_equals_the_one_with_the_better_probabilities_is_chosen():
    right = np.arange(100) < 80
    choice = made_up({"first": right, "second": right})
    choice.answers["first"][:] = torch.where(choice.answers["first"] > 0.5, 0.34, 0.33)
    surer = choice.answers["second"]
    surer[80:] = torch.tensor([0.35, 0.35, 0.3])
    surer[80:][torch.arange(20), (choice.labels[80:] + 1) % 3] = 0.36
    assert choice.method == "second"


def test_labels_of_a_fold_do_not_calibrate_their_own_answers():
    generator = np.random.default_rng(0)
    choice = made_up({"only": generator.random(200) < 0.7})
    before = choice.calibrated("only")
    own = torch.from_numpy(choice.folds == 2)
    choice.labels[own] = (choice.labels[own] + 1) % 3
    after = choice.calibrated("only")
    assert torch.equal(before[own], after[own])
    assert not torch.equal(before[~own], after[~own])


def test_swapped_labels_are_suspected():
    labels = torch.arange(100) % 3
    choice = made_up({"only": np.ones(100, dtype=bool)}, labels.clone())
    assert choice.suspects() == []
    swapped = [7, 50]
    choice.labels[swapped] = (choice.labels[swapped] + 1) % 3
    found = choice.suspects()
    assert sorted(place for place, _, _ in found) == swapped
    assert all(guess == labels[place] and share > 0.5 for place, guess, share in found)


def test_the_brier_score_is_compared_with_class_frequencies():
    scores = made_up({"only": np.ones(99, dtype=bool)}).scores
    assert scores["brier_by_frequencies"] == pytest.approx(2 / 3)
    assert scores["brier"] < 0.1
