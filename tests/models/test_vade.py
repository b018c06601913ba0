"""VaDE compared with scikit-learn's mixture, written-out densities, and a linear-Gaussian VAE of known evidence."""

import math

import numpy as np
import pytest
import torch
from exact import Affine, unlabelled
from sklearn.mixture import GaussianMixture
from torch.distributions import MultivariateNormal, Normal
from torch.testing import assert_close

from vaebench.models.likelihoods import GaussianPixels
from vaebench.models.networks import MLP
from vaebench.models.objectives import Elbo
from vaebench.models.posteriors import LogVariance
from vaebench.models.vade import VaDE, VaDEElbo, VaDEModel
from vaebench.models.vae import VAE, Model

pytestmark = pytest.mark.usefixtures("float64")


def fitted(components, dimensions=2, seed=0):
    points = np.random.default_rng(seed).normal(size=(500, dimensions)) * [[1.0, 0.4]] + [[0.5, -1.0]]
    return GaussianMixture(components, covariance_type="diag", random_state=0).fit(points)


def vade_from(vae, mixture):
    parts = (mixture.weights_, mixture.means_, np.sqrt(mixture.covariances_))
    return VaDE(vae, *(torch.from_numpy(part) for part in parts)).double()


def small_vae():
    torch.manual_seed(0)
    return Model(latent=2, network=MLP(hidden=(5,))).build((1, 3, 3)).double()


def test_the_prior_starts_as_the_fitted_mixture():
    mixture = fitted(4)
    vae = vade_from(small_vae(), mixture)
    z = np.random.default_rng(1).normal(size=(20, 2))
    assert_close(
        vae.prior().log_prob(torch.from_numpy(z)), torch.from_numpy(mixture.score_samples(z)), atol=1e-9, rtol=0
    )
    found = vae.responsibilities(torch.from_numpy(z)).detach().numpy()
    np.testing.assert_allclose(found, mixture.predict_proba(z), atol=1e-9)


def test_one_standard_component_gives_the_elbo():
    vae, mixture = small_vae(), fitted(1)
    mixture.weights_, mixture.means_, mixture.covariances_ = np.ones(1), np.zeros((1, 2)), np.ones((1, 2))
    x = torch.rand(1, 1, 3, 3).round().expand(20_000, -1, -1, -1)
    batch = unlabelled(x)
    plain, mixed = Elbo()(vae, batch, 0.0), VaDEElbo()(vade_from(vae, mixture), batch, 0.0)
    error = 5 * float(mixed.components["elbo"].std()) / len(x) ** 0.5
    assert_close(mixed.loss, plain.loss, atol=2 * error, rtol=0)


def test_importance_weights_average_to_the_evidence():
    """E_q[p(x, z) / q(z|x)] = p(x) for any q that covers the posterior."""
    torch.manual_seed(1)
    scale, w = 0.8, torch.tensor([[1.0, 0.3], [-0.5, 0.9], [0.2, 0.7]])
    encode = torch.cat([torch.linalg.pinv(w), torch.zeros(2, 3)])
    spread = torch.cat([torch.zeros(2), torch.full((2,), math.log(1.0))])
    base = VAE(
        Affine(encode, spread), Affine(w, torch.zeros(3), (1, 1, 3)), 2, LogVariance(), GaussianPixels(scale=scale)
    )
    vae = vade_from(base, fitted(3))
    x = torch.tensor([[0.4, -0.2, 0.6]])
    weights = vae.share.softmax(0)
    noise = scale**2 * torch.eye(3)
    densities = [
        MultivariateNormal(w @ mu, w @ torch.diag((2 * s).exp()) @ w.T + noise).log_prob(x[0]).exp()
        for mu, s in zip(vae.centre, vae.log_scale, strict=True)
    ]
    evidence = sum(a * b for a, b in zip(weights, densities, strict=True))
    many = x.view(1, 1, 1, 3).expand(400_000, -1, -1, -1)
    ratios = VaDEElbo()(vae, unlabelled(many), 0.0).components["elbo"].exp()
    evidence = evidence.detach()
    assert_close(ratios.mean(), evidence, atol=5 * float(ratios.std()) / len(ratios) ** 0.5, rtol=0)
    assert float(ratios.std()) / len(ratios) ** 0.5 < 0.01 * float(evidence)


def test_beta_weighs_the_kl():
    vae = vade_from(small_vae(), fitted(2))
    batch = unlabelled(torch.rand(6, 1, 3, 3))
    losses = []
    for beta in (0.0, 1.0, 3.0):
        torch.manual_seed(2)
        losses.append(VaDEElbo(beta=beta)(vae, batch, 0.0).loss)
    assert_close(losses[2] - losses[0], 3 * (losses[1] - losses[0]))
    torch.manual_seed(2)
    q = vae.posterior(batch.x)
    z = q.rsample()
    log_p = torch.stack(
        [Normal(mu, s.exp()).log_prob(z).sum(1) for mu, s in zip(vae.centre, vae.log_scale, strict=True)], 1
    )
    by_hand = q.log_prob(z) - (log_p + vae.share.log_softmax(0)).logsumexp(1)
    assert_close(losses[1] - losses[0], by_hand.mean())


def test_the_start_covers_samples_of_the_posteriors():
    """Two clusters of means in the first latent; the second has collapsed to the prior."""
    random = np.random.default_rng(0)
    signs = np.repeat([-1.0, 1.0], 300)
    means = np.stack([5 * signs + 0.5 * random.normal(size=600), np.zeros(600)], 1)
    variances = np.stack([np.where(signs < 0, 0.1, 0.4), np.ones(600)], 1)
    model = VaDEModel(latent=2, network=MLP(hidden=(5,)), components=2)
    vae = model.start(small_vae(), means, variances, seed=0)
    order = vae.centre[:, 0].argsort()
    assert_close(vae.share.softmax(0), torch.tensor([0.5, 0.5]), atol=1e-6, rtol=0)
    assert_close(vae.centre[order, 0], torch.tensor([means[:300, 0].mean(), means[300:, 0].mean()]))
    expected = [[means[:300, 0].var() + 0.1, 1.0], [means[300:, 0].var() + 0.4, 1.0]]
    assert_close((2 * vae.log_scale[order]).exp(), torch.tensor(expected), atol=1e-5, rtol=0)


def test_a_built_model_has_the_shapes_of_a_started_one():
    model = VaDEModel(latent=2, network=MLP(hidden=(5,)), components=3)
    started = model.start(small_vae(), np.random.default_rng(0).normal(size=(50, 2)), np.ones((50, 2)), seed=0)
    built = model.build((1, 3, 3))
    assert {k: v.shape for k, v in built.state_dict().items()} == {k: v.shape for k, v in started.state_dict().items()}
    assert_close(built.responsibilities(torch.zeros(1, 2)), torch.full((1, 3), 1 / 3))
    assert model.objective == VaDEElbo(beta=1.0)
