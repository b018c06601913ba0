"""Total correlation compared with quadrature, covariances with numpy, and losses without penalty with the ELBO."""

import math

import numpy as np
import pytest
import torch
from exact import unlabelled
from torch.distributions import Normal
from torch.testing import assert_close

from vaebench.models.disentangled import DIPVAEI, DIPVAEII, BetaTCVAE, total_correlation
from vaebench.models.objectives import Elbo
from vaebench.models.posteriors import diagonal_gaussian
from vaebench.models.vae import Model

pytestmark = pytest.mark.usefixtures("float64")
MEANS = torch.tensor([[1.5, 1.0], [-1.0, -2.0], [0.0, 0.5]], dtype=torch.float64)
SCALES = torch.tensor([[0.5, 0.8], [0.7, 0.4], [0.3, 0.6]], dtype=torch.float64)


def a_batch(count=40):
    vae = Model(latent=3, network={"kind": "mlp", "hidden": (7,)}).build((1, 4, 4))
    x = torch.rand(count, 1, 4, 4)
    return vae, unlabelled(x)


def seeded(objective, vae, batch):
    torch.manual_seed(3)
    return objective(vae, batch, 0.5)


def true_total_correlation():
    """KL(q(z) || q(z_1) q(z_2)) of the three-component mixture, on a fine grid."""
    axis = torch.linspace(-8, 8, 1601)
    first, second = (Normal(MEANS[:, d, None], SCALES[:, d, None]).log_prob(axis) for d in (0, 1))  # each (3, 1601)
    joint = torch.logsumexp(first[:, :, None] + second[:, None, :], 0) - math.log(3)
    alone = (first.logsumexp(0)[:, None] + second.logsumexp(0)[None]) - 2 * math.log(3)
    return float((joint.exp() * (joint - alone)).sum() * (16 / 1600) ** 2)


def test_total_correlation_equals_quadrature():
    copies = 700
    q = diagonal_gaussian(MEANS.repeat(copies, 1), SCALES.repeat(copies, 1))
    torch.manual_seed(0)
    found = total_correlation(q, q.sample())
    truth = true_total_correlation()
    assert truth > 0.3
    error = float(found.std()) / len(found) ** 0.5
    assert abs(float(found.mean()) - truth) < 4 * error
    assert error < 0.05 * truth


def test_equal_posteriors_have_no_total_correlation():
    q = diagonal_gaussian(MEANS[:1].expand(20, 2), SCALES[:1].expand(20, 2))
    assert_close(total_correlation(q, q.sample()), torch.zeros(20))


def test_beta_weighs_the_total_correlation():
    vae, batch = a_batch()
    elbo = seeded(Elbo(), vae, batch)
    one = seeded(BetaTCVAE(beta=1.0), vae, batch)
    six = seeded(BetaTCVAE(beta=6.0), vae, batch)
    assert_close(one.loss, elbo.loss)
    assert_close(six.loss - one.loss, 5 * six.components["total_correlation"].mean())


@pytest.mark.parametrize("objective", [DIPVAEI, DIPVAEII])
def test_the_penalty_uses_the_population_covariance(objective):
    vae, batch = a_batch()
    q = vae.posterior(batch.x)
    expected = np.cov(q.mean.detach().numpy().T, bias=True)
    if objective is DIPVAEII:
        expected = expected + np.diag(q.variance.detach().numpy().mean(0))
    between = sum(expected[i, j] ** 2 for i in range(3) for j in range(3) if i != j)
    variances = sum((expected[i, i] - 1) ** 2 for i in range(3))
    found = seeded(objective(off=2.0, on=5.0), vae, batch)
    assert_close(found.loss - seeded(Elbo(), vae, batch).loss, torch.tensor(2 * between + 5 * variances))
    assert_close(found.components["penalty"], torch.full((40,), 2 * between + 5 * variances))
    assert_close(seeded(objective(off=0, on=0), vae, batch).loss, seeded(Elbo(), vae, batch).loss)
