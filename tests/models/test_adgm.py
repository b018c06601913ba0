"""ADGM against a linear-Gaussian model of two classes, whose evidence is known, and against enumeration by hand."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal, Normal
from torch.testing import assert_close

from vaebench.data.images import Batch
from vaebench.models.adgm import ADGM, ADGMElbo, ADGMModel
from vaebench.models.likelihoods import GaussianPixels
from vaebench.models.networks import MLP, Conv
from vaebench.models.posteriors import LogVariance

pytestmark = pytest.mark.usefixtures("float64")
SHAPE, LATENT, HINTS, CLASSES, SCALE, N = (1, 2, 3), 2, 4, 3, 0.7, 50


class Line(nn.Module):
    def __init__(self, weight, bias, shape=None):
        super().__init__()
        self.weight, self.bias, self.shape = nn.Parameter(weight), nn.Parameter(bias), shape

    def forward(self, x):
        found = x.flatten(1) @ self.weight.T + self.bias
        return found if self.shape is None else found.unflatten(1, self.shape)


class Exactly(nn.Module):
    """log p(x|y) of each class by the features, which are x itself; a says nothing more."""

    def __init__(self, densities):
        super().__init__()
        self.densities = densities

    def forward(self, joined):
        return torch.stack([density.log_prob(joined[:, :6]) for density in self.densities], 1)


@pytest.fixture
def exact():
    """x = W z + b_y + noise; a a noisy linear map of x, known to both sides: every conditional is the true one."""
    torch.manual_seed(0)
    columns, _ = torch.linalg.qr(torch.randn(6, LATENT))
    w, b = columns * torch.tensor([1.5, 0.6]), torch.randn(6, CLASSES)
    precision = 1 + (w * w).sum(0) / SCALE**2
    encode = w.T / SCALE**2 / precision[:, None]
    none = torch.zeros(LATENT, HINTS)
    raw = torch.cat([torch.cat([encode, none, -encode @ b], 1), torch.zeros(LATENT, 6 + HINTS + CLASSES)])
    densities = [MultivariateNormal(b[:, y], w @ w.T + SCALE**2 * torch.eye(6)) for y in range(CLASSES)]
    hint, bias = torch.randn(2 * HINTS, 6) * 0.3, torch.randn(2 * HINTS)
    return ADGM(
        nn.Flatten(),
        Line(hint, bias),
        Exactly(densities),
        Line(raw, torch.cat([torch.zeros(LATENT), -precision.log()])),
        Line(torch.cat([w, b], 1), torch.zeros(6), SHAPE),
        Line(torch.cat([hint, torch.zeros(2 * HINTS, LATENT + CLASSES)], 1), bias),
        (LATENT, CLASSES),
        LogVariance(),
        GaussianPixels(scale=SCALE),
    ), densities


def test_with_true_conditionals_every_sample_gives_the_evidence(exact):
    model, densities = exact
    x = torch.randn(N, *SHAPE)
    joint = torch.stack([density.log_prob(x.flatten(1)) for density in densities], 1) - math.log(CLASSES)
    hidden = ADGMElbo()(model, Batch(x, torch.full((N,), -1)), 0.0)
    assert_close(hidden.components["bound"], joint.logsumexp(1), atol=1e-10, rtol=0)
    assert_close(hidden.loss, -joint.logsumexp(1).mean(), atol=1e-10, rtol=0)
    labels = torch.arange(N) % CLASSES
    seen = ADGMElbo(alpha=3.0)(model, Batch(x, labels), 0.0)
    own = joint.gather(1, labels[:, None])[:, 0]
    assert_close(seen.components["bound"], own, atol=1e-10, rtol=0)
    assert_close(seen.loss, 3.0 * (joint.logsumexp(1) - own).mean() - own.mean(), atol=1e-10, rtol=0)


def test_a_wrong_classifier_costs_its_divergence(exact):
    model, densities = exact
    x, wrong = torch.randn(N, *SHAPE), torch.tensor([0.2, 0.5, 0.3])
    model.classifier = Line(torch.zeros(CLASSES, 6 + HINTS), wrong.log())
    joint = torch.stack([density.log_prob(x.flatten(1)) for density in densities], 1) - math.log(CLASSES)
    divergence = (wrong * (wrong.log() - joint.log_softmax(1))).sum(1)
    found = ADGMElbo()(model, Batch(x, torch.full((N,), -1)), 0.0).components["bound"]
    assert_close(found, joint.logsumexp(1) - divergence, atol=1e-10, rtol=0)


def test_enumeration_by_hand_with_the_same_noise():
    model = ADGMModel(latent=2, network=MLP(hidden=(5,)), features=6).build((1, 3, 3), CLASSES).double()
    x, labels = torch.rand(4, 1, 3, 3).round(), torch.tensor([2, -1, -1, 0])
    torch.manual_seed(7)
    terms = ADGMElbo(beta=2.5, alpha=0.7)(model, Batch(x, labels), 0.0)
    torch.manual_seed(7)
    noise_a, noise_z = torch.randn(4, 2), torch.randn(4, CLASSES, 2)
    loss = 0.0
    for i in range(4):
        h = model.encoder(x[i : i + 1])[0]
        q_a = gaussian(model.auxiliary_encoder(h[None])[0])
        a = q_a.mean + q_a.stddev * noise_a[i]
        log_q = model.classifier(torch.cat([h, a])[None])[0].log_softmax(0)
        bounds = []
        for y in range(CLASSES):
            hot = torch.eye(CLASSES)[y]
            q_z = gaussian(model.inference(torch.cat([h, a, hot])[None])[0])
            z = q_z.mean + q_z.stddev * noise_z[i, y]
            p_a = gaussian(model.auxiliary_decoder(torch.cat([h, z, hot])[None])[0])
            logits = model.decoder(torch.cat([z, hot])[None])[0]
            log_px = (x[i] * logits - nn.functional.softplus(logits)).sum()
            prior = Normal(torch.zeros(2), 1.0).log_prob(z).sum()
            latents = prior + p_a.log_prob(a).sum() - q_a.log_prob(a).sum() - q_z.log_prob(z).sum()
            bounds.append(log_px - math.log(CLASSES) + 2.5 * latents)
        label = int(labels[i])
        if label >= 0:
            loss += -bounds[label] / 4 - 0.7 * log_q[label] / 2
        else:
            loss += -sum(log_q[y].exp() * (bounds[y] - log_q[y]) for y in range(CLASSES)) / 4
    assert_close(terms.loss, loss, rtol=1e-10, atol=1e-10)


def gaussian(raw):
    mean, log_variance = raw.chunk(2)
    return Normal(mean, (log_variance / 2).exp())


@pytest.mark.parametrize("network", [MLP(hidden=(9,)), Conv(filters=(4,), stride=(2,))])
def test_built_for_grey_and_colour(network):
    net = ADGMModel(latent=3, network=network, features=7).build((3, 8, 8), 5).double()
    x = torch.rand(2, 3, 8, 8)
    assert_close(net(x).exp().sum(1), torch.ones(2))
    drawn = net.decode(torch.randn(2, 5, 3))
    assert (drawn.batch_shape, drawn.event_shape) == ((2, 5), (3, 8, 8))
    ADGMElbo()(net, Batch(x, torch.tensor([1, -1])), 0.0).loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters() if p.requires_grad)
