"""Inception score, confident fraction and marginal entropy on cases with known values."""

import math

import pytest
import torch

from vaebench.evaluation.features import Codes
from vaebench.evaluation.samples import (
    aggregate_moments,
    confident_fraction,
    gaussian_samples,
    inception_score,
    marginal_entropy,
    mixture_samples,
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


def test_gaussian_samples_have_the_moments_of_the_codes():
    generator = torch.Generator().manual_seed(3)
    shape = torch.tensor([[2.0, 0.0, 0.0], [1.0, 0.5, 0.0], [0.0, -3.0, 0.1]])
    mean = torch.randn(5000, 3, generator=generator) @ shape + torch.tensor([1.0, -2.0, 0.0])
    codes = Codes(mean, torch.zeros(5000, dtype=torch.int64), torch.full((5000, 3), math.log(0.25)))
    drawn = gaussian_samples(codes, 200_000, seed=0)
    centre, covariance = aggregate_moments(codes)
    torch.testing.assert_close(drawn.double().mean(0), centre, atol=0.04, rtol=0)
    torch.testing.assert_close(torch.cov(drawn.double().T), covariance, atol=0.08, rtol=0)
    assert drawn.dtype == mean.dtype
    assert torch.equal(drawn, gaussian_samples(codes, 200_000, seed=0))


def clustered_codes():
    """Three clusters with small noise, and posteriors of standard deviation 0.1."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.tensor([[5.0, 0.0], [-5.0, 1.0], [0.0, 8.0]])
    labels = torch.arange(3000) % 3
    mean = centres[labels] + torch.randn(3000, 2, generator=generator) @ torch.tensor([[0.3, 0.2], [0.0, 0.2]])
    return centres, Codes(mean, labels, torch.full((3000, 2), 2 * math.log(0.1)))


def test_samples_of_the_mixture_follow_the_clusters():
    centres, codes = clustered_codes()
    drawn = mixture_samples(codes, 30_000, seed=1)
    nearest = torch.cdist(drawn, centres).argmin(1)
    torch.testing.assert_close(
        nearest.bincount().double() / 30_000, torch.full((3,), 1 / 3).double(), atol=0.02, rtol=0
    )
    expected = torch.tensor([[0.09, 0.06], [0.06, 0.08]]) + 0.01 * torch.eye(2)
    for cluster in range(3):
        own = drawn[nearest == cluster]
        torch.testing.assert_close(own.mean(0), centres[cluster], atol=0.05, rtol=0)
        torch.testing.assert_close(torch.cov(own.T), expected, atol=0.02, rtol=0)
    assert torch.equal(drawn, mixture_samples(codes, 30_000, seed=1))


@pytest.mark.parametrize("draw", [gaussian_samples, mixture_samples])
def test_temperature_scales_the_deviation_of_samples(draw):
    _, codes = clustered_codes()
    hot, cold, frozen = (draw(codes, 2000, 0, temperature) for temperature in (1.0, 0.5, 0.0))
    torch.testing.assert_close(hot - frozen, 2 * (cold - frozen), atol=1e-5, rtol=1e-4)
    assert (hot - frozen).std() > 0.2
