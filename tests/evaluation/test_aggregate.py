"""The three terms of the KL, on codes for which they are known."""

import math

import pytest
import torch

from vaebench.core.errors import VaebenchError
from vaebench.evaluation.aggregate import decompose_kl
from vaebench.evaluation.features import Codes


def codes_of(mean, variance):
    mean = torch.as_tensor(mean, dtype=torch.float64)
    return Codes(mean, torch.zeros(len(mean), dtype=torch.long), torch.full_like(mean, math.log(variance)))


def test_two_dependent_latents_have_equal_information_and_total_correlation():
    found = decompose_kl(codes_of([[-5, -5], [5, 5]], 1e-4))
    assert found.information == pytest.approx(math.log(2), abs=1e-9)
    assert found.total_correlation == pytest.approx(math.log(2), abs=1e-9)


def test_independent_latents_have_no_total_correlation():
    found = decompose_kl(codes_of([[x, y] for x in (-5, 5) for y in (-4, 0, 4)], 1e-4))
    assert found.information == pytest.approx(math.log(6), abs=1e-9)
    assert found.total_correlation == pytest.approx(0, abs=1e-9)


def test_posteriors_equal_to_the_prior_have_terms_of_zero():
    assert decompose_kl(codes_of(torch.zeros(7, 3), 1.0)) == pytest.approx((0, 0, 0, 0), abs=1e-9)


def test_gaussian_codes_have_the_terms_of_their_covariance():
    torch.manual_seed(0)
    covariance = torch.tensor([[0.7, 0.5, 0.0], [0.5, 0.7, 0.0], [0.0, 0.0, 0.4]], dtype=torch.float64)
    mean = torch.distributions.MultivariateNormal(torch.zeros(3).double(), covariance).sample((20_000,))
    mixed = covariance + 0.3 * torch.eye(3)
    found = decompose_kl(codes_of(mean, 0.3), samples=4000)
    correlation = (mixed.diag().log().sum() - mixed.logdet()) / 2
    assert found.total_correlation == pytest.approx(float(correlation), abs=0.03)
    assert found.error == pytest.approx(0.011, rel=0.5)
    assert found.information == pytest.approx(float(mixed.logdet() - 3 * math.log(0.3)) / 2, abs=0.06)
    assert found.marginals == pytest.approx((0.7 - 1 - math.log(0.7)) / 2, abs=0.03)  # the other two are N(0, 1)


def test_the_terms_sum_to_the_kl():
    generator = torch.Generator().manual_seed(1)
    mean = torch.randn(500, 4, generator=generator, dtype=torch.float64)
    log_variance = torch.randn(500, 4, generator=generator, dtype=torch.float64) - 1
    found = decompose_kl(Codes(mean, torch.zeros(500, dtype=torch.long), log_variance), samples=20_000)
    kl = (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean() / 2
    assert sum(found[:3]) == pytest.approx(float(kl), abs=0.1)


def test_the_same_seed_gives_the_same_terms():
    codes = codes_of(torch.randn(50, 2, generator=torch.Generator().manual_seed(2)), 0.5)
    assert decompose_kl(codes, 100) == decompose_kl(codes, 100)
    assert decompose_kl(codes, 100, seed=1) != decompose_kl(codes, 100)


def test_codes_without_variances_are_refused():
    with pytest.raises(VaebenchError, match="no log_variance"):
        decompose_kl(Codes(torch.zeros(3, 2), torch.zeros(3, dtype=torch.long)))
