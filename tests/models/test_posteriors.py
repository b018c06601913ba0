"""The closed-form KL compared with Monte Carlo and torch; posteriors from raw values."""

import pytest
import torch
from torch.autograd import gradcheck
from torch.distributions import MultivariateNormal, kl_divergence
from torch.nn import functional as F
from torch.testing import assert_close

from vaebench.models.posteriors import POSTERIORS, diagonal_gaussian, kl, kl_per_latent

pytestmark = pytest.mark.usefixtures("float64")


def two_gaussians():
    q = diagonal_gaussian(torch.randn(4, 3), torch.rand(4, 3) + 0.3)
    p = diagonal_gaussian(torch.zeros(3), torch.ones(3))
    return q, p


def test_kl_against_the_formula_of_kingma_and_welling():
    q, p = two_gaussians()
    mean, variance = q.base_dist.loc, q.base_dist.scale.square()
    assert_close(kl_per_latent(q, p), 0.5 * (mean.square() + variance - variance.log() - 1))


def test_kl_against_torch_with_full_covariances():
    q, p = two_gaussians()
    full = MultivariateNormal(q.base_dist.loc, torch.diag_embed(q.base_dist.scale.square()))
    assert_close(kl(q, p), kl_divergence(full, MultivariateNormal(torch.zeros(3), torch.eye(3))))
    assert_close(kl_per_latent(q, p).sum(-1), kl(q, p))


def test_kl_against_monte_carlo():
    q, p = two_gaussians()
    z = q.sample((400_000,))
    ratio = q.log_prob(z) - p.log_prob(z)
    error = ratio.std(0) / len(z) ** 0.5
    assert ((ratio.mean(0) - kl(q, p)).abs() < 4.5 * error).all()
    assert (error < 0.01).all()


def test_log_variance_and_softplus_parametrisations():
    raw = torch.randn(5, 8)
    mean, rest = raw.chunk(2, -1)
    log_variance = POSTERIORS["log-variance"]()(raw).base_dist
    assert_close(log_variance.loc, mean)
    assert_close(log_variance.scale.square().log(), rest)
    softplus = POSTERIORS["softplus"]()(raw).base_dist
    assert_close(softplus.loc, mean)
    assert_close(softplus.scale, F.softplus(rest), atol=2e-6, rtol=0)
    fixed = POSTERIORS["fixed-scale"](scale=0.3)(raw).base_dist
    assert_close(fixed.loc, mean)
    assert_close(fixed.scale, torch.full((5, 4), 0.3))


@pytest.mark.parametrize("name", POSTERIORS)
def test_every_posterior_is_finite_at_extremes_and_differentiable(name):
    posterior = POSTERIORS[name]()
    extreme = torch.tensor([[0.0, 0.0, -1e4, 1e4]])
    p = diagonal_gaussian(torch.zeros(2), torch.ones(2))
    assert kl(posterior(extreme), p).isfinite().all()
    raw = torch.randn(2, 6, requires_grad=True)
    p = diagonal_gaussian(torch.zeros(3), torch.ones(3))
    assert gradcheck(lambda r: kl(posterior(r), p), (raw,))
