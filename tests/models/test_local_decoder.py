"""The local decoder is normalised, and a pixel depends on earlier pixels within its horizon only."""

import pytest
import torch
from exact import unlabelled
from torch.testing import assert_close

from vaebench.models.local_decoder import LocalDecoderModel, LocalPixels
from vaebench.models.networks import MLP
from vaebench.models.objectives import Elbo

pytestmark = pytest.mark.usefixtures("float64")


def pixels(channels=1, horizon=1, seed=0):
    torch.manual_seed(seed)
    return LocalPixels(channels, 3, horizon).double()


@pytest.mark.parametrize("horizon", [1, 2])
def test_it_sums_to_one_over_all_images(horizon):
    bits = torch.arange(512)[:, None] >> torch.arange(9) & 1
    every = bits.double().view(512, 1, 3, 3)
    p = pixels(horizon=horizon)(torch.randn(3, 3, 3) * 2)
    assert_close(p.log_prob(every).exp().sum(), torch.tensor(1.0))


@pytest.mark.parametrize("horizon", [1, 2])
def test_a_pixel_depends_only_on_its_horizon_above_and_to_the_left(horizon):
    net, x = pixels(2, horizon), torch.rand(1, 2, 7, 7, requires_grad=True)
    raw = torch.randn(1, 6, 7, 7)
    (slope,) = torch.autograd.grad(net.logits(raw, x)[0, :, 4, 3].sum(), x)
    seen = slope[0].abs().sum(0) > 0
    expected = torch.zeros(7, 7, dtype=torch.bool)
    expected[4 - horizon : 4, 3 - horizon : 4 + horizon] = True
    expected[4, 3 - horizon : 3] = True
    assert torch.equal(seen, expected)


def test_samples_follow_the_probabilities():
    torch.manual_seed(5)
    p = pixels()(torch.randn(3, 2, 2).expand(40_000, 3, 2, 2) * 1.5)
    drawn = p.sample()
    assert drawn.shape == (40_000, 1, 2, 2)
    code = (drawn.flatten(1) * torch.tensor([1, 2, 4, 8])).sum(1).long()
    every = (torch.arange(16)[:, None] >> torch.arange(4) & 1).double().view(16, 1, 2, 2)
    expected = pixels()(p.raw[0]).log_prob(every).exp()
    found = code.bincount(minlength=16) / len(code)
    assert (found - expected).abs().max() < 5 * 0.5 / len(code) ** 0.5


def test_the_mean_is_deterministic_and_in_range():
    p = pixels()(torch.randn(4, 3, 5, 5))
    assert torch.equal(p.mean, p.mean)
    assert p.mean.shape == (4, 1, 5, 5)
    assert 0 <= p.mean.min() < p.mean.max() <= 1


@pytest.mark.parametrize("horizon", [1, 2])
def test_every_pixel_of_the_mean_is_its_probability_given_the_means_before_it(horizon):
    net, raw = pixels(2, horizon), torch.randn(4, 6, 5, 6)
    mean = net(raw).mean
    assert_close(mean, net.logits(raw, mean).sigmoid())


def test_every_weight_of_a_built_model_has_a_gradient():
    vae = LocalDecoderModel(latent=3, network=MLP(hidden=(9,)), features=2).build((3, 6, 6)).double()
    x = torch.rand(5, 3, 6, 6)
    assert vae.decode(torch.randn(2, 5, 3)).log_prob(x).shape == (2, 5)
    Elbo()(vae, unlabelled(x), 0.0).loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in vae.parameters())
