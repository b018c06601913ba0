"""Likelihoods are normalised: sums over binary images or integrals over pixels are one."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import logistic
from torch.autograd import gradcheck
from torch.distributions import ContinuousBernoulli as TorchContinuousBernoulli
from torch.testing import assert_close

from vaebench.core.errors import VaebenchError
from vaebench.models.discretised_logistic import DiscretisedLogisticMixture
from vaebench.models.likelihoods import (
    LIKELIHOODS,
    ContinuousBernoulli,
    GaussianPixels,
    check_pixels,
    langevin,
    log_sinhc,
)

pytestmark = pytest.mark.usefixtures("float64")
DISCRETE = ("bernoulli", "discretised-logistic")
LOGITS = torch.tensor(
    [-800.0, -40, -5, -1, -0.21, -0.19, -1e-3, -1e-9, 0, 1e-9, 1e-3, 0.19, 0.21, 1, 5, 40, 800], dtype=torch.float64
)


def all_binary_images():
    """All 512 black-and-white images of 3x3."""
    bits = torch.arange(512)[:, None] >> torch.arange(9) & 1
    return bits.double().view(512, 1, 3, 3)


def one_pixel(likelihood, value):
    """log p of 1x1 images under random raw values, with the last layer applied."""
    raw = torch.randn(likelihood.outputs, 1, 1)
    p = likelihood(likelihood.last_layer(1)(raw))
    return p.log_prob(value.view(-1, 1, 1, 1))


def test_bernoulli_sums_to_one_over_all_images():
    p = LIKELIHOODS["bernoulli"]()(torch.randn(1, 3, 3) * 3)
    assert_close(p.log_prob(all_binary_images()).exp().sum(), torch.tensor(1.0))


@pytest.mark.parametrize("name", [name for name in LIKELIHOODS if name not in DISCRETE])
def test_every_continuous_likelihood_integrates_to_one(name):
    likelihood = LIKELIHOODS[name]()
    low, high = (0.0, 1.0) if likelihood.unit_interval else (-40.0, 40.0)
    points = torch.linspace(low, high, 400_001)
    for _ in range(3):
        assert_close(torch.trapezoid(one_pixel(likelihood, points).exp(), points), torch.tensor(1.0), atol=1e-6, rtol=0)


class TestDiscretisedLogistic:
    @pytest.mark.parametrize("spread", [0.1, 1.0, 6.0])
    def test_sums_to_one_over_the_8_bit_values(self, spread):
        likelihood = LIKELIHOODS["discretised-logistic"]()
        raw = torch.randn(20, likelihood.outputs * 3, 1, 1) * spread
        values = (torch.arange(256) / 255).view(256, 1, 1, 1, 1).expand(256, 20, 3, 1, 1)
        total = likelihood(raw).base_dist.log_prob(values).exp().sum(0)
        assert_close(total, torch.ones(20, 3, 1, 1))

    def test_is_a_difference_of_logistic_distribution_functions(self):
        logits, centred, log_scales = torch.randn(4, 5), torch.randn(4, 5) * 0.3, torch.randn(4, 5) - 2
        p = DiscretisedLogisticMixture(logits, centred, log_scales)
        weights = np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(-1, keepdims=True)
        for value in (0, 1, 100, 254, 255):
            low, high = (value - 0.5) / 255 if value else -np.inf, (value + 0.5) / 255 if value < 255 else np.inf
            law = logistic(loc=centred.numpy() + 0.5, scale=log_scales.exp().numpy())
            expected = np.log((weights * (law.cdf(high) - law.cdf(low))).sum(-1))
            assert_close(p.log_prob(torch.full((4,), value / 255)), torch.from_numpy(expected), atol=1e-9, rtol=0)

    def test_mean_and_samples_are_those_of_the_8_bit_values(self):
        p = DiscretisedLogisticMixture(torch.randn(6, 5), torch.randn(6, 5) * 0.4, torch.randn(6, 5) * 2 - 3)
        values = torch.arange(256) / 255
        exact = (p.log_prob(values[:, None].expand(256, 6)).exp() * values[:, None]).sum(0)
        assert_close(p.mean, exact, atol=0.5 / 255, rtol=0)
        torch.manual_seed(0)
        drawn = p.sample((40_000,))
        assert_close(drawn * 255, (drawn * 255).round())
        assert ((drawn.mean(0) - exact).abs() < 4.5 * drawn.std(0) / 200).all()
        expanded = p.expand((3, 6))
        assert_close(expanded.log_prob(torch.full((3, 6), 0.2)), p.log_prob(torch.full((6,), 0.2)).expand(3, 6))

    def test_is_finite_with_gradients_far_from_the_means(self):
        parts = [torch.full((2, 5), value, requires_grad=True) for value in (0.0, 40.0, -9.0)]
        log_prob = DiscretisedLogisticMixture(*parts).log_prob(torch.tensor([0.0, 0.4]))
        assert log_prob.isfinite().all()
        assert (log_prob < -1000).all()
        log_prob.sum().backward()
        assert all(part.grad.isfinite().all() for part in parts)
        assert parts[1].grad.abs().sum() > 0

    def test_every_channel_has_its_own_third_of_the_raw_values(self):
        likelihood = LIKELIHOODS["discretised-logistic"]()
        raw = torch.randn(1, likelihood.outputs * 2, 1, 1)
        first = raw.view(3, 5, 2)[..., 0]
        p = DiscretisedLogisticMixture(*first[:, None])
        x = torch.tensor([0.2, 0.9]).view(1, 2, 1, 1)
        assert_close(likelihood(raw).base_dist.log_prob(x)[0, 0, 0, 0], p.log_prob(torch.tensor([0.2]))[0])


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_log_prob_sums_over_pixels_and_keeps_the_batch(name):
    likelihood = LIKELIHOODS[name]()
    raw = torch.randn(5, 2, likelihood.outputs * 3, 4, 6)
    p = likelihood(likelihood.last_layer(3)(raw))
    x = torch.rand(5, 2, 3, 4, 6).round()
    assert p.log_prob(x).shape == (5, 2)
    assert_close(p.log_prob(x), p.base_dist.log_prob(x).sum((-1, -2, -3)))
    assert p.mean.shape == x.shape


def test_gaussian_sigmoid_has_a_sigmoid_mean_and_a_fixed_scale():
    raw = torch.randn(3, 1, 2, 2) * 4
    drawn = LIKELIHOODS["gaussian-sigmoid"](scale=0.3)(raw)
    assert_close(drawn.mean, 1 / (1 + (-raw).exp()))
    assert_close(drawn.stddev, torch.full_like(raw, 0.3))


def test_gaussian_with_half_variance_is_squared_error_plus_its_constant():
    mean, x = torch.randn(7, 1, 4, 4), torch.randn(7, 1, 4, 4)
    constant = 16 * 0.5 * math.log(math.pi)
    squared_error = (x - mean).square().sum((1, 2, 3))
    assert_close(-GaussianPixels()(mean).log_prob(x), squared_error + constant)


@pytest.mark.parametrize("name", ["gaussian-global", "gaussian-pixel"])
def test_learned_scales_stay_above_the_floor(name):
    likelihood = LIKELIHOODS[name](floor=0.03)
    raw = torch.cat([torch.zeros(1, 2, 2), torch.full((1, 2, 2), -1e4)])
    assert_close(likelihood(raw).base_dist.scale, torch.full((1, 2, 2), 0.03))


def test_global_scale_is_one_parameter_with_a_gradient():
    likelihood = LIKELIHOODS["gaussian-global"]()
    layer = likelihood.last_layer(3)
    p = likelihood(layer(torch.randn(2, 3, 4, 4)))
    assert p.base_dist.scale.unique().numel() == 1
    p.log_prob(torch.rand(2, 3, 4, 4)).sum().backward()
    assert layer.raw_scale.grad.abs() > 0


class TestContinuousBernoulli:
    def test_agrees_with_torch_away_from_a_half(self):
        logits = torch.tensor([-5.0, -1, -0.2, 0.2, 1, 5])
        x = torch.rand(100, 6)
        expected = TorchContinuousBernoulli(logits=logits)
        own = ContinuousBernoulli(logits)
        assert_close(own.log_prob(x), expected.log_prob(x), atol=1e-7, rtol=1e-7)
        assert_close(own.mean, expected.mean, atol=1e-7, rtol=1e-7)

    def test_mean_is_the_integral_of_x(self):
        # by Gauss-Legendre quadrature on [0, 1]
        nodes, weights = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(200))
        x, w = (nodes + 1) / 2, weights / 2
        logits = LOGITS[LOGITS.abs() < 50]
        density = ContinuousBernoulli(logits).log_prob(x[:, None]).exp()
        assert_close((w[:, None] * density).sum(0), torch.ones(len(logits)), atol=1e-12, rtol=0)
        assert_close((w[:, None] * density * x[:, None]).sum(0), ContinuousBernoulli(logits).mean, atol=1e-12, rtol=0)

    def test_is_finite_and_ordered_from_minus_to_plus_infinity(self):
        p = ContinuousBernoulli(LOGITS)
        assert p.mean.isfinite().all()
        assert (p.mean.diff() > 0).all()
        assert p.log_prob(torch.tensor(0.3)).isfinite().all()
        assert_close(p.mean, 1 - ContinuousBernoulli(-LOGITS).mean)

    def test_float32_near_a_half_is_as_good_as_float64(self):
        logits = torch.linspace(-0.5, 0.5, 1001)
        x = torch.tensor(0.9)
        exact = ContinuousBernoulli(logits)
        rough = ContinuousBernoulli(logits.float())
        assert_close(rough.log_prob(x.float()).double(), exact.log_prob(x), atol=3e-7, rtol=0)
        # coth(u) and 1/u are near 10 where the closed form begins: two rounding errors of 6e-8 x 10, halved
        assert_close(rough.mean.double(), exact.mean, atol=6e-7, rtol=0)

    def test_gradients(self):
        u = torch.tensor([-3.0, -0.11, -0.09, -1e-3, 0.0, 1e-3, 0.09, 0.11, 3.0], requires_grad=True)
        assert gradcheck(log_sinhc, (u,))
        assert gradcheck(langevin, (u,))

    def test_samples_invert_the_distribution_function(self):
        logits = torch.tensor([-30.0, -2, -1.1e-4, -0.9e-4, 0, 0.9e-4, 1.1e-4, 2, 30])
        torch.manual_seed(5)
        x = ContinuousBernoulli(logits).rsample((1000,))
        torch.manual_seed(5)
        u = torch.rand(1000, 9)
        t = torch.where(logits == 0, 1e-12, logits)
        reached = torch.expm1(t * x) / torch.expm1(t)  # the distribution function
        assert_close(torch.where(logits > 1e-4, 1 - reached, reached), u, atol=1e-9, rtol=0)

    def test_samples_have_the_mean_and_follow_the_logits(self):
        logits = torch.tensor([-30.0, -2, -0.1, 0, 0.1, 2, 30], requires_grad=True)
        samples = ContinuousBernoulli(logits).rsample((200_000,))
        assert ((samples >= 0) & (samples <= 1)).all()
        assert_close(samples.mean(0), ContinuousBernoulli(logits).mean, atol=4e-3, rtol=0)
        (gradient,) = torch.autograd.grad(samples.mean(0).sum(), logits)
        (expected,) = torch.autograd.grad(ContinuousBernoulli(logits).mean.sum(), logits)
        assert_close(gradient, expected, atol=2e-3, rtol=0)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_pixels_outside_the_range_are_refused(name):
    likelihood = LIKELIHOODS[name]()
    standardised = torch.tensor([-0.42, 2.82]).view(1, 1, 1, 2)
    if likelihood.unit_interval:
        with pytest.raises(VaebenchError, match=r"from -0\.42 to 2\.82"):
            check_pixels(likelihood, standardised)
    else:
        check_pixels(likelihood, standardised)
    with pytest.raises(VaebenchError, match="NaN"):
        check_pixels(likelihood, standardised * torch.nan)
    check_pixels(likelihood, standardised.clamp(0, 1))
