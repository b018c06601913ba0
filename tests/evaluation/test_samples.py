"""Inception score, confident fraction and marginal entropy on cases with known values."""

import math

import pytest
import torch

from vaebench.evaluation.features import Codes
from vaebench.evaluation.samples import (
    aggregate_moments,
    confident_fraction,
    fitted_samples,
    inception_score,
    marginal_entropy,
)


def test_samples_that_all_look_alike_score_1():
    same = torch.tensor([0.7, 0.2, 0.1]).repeat(60, 1)
    assert inception_score(same) == pytest.approx((1.0, 0.0), abs=1e-6)
    assert marginal_entropy(same) == pytest.approx(-(0.7 * math.log(0.7) + 0.2 * math.log(0.2) + 0.1 * math.log(0.1)))


def test_certain_and_balanced_samples_score_the_number_of_classes():
    certain = torch.eye(5).repeat(20, 1)
    assert inception_score(certain, splits=4) == pytest.approx((5.0, 0.0), abs=1e-9)
    assert marginal_entropy(certain) == pytest.approx(math.log(5))


def test_the_score_is_the_exponential_of_the_mean_divergence():
    p = torch.tensor([[0.9, 0.1], [0.3, 0.7]], dtype=torch.float64)
    q = [0.6, 0.4]
    by_hand = sum(sum(a * math.log(a / b) for a, b in zip(row, q, strict=True)) for row in p.tolist()) / 2
    assert inception_score(p, splits=1)[0] == pytest.approx(math.exp(by_hand), rel=1e-12)


def test_the_deviation_is_over_splits():
    halves = torch.cat([torch.eye(2).repeat(5, 1), torch.tensor([[1.0, 0.0]]).repeat(10, 1)])
    mean, spread = inception_score(halves, splits=2)
    assert mean == pytest.approx(1.5)
    assert spread == pytest.approx(math.sqrt(0.5))


def test_a_sample_is_confident_in_any_class():
    p = torch.tensor([[0.9, 0.1], [0.1, 0.9], [0.89, 0.11], [0.5, 0.5]])
    assert confident_fraction(p) == 0.5
    assert confident_fraction(p, confidence=0.5) == 1.0


def test_the_moments_of_codes_count_their_noise():
    mean = torch.tensor([[1.0, 0.0], [3.0, 4.0]])
    codes = Codes(mean, torch.zeros(2, dtype=torch.int64), torch.tensor([[0.0, 0.0], [math.log(3.0), math.log(5.0)]]))
    centre, covariance = aggregate_moments(codes)
    assert centre.tolist() == [2.0, 2.0]
    assert covariance.tolist() == [[pytest.approx(1 + 2), 2.0], [2.0, pytest.approx(4 + 3)]]
    without = aggregate_moments(Codes(mean, codes.labels))[1]
    assert without.tolist() == [[1.0, 2.0], [2.0, 4.0]]


def test_fitted_samples_have_the_moments_of_the_codes():
    generator = torch.Generator().manual_seed(3)
    shape = torch.tensor([[2.0, 0.0, 0.0], [1.0, 0.5, 0.0], [0.0, -3.0, 0.1]])
    mean = torch.randn(5000, 3, generator=generator) @ shape + torch.tensor([1.0, -2.0, 0.0])
    codes = Codes(mean, torch.zeros(5000, dtype=torch.int64), torch.full((5000, 3), math.log(0.25)))
    drawn = fitted_samples(codes, 200_000, seed=0)
    centre, covariance = aggregate_moments(codes)
    torch.testing.assert_close(drawn.double().mean(0), centre, atol=0.04, rtol=0)
    torch.testing.assert_close(torch.cov(drawn.double().T), covariance, atol=0.08, rtol=0)
    assert drawn.dtype == mean.dtype
    assert torch.equal(drawn, fitted_samples(codes, 200_000, seed=0))
