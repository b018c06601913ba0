"""Calibration scores on cases with known results."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch.testing import assert_close

from vaebench.core.statistics import wilson_interval
from vaebench.evaluation.calibration import (
    apply_temperature,
    brier_score,
    calibration_error,
    fit_temperature,
    log_loss,
    reliability,
    selection_corrected_accuracy,
)


def drawn(count, temperature, seed=0):
    """Labels drawn from probabilities whose logits are then multiplied by ``temperature``."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(count, 5, generator=generator, dtype=torch.float64)
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    return (logits * temperature).softmax(1), labels


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_made_probabilities_overconfident_is_found(temperature):
    assert fit_temperature(*drawn(20_000, temperature)) == pytest.approx(temperature, rel=0.05)


@pytest.mark.parametrize(("count", "classes"), [(24, 2), (50, 10)])
def test_correct_predictions_alone_get_the_confidence_of_the_rule_of_succession(count, classes):
    labels = torch.arange(count) % classes
    certain = torch.full((count, classes), 1e-4).scatter_(1, labels[:, None], 1 - 1e-4 * (classes - 1))
    calibrated = apply_temperature(certain, fit_temperature(certain, labels)).gather(1, labels[:, None])
    assert calibrated.numpy() == pytest.approx((count + 1) / (count + 2), abs=1e-4)


def test_certain_and_correct_predictions_have_a_log_loss_of_positive_zero():
    assert str(log_loss(torch.eye(3), torch.arange(3))) == "0.0"


def test_brier_score_by_hand():
    probabilities = torch.tensor([[0.7, 0.2, 0.1], [0.0, 1.0, 0.0]])
    expected = ((0.3**2 + 0.2**2 + 0.1**2) + 2.0) / 2
    assert brier_score(probabilities, torch.tensor([0, 2])) == pytest.approx(expected)


def test_the_best_of_equal_methods_is_estimated_without_bias():
    generator = np.random.default_rng(0)
    naive, corrected = [], []
    for seed in range(60):
        hits = generator.random((80, 6)) < 0.6
        naive.append(hits.mean(0).max())
        corrected.append(selection_corrected_accuracy(hits, draws=200, seed=seed))
    assert np.mean(naive) > 0.66
    assert np.mean(corrected) == pytest.approx(0.6, abs=0.02)


def test_the_interval_after_choosing_covers_the_accuracy_of_the_chosen():
    """Methods with correlated errors, one of them a little better than the others."""
    generator, covered, tries = np.random.default_rng(1), 0, 300
    truth = np.array([0.75, 0.72, 0.70, 0.60])
    for seed in range(tries):
        shared = generator.random((100, 1))
        own = generator.random((100, 4))
        hits = stats.norm.cdf((stats.norm.ppf(shared) + stats.norm.ppf(own)) / 2**0.5) < truth
        low, high = wilson_interval(selection_corrected_accuracy(hits, draws=100, seed=seed), 100)
        covered += low <= truth[hits.mean(0).argmax()] <= high
    assert covered / tries > 0.93


def test_one_method_keeps_its_own_accuracy():
    hits = np.random.default_rng(0).random((500, 1)) < 0.8
    assert selection_corrected_accuracy(hits) == pytest.approx(hits.mean(), abs=0.01)


def test_reliability_by_hand():
    probabilities = torch.tensor([[0.55, 0.45], [0.42, 0.58], [0.95, 0.05], [1.0, 0.0]])
    bins = reliability(probabilities, torch.tensor([0, 0, 0, 0]))
    assert_close(torch.tensor(bins.confidence), torch.tensor([0.565, 0.975]))
    assert (bins.accuracy, bins.images) == ([0.5, 1.0], [2, 2])
    assert (bins.low[0], bins.high[0]) == pytest.approx(wilson_interval(0.5, 2))


def test_calibrated_probabilities_lie_on_the_diagonal():
    probabilities, labels = drawn(20_000, 2.0)
    bins = reliability(apply_temperature(probabilities, 2.0), labels)
    assert np.abs(np.array(bins.confidence) - bins.accuracy)[np.array(bins.images) > 500].max() < 0.03
    bins = reliability(probabilities, labels)
    assert max(np.array(bins.confidence) - bins.accuracy) > 0.1


def test_calibration_error_by_hand():
    probabilities = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.4, 0.6]])
    labels = torch.tensor([0, 1, 0, 1])  # at 0.9: half right; at 0.6: all right
    assert calibration_error(probabilities, labels) == pytest.approx((2 * 0.4 + 2 * 0.4) / 4, abs=1e-6)
    assert calibration_error(torch.eye(2), torch.tensor([0, 1])) == 0.0


def test_a_temperature_divides_logits():
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.0, 3.0, 3.0]], dtype=torch.float64)
    assert_close(apply_temperature(logits.softmax(1), 2.5), (logits / 2.5).softmax(1))
    assert_close(apply_temperature(logits.softmax(1), 1.0), logits.softmax(1))


def test_log_loss_by_hand():
    probabilities = torch.tensor([[0.5, 0.5], [0.25, 0.75]])
    assert log_loss(probabilities, torch.tensor([0, 0])) == pytest.approx((np.log(2) + np.log(4)) / 2)
