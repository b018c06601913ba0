"""ADGM compared with a linear-Gaussian model of known evidence, and with enumeration written out."""

import math

import pytest
import torch
from exact import Affine, DensityLogits, linear_gaussian_classes, unlabelled
from torch import nn
from torch.distributions import Normal
from torch.testing import assert_close

from vaebench.data.images import Batch
from vaebench.models.adgm import ADGM, ADGMElbo, ADGMModel
from vaebench.models.likelihoods import GaussianPixels
from vaebench.models.networks import MLP, Conv
from vaebench.models.posteriors import LogVariance

pytestmark = pytest.mark.usefixtures("float64")
SHAPE, LATENT, AUXILIARY, CLASSES, SCALE, N = (1, 2, 3), 2, 4, 3, 0.7, 50


@pytest.fixture
def exact():
    """x = W z + b_y + noise; a is a noisy linear map of x: every conditional is exact."""
    w, b, encode, precision, densities = linear_gaussian_classes(LATENT, CLASSES, SCALE)
    none = torch.zeros(LATENT, AUXILIARY)
    raw = torch.cat([torch.cat([encode, none, -encode @ b], 1), torch.zeros(LATENT, 6 + AUXILIARY + CLASSES)])
    weight, bias = torch.randn(2 * AUXILIARY, 6) * 0.3, torch.randn(2 * AUXILIARY)
    return ADGM(
        nn.Flatten(),
        Affine(weight, bias),
        DensityLogits(densities),
        Affine(raw, torch.cat([torch.zeros(LATENT), -precision.log()])),
        Affine(torch.cat([w, b], 1), torch.zeros(6), SHAPE),
        Affine(torch.cat([weight, torch.zeros(2 * AUXILIARY, LATENT + CLASSES)], 1), bias),
        (LATENT, CLASSES),
        LogVariance(),
        GaussianPixels(scale=SCALE),
    ), densities


def test_exact_conditionals_make_the_bound_the_evidence(exact):
    model, densities = exact
    x = torch.randn(N, *SHAPE)
    joint = torch.stack([density.log_prob(x.flatten(1)) for density in densities], 1) - math.log(CLASSES)
    hidden = ADGMElbo()(model, unlabelled(x), 0.0)
    assert_close(hidden.components["bound"], joint.logsumexp(1), atol=1e-10, rtol=0)
    assert_close(hidden.loss, -joint.logsumexp(1).mean(), atol=1e-10, rtol=0)
    labels = torch.arange(N) % CLASSES
    seen = ADGMElbo(alpha=3.0)(model, Batch(x, labels), 0.0)
    own = joint.gather(1, labels[:, None])[:, 0]
    assert_close(seen.components["bound"], own, atol=1e-10, rtol=0)
    assert_close(seen.loss, 3.0 * (joint.logsumexp(1) - own).mean() - own.mean(), atol=1e-10, rtol=0)


def test_a_wrong_classifier_adds_its_kl_divergence(exact):
    model, densities = exact
    x, wrong = torch.randn(N, *SHAPE), torch.tensor([0.2, 0.5, 0.3])
    model.classifier = Affine(torch.zeros(CLASSES, 6 + AUXILIARY), wrong.log())
    joint = torch.stack([density.log_prob(x.flatten(1)) for density in densities], 1) - math.log(CLASSES)
    divergence = (wrong * (wrong.log() - joint.log_softmax(1))).sum(1)
    found = ADGMElbo()(model, unlabelled(x), 0.0).components["bound"]
    assert_close(found, joint.logsumexp(1) - divergence, atol=1e-10, rtol=0)


def test_the_loss_equals_written_out_enumeration():
    model = ADGMModel(latent=2, network=MLP(hidden=(5,)), features=6).build((1, 3, 3), CLASSES).double()
    x, labels = torch.rand(4, 1, 3, 3).round(), torch.tensor([2, -1, -1, 0])
    torch.manual_seed(7)
    output = ADGMElbo(beta=2.5, alpha=0.7)(model, Batch(x, labels), 0.0)
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
    assert_close(output.loss, loss, rtol=1e-10, atol=1e-10)


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
