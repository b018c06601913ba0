"""Cross-validation: what is held out, which method is selected, which labels are suspected."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from vaebench.classification.cross_validation import (
    FIRST_FOLDS,
    CrossValidation,
    Fit,
    can_cross_validate,
    cross_validate,
    half_of_each_class,
    selected_method,
)
from vaebench.classification.methods import DEFAULT, METHODS, TEMPERATURE, Method
from vaebench.classification.selection import (
    FITTED,
    FOLDS,
    PRIOR_EXPONENT,
    LearningSlope,
    MethodSelection,
    StoppedMethod,
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


def probabilities(labels, correct, classes):
    """Probabilities (K, Y) whose largest is that of the label where ``correct``, else that of the next class."""
    predicted = np.where(correct, labels, (labels + 1) % classes)
    return np.eye(classes, dtype=np.float32)[predicted] * 0.7 + 0.3 / classes


def scripted(validation, rule, made=None):
    """``run_fits`` whose fits are correct where ``rule(fit, positions)`` says; ``made`` receives fits and names."""

    def run_fits(fits, final):
        results = {}
        for fit in fits:
            positions = np.flatnonzero(validation.folds == fit.fold)
            correct = rule(fit, positions)
            results[fit] = probabilities(validation.labels.numpy()[positions], correct, validation.context.classes)
        if made is not None:
            made.extend([*fits, *final])
        return results

    return run_fits


def validation_of(context, truth, each=6):
    rows = balanced_draw(truth, each, (0, 0))
    return CrossValidation(context, rows, truth[rows])


def test_every_prediction_comes_from_a_fit_without_its_label(context, truth, monkeypatch):
    fitted = []

    def spy(context, rows, labels, seed):
        fitted.append(set(rows.tolist()))
        return METHODS["pixel-line"].fit(context, rows, labels, seed)

    monkeypatch.setitem(METHODS, "spied", Method("spied", "pixel-line", spy))
    validation = validation_of(context, truth)
    every = set(validation.rows.tolist())
    for fold in range(FOLDS):
        held_out = set(validation.rows[validation.held_out(fold)].tolist())
        validation.probabilities(Fit("spied", fold))
        assert fitted[-1] == every - held_out
        validation.probabilities(Fit("spied", fold, half=True))
        assert fitted[-1] < every - held_out
    assert sorted(validation.folds.tolist()) == sorted(list(range(FOLDS)) * (60 // FOLDS))


def test_half_of_the_labels_is_half_of_each_class():
    labels = torch.tensor([0] * 5 + [1] * 4 + [2])
    half = half_of_each_class(labels, (0, 1))
    assert torch.bincount(labels[half]).tolist() == [3, 2, 1]
    assert half.tolist() == sorted(set(half.tolist()))
    assert half.tolist() != half_of_each_class(labels, (0, 2)).tolist()


def test_networks_are_trained_only_where_they_have_a_chance(context, truth):
    """None where the other methods make few errors; the rest of the folds only for a good one."""
    validation = validation_of(context, truth)
    networks = [name for name, method in METHODS.items() if method.trains_network]

    def made_by(rule):
        made = []
        selections = list(cross_validate(validation, scripted(validation, rule, made)))
        final = [name for name in made if isinstance(name, str)]
        return [fit for fit in made if isinstance(fit, Fit)], final, selections

    made, final, selections = made_by(lambda fit, positions: np.ones(len(positions), bool))
    assert len(selections) == 1
    assert not {fit.method for fit in made} & set(networks)
    assert not final

    def only_the_first_network(fit, positions):
        if fit.method == networks[0]:
            return np.ones(len(positions), bool)
        return positions % 2 == 0 if fit.method not in networks else np.zeros(len(positions), bool)

    made, final, selections = made_by(only_the_first_network)
    assert [selection.method == networks[0] for selection in selections] == [False, True]
    folds = {name: sorted(fit.fold for fit in made if fit.method == name) for name in networks}
    assert folds == {networks[0]: list(range(FOLDS)), networks[1]: list(FIRST_FOLDS)}
    stopped = selections[1].stopped[networks[1]]
    assert list(selections[1].stopped) == [networks[1]]
    assert stopped.correct.mean() == 0
    assert stopped.selected_correct.mean() == 1
    assert final == [networks[0]]  # fitted to all labels beside the last fold
    _, final, _ = made_by(lambda fit, positions: positions % 2 == 0)
    assert not final  # networks that are not ahead on the first folds are not


def test_a_method_that_is_behind_by_less_than_chance_is_not_stopped():
    def behind(by, shared=10):
        ahead = np.array([True] * (by + 4) + [False] * 4 + [True] * shared)
        own = np.array([False] * (by + 4) + [True] * 4 + [True] * shared)
        return StoppedMethod(own, ahead).has_a_chance

    assert behind(3)  # 7 against 4 of 11 that differ: one standard error is 3.3
    assert not behind(4)  # 8 against 4 of 12: 3.5


def test_accuracy_is_extrapolated_by_the_slope_of_the_learning_curve(context, truth):
    validation = validation_of(context, truth, 24)
    errors = {False: 5, True: 4}  # every fifth is wrong, with half of the labels every fourth

    def rule(fit, positions):
        return np.arange(len(positions)) % errors[fit.half] != 0

    (selection, *_) = cross_validate(validation, scripted(validation, rule))
    slope = selection.slope
    assert slope.half_error / slope.error == pytest.approx(20 / 16)
    plain = replace(selection, slope=None).expected_accuracy
    expected = selection.expected_accuracy
    assert 1 - expected.accuracy == pytest.approx((1 - plain.accuracy) * slope.error_ratio)
    assert plain.low == expected.low < plain.accuracy < expected.accuracy < expected.high
    assert 1 - expected.high == pytest.approx((1 - plain.high) * slope.error_ratio * FITTED**0.2)


def test_the_exponent_is_observed_with_many_labels_and_the_prior_with_few():
    def slope(count):
        index = np.arange(count)
        return LearningSlope.of("a", index % 5 != 0, index % 5 > 1)  # error rates 0.2 and 0.4: an exponent of 1

    assert slope(100_000).exponent == pytest.approx(1, abs=0.01)
    assert slope(10).exponent == pytest.approx(PRIOR_EXPONENT, abs=0.35)
    assert PRIOR_EXPONENT < slope(10).exponent < slope(40).exponent < slope(400).exponent
    assert slope(400).error_ratio == FITTED ** slope(400).exponent


def test_the_standard_error_of_the_slope_is_that_of_the_bootstrap():
    generator = np.random.default_rng(0)
    correct = generator.random(400) < 0.8
    half = np.where(generator.random(400) < 0.85, correct, generator.random(400) < 0.4)
    logs = []
    for _ in range(4000):
        rows = generator.integers(0, 400, 400)
        logs.append(np.log2((~half[rows]).mean() / (~correct[rows]).mean()))
    assert LearningSlope.of("a", correct, half).variance == pytest.approx(np.var(logs), rel=0.15)


@pytest.mark.parametrize(
    ("error", "half", "exponent"),
    [(0.0, 0.1, PRIOR_EXPONENT), (0.1, 0.0, PRIOR_EXPONENT), (0.4, 0.1, 0.0), (0.1, 0.9, 1.0)],
)
def test_a_slope_without_sense_is_bounded(error, half, exponent):
    assert LearningSlope("a", error, half, 1e-9).exponent == exponent


def test_recalls_and_balanced_accuracy_do_not_depend_on_the_number_of_labels():
    labels = torch.tensor([0] * 90 + [1] * 10)
    correct = np.array([True] * 90 + [False] * 8 + [True] * 2)
    selection = selection_of({"only": correct}, labels)
    assert selection.recalls == {0: 1.0, 1: 0.2}
    assert selection.balanced_accuracy == pytest.approx(0.6)
    assert selection.accuracies["only"] == pytest.approx(0.92)


def test_with_fewer_than_five_labels_of_all_classes_but_one_there_is_no_cross_validation(context, truth):
    rows = balanced_draw(truth, 5, (0, 0))
    rows = torch.cat([rows[truth[rows] == label][0 if label == 3 else 1 :] for label in range(10)]).sort().values
    assert not can_cross_validate(truth[rows])
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
