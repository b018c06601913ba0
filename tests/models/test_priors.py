"""Priors integrate to one, samples follow them, and bounds under them equal those of known models."""

import math
import sys

import pytest
import torch
from exact import Affine, unlabelled
from torch import nn
from torch.distributions import Independent, MultivariateNormal, Normal
from torch.testing import assert_close

from vaebench.core.errors import VaebenchError
from vaebench.data.images import Images
from vaebench.evaluation.bounds import bounds
from vaebench.evaluation.evidence import evidence
from vaebench.evaluation.panels import prior_samples
from vaebench.models.likelihoods import GaussianPixels
from vaebench.models.loss import AttachableObjective
from vaebench.models.networks import MLP, Conv
from vaebench.models.objectives import OBJECTIVES, Elbo, ImportanceWeighted
from vaebench.models.posteriors import LogVariance, diagonal_gaussian, divergence, kl, kl_per_latent
from vaebench.models.priors import PRIORS, Flow, Mixture, StandardNormal, Vamp
from vaebench.models.vae import VAE, Model

pytestmark = pytest.mark.usefixtures("float64")
SHAPE = (1, 4, 4)
SMALL = {"mixture": {"components": 3}, "vamp": {"components": 3}, "flow": {"transforms": 2, "hidden": (8,)}}


def vae_with(kind, latent=2):
    torch.manual_seed(0)
    prior = PRIORS[kind](**SMALL.get(kind, {}))
    return Model(latent=latent, network=MLP(hidden=(9,)), prior=prior).build(SHAPE).double().eval()


def batch_of(count=5):
    return unlabelled(torch.rand(count, *SHAPE))


def grid(side=12.0, steps=601):
    line = torch.linspace(-side, side, steps)
    z = torch.cartesian_prod(line, line)
    return z, (line[1] - line[0]) ** 2


@pytest.mark.parametrize("kind", PRIORS)
def test_every_prior_integrates_to_one_and_its_samples_have_its_moments(kind):
    vae = vae_with(kind)
    z, cell = grid()
    with torch.no_grad():
        mass = vae.prior().log_prob(z).exp() * cell
    assert float(mass.sum()) == pytest.approx(1, abs=1e-3)
    mean = mass @ z
    covariance = (z - mean).T @ ((z - mean) * mass[:, None])
    drawn = prior_samples(vae, 0, 40_000)
    error = 5 * covariance.diagonal().sqrt() / 200
    assert ((drawn.mean(0) - mean).abs() < error).all()
    assert_close(torch.cov(drawn.T), covariance, atol=0.05 * float(covariance.max()), rtol=0.05)
    assert torch.equal(drawn, prior_samples(vae, 0, 40_000))
    assert not torch.equal(drawn, prior_samples(vae, 1, 40_000))


@pytest.mark.parametrize("kind", [kind for kind in PRIORS if kind != "standard-normal"])
def test_a_learned_prior_fits_codes(kind):
    """300 steps fit the prior to codes around (2, -1)."""
    vae = vae_with(kind)
    codes = torch.randn(256, 2) * 0.3 + torch.tensor([2.0, -1.0])
    before = float(vae.prior().log_prob(codes).detach().mean())
    optimiser = torch.optim.Adam(vae.parameters(), 0.02)
    for _ in range(300):
        optimiser.zero_grad()
        (-vae.prior().log_prob(codes).mean()).backward()
        optimiser.step()
    best = float(Independent(Normal(codes.mean(0), codes.std(0)), 1).log_prob(codes).mean())
    after = float(vae.prior().log_prob(codes).detach().mean())
    assert after > before + 1
    assert after == pytest.approx(best, abs=0.35)


FIXED_PRIOR = ("free-bits", "mmd", "wae-mmd")
"""Objectives that refuse a learned prior."""


@pytest.mark.parametrize("name", FIXED_PRIOR)
def test_some_objectives_refuse_a_learned_prior(name):
    with pytest.raises(VaebenchError, match=r"set model\.prior\.kind to standard-normal"):
        OBJECTIVES[name]()(vae_with("mixture"), batch_of(), 0.0)


@pytest.mark.parametrize("kind", PRIORS)
@pytest.mark.parametrize("name", [name for name in OBJECTIVES if name not in FIXED_PRIOR])
def test_every_objective_trains_under_every_prior(kind, name):
    vae, batch, objective = vae_with(kind), batch_of(8), OBJECTIVES[name]()
    if isinstance(objective, AttachableObjective):
        objective.attach(vae)
    output = objective(vae, batch, 0.5)
    output.loss.backward()
    assert torch.isfinite(output.loss)
    assert all(value.shape == (8,) for value in output.components.values())
    learned = [parameter for parameter in vae.to_prior.parameters() if name not in ("reconstruction", "rae")]
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in learned)


def test_the_mean_monte_carlo_divergence_is_the_kl():
    q = diagonal_gaussian(torch.tensor([[0.5, -1.0]]), torch.tensor([[0.6, 1.3]]))
    vae = vae_with("mixture")
    with torch.no_grad():  # two equal standard normal components
        vae.to_prior.centre.zero_()
        vae.to_prior.log_scale.zero_()
    z = q.sample((200_000,))
    exact = kl(q, StandardNormal().build(2, SHAPE)(vae))
    assert_close(divergence(q, vae.prior(), z), exact, atol=0.02, rtol=0)
    assert_close(divergence(q, vae_with("standard-normal").prior(), z), exact)


class Wide(nn.Module):
    """One posterior for all images, wider than the true ones, so that importance weights are bounded."""

    def forward(self, x):
        return torch.cat([torch.zeros(len(x), 2), torch.full((len(x), 2), math.log(9.0))], 1)


def test_the_evidence_under_a_mixture_prior_is_that_of_a_mixture_of_gaussians():
    """x = W z + b + noise with z from a mixture, whose log p(x) importance weighting estimates."""
    torch.manual_seed(1)
    w, b, scale = torch.randn(16, 2) * 0.3, torch.rand(16), 0.8
    prior = Mixture(components=3).build(2, SHAPE).double()
    with torch.no_grad():
        prior.share.copy_(torch.tensor([0.2, 1.0, -0.5]))
        prior.log_scale.copy_(torch.randn(3, 2) * 0.3)
    vae = VAE(Wide(), Affine(w, b, SHAPE), 2, LogVariance(), GaussianPixels(scale=scale), prior)
    pixels = (torch.rand(6, *SHAPE) * 255).to(torch.uint8)
    images = Images(pixels, torch.full((6,), -1))
    x = images.batch(torch.arange(6)).x.flatten(1)
    each = [
        MultivariateNormal(
            w @ centre + b, w @ torch.diag(spread.exp().square()) @ w.T + scale**2 * torch.eye(16)
        ).log_prob(x)
        for centre, spread in zip(prior.centre.detach(), prior.log_scale.detach(), strict=True)
    ]
    exact = (torch.stack(each, 1) + prior.share.detach().log_softmax(0)).logsumexp(1)
    found = evidence(vae, images, 20_000, 0)
    assert ((found.log_px - exact).abs() < 4.5 * found.error).all()
    assert float(found.error.max()) < 0.05
    batch = unlabelled(images.batch(torch.arange(6)).x.repeat_interleave(2000, 0))
    elbo = Elbo()(vae, batch, 0.0).components["elbo"].view(6, -1).mean(1)
    weighted = ImportanceWeighted(samples=20)(vae, batch, 0.0).components["bound"].view(6, -1).mean(1)
    assert (elbo < weighted).all()
    assert (weighted < exact + 0.02).all()


def test_the_vamp_prior_is_the_mean_of_posteriors_of_its_pseudo_inputs():
    vae = vae_with("vamp")
    with torch.no_grad():
        vae.to_prior.pseudo[0] = 5.0  # is clamped to [0, 1]
    z = torch.randn(7, 2)
    q = vae.posterior(vae.to_prior.pseudo.clamp(0, 1))
    by_hand = torch.stack([Normal(m, s).log_prob(z).sum(1) for m, s in zip(q.mean, q.stddev, strict=True)])
    assert_close(vae.prior().log_prob(z), by_hand.logsumexp(0) - math.log(3))


def test_pseudo_inputs_do_not_change_batch_normalisation_or_mode():
    torch.manual_seed(0)
    vae = (
        Model(latent=2, network=Conv(filters=(4,), stride=(2,)), prior=Vamp(components=4)).build(SHAPE).double().train()
    )
    before = {name: value.clone() for name, value in vae.named_buffers()}
    vae.prior()
    assert all(torch.equal(value, before[name]) for name, value in vae.named_buffers())
    assert vae.encoder.training
    vae.eval()
    vae.prior()
    assert not vae.encoder.training


@pytest.mark.parametrize("kind", [kind for kind in PRIORS if kind != "standard-normal"])
def test_bounds_under_a_learned_prior_are_estimates_at_the_same_sample(kind):
    vae = vae_with(kind)
    images = Images((torch.rand(600, *SHAPE) * 255).to(torch.uint8), torch.full((600,), -1))
    found = bounds(vae, images, seed=3, batch=600)
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(3)
        q = vae.posterior(images.batch(torch.arange(600)).x)
        z = q.rsample()
        excess = q.log_prob(z) - vae.prior().log_prob(z)
    assert found.kl == pytest.approx(float(excess.mean()), rel=1e-9)
    assert found.elbo == pytest.approx(-float(found.reconstruction.mean()) - found.kl, rel=1e-12)
    total = q.mean.var(0, correction=0) + q.variance.mean(0)
    gaussian = diagonal_gaussian(q.mean.mean(0), total.sqrt())
    assert_close(found.kl_per_latent, kl_per_latent(q, gaussian).mean(0), atol=1e-9, rtol=0)


def test_only_learned_priors_add_to_the_state_dict():
    plain, learned = vae_with("standard-normal"), vae_with("flow")
    assert not [name for name in plain.state_dict() if name.startswith("to_prior")]
    other = vae_with("flow")
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.1)
    other.load_state_dict(learned.state_dict())
    z = torch.randn(4, 2)
    assert torch.equal(other.prior().log_prob(z), learned.prior().log_prob(z))


def test_the_flows_density_is_not_rounded_to_bf16():
    vae = vae_with("flow").float()
    z = torch.randn(50, 2, dtype=torch.float32)
    exact = vae.prior().log_prob(z)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(vae.prior().log_prob(z), exact)


def test_without_zuko_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "zuko.flows", None)
    with pytest.raises(VaebenchError, match=r"pip install 'vaebench\[flows\]'"):
        Flow().build(2, SHAPE)


def test_the_mixture_is_the_weighted_sum_of_its_components():
    vae = vae_with("mixture")
    with torch.no_grad():
        vae.to_prior.share.copy_(torch.tensor([0.3, -1.0, 0.8]))
        vae.to_prior.log_scale.copy_(torch.randn(3, 2))
    prior, z = vae.to_prior, torch.randn(9, 2)
    each = [Normal(m, s).log_prob(z).sum(1) for m, s in zip(prior.centre, prior.log_scale.exp(), strict=True)]
    by_hand = (torch.stack(each, 1) + prior.share.log_softmax(0)).logsumexp(1)
    assert_close(vae.prior().log_prob(z), by_hand)
