"""M2 compared with a linear-Gaussian model of known evidence, and with enumeration written out."""

import math

import pytest
import torch
from exact import Affine, DensityLogits, linear_gaussian_classes, unlabelled
from torch import nn
from torch.testing import assert_close

from vaebench.data.images import Batch
from vaebench.models.likelihoods import GaussianPixels
from vaebench.models.m2 import M2, M2Elbo, M2Model
from vaebench.models.networks import MLP, Conv
from vaebench.models.posteriors import LogVariance

pytestmark = pytest.mark.usefixtures("float64")
SHAPE, LATENT, CLASSES, SCALE, REPEATS = (1, 2, 3), 2, 3, 0.7, 20_000


@pytest.fixture
def exact():
    """x = W z + b_y + noise, W with orthogonal columns: q(z|x,y) and q(y|x) are the true posteriors."""
    w, b, encode, precision, densities = linear_gaussian_classes(LATENT, CLASSES, SCALE)
    raw = torch.cat([torch.cat([encode, -encode @ b], 1), torch.zeros(LATENT, 6 + CLASSES)])
    model = M2(
        DensityLogits(densities),
        nn.Flatten(),
        Affine(raw, torch.cat([torch.zeros(LATENT), -precision.log()])),
        Affine(torch.cat([w, b], 1), torch.zeros(6), SHAPE),
        (LATENT, CLASSES),
        LogVariance(),
        GaussianPixels(scale=SCALE),
    )
    x = densities[1].sample((1,)).view(1, *SHAPE)
    joint = torch.stack([density.log_prob(x.flatten(1)) for density in densities], 1)[0] - math.log(CLASSES)
    return model, x.expand(REPEATS, *SHAPE), joint


@pytest.mark.parametrize("label", range(CLASSES))
def test_labelled_loss_is_the_joint_evidence_plus_alpha_times_the_cross_entropy(exact, label):
    model, x, joint = exact
    output = M2Elbo(alpha=3.0)(model, Batch(x, torch.full((REPEATS,), label)), 0.0)
    cross_entropy = joint.logsumexp(0) - joint[label]
    error = 5 * float(output.components["bound"].std()) / REPEATS**0.5
    assert_close(output.loss, 3.0 * cross_entropy - joint[label], atol=error, rtol=0)


def test_unlabelled_loss_is_the_evidence(exact):
    model, x, joint = exact
    output = M2Elbo()(model, unlabelled(x), 0.0)
    error = 5 * float(output.components["bound"].std()) / REPEATS**0.5
    assert error < 0.1
    assert_close(output.loss, -joint.logsumexp(0), atol=error, rtol=0)


def test_a_wrong_classifier_adds_its_kl_divergence(exact):
    model, x, joint = exact
    wrong = torch.tensor([0.2, 0.5, 0.3])
    model.classifier = Affine(torch.zeros(CLASSES, 6), wrong.log())
    output = M2Elbo()(model, unlabelled(x), 0.0)
    divergence = (wrong * (wrong.log() - (joint - joint.logsumexp(0)))).sum()
    error = 5 * float(output.components["bound"].std()) / REPEATS**0.5
    assert_close(output.loss, divergence - joint.logsumexp(0), atol=error, rtol=0)


def test_the_loss_equals_written_out_enumeration():
    model = M2Model(latent=2, network=MLP(hidden=(5,)), classifier=MLP(hidden=(4,)), features=6)
    net, x = model.build((1, 3, 3), CLASSES).double(), torch.rand(4, 1, 3, 3).round()
    batch = Batch(x, torch.tensor([2, -1, -1, 0]))
    torch.manual_seed(7)
    output = M2Elbo(beta=2.5, alpha=0.7)(net, batch, 0.0)
    torch.manual_seed(7)
    noise = torch.randn(4, CLASSES, 2)
    loss, log_q = 0.0, net.classifier(x).log_softmax(-1)
    for i in range(4):
        bounds = []
        for y in range(CLASSES):
            hot = torch.eye(CLASSES)[y]
            mean, log_variance = net.inference(torch.cat([net.encoder(x[i : i + 1])[0], hot])[None])[0].chunk(2)
            z = mean + (log_variance / 2).exp() * noise[i, y]
            logits = net.decoder(torch.cat([z, hot])[None])[0]
            log_px = (x[i] * logits - nn.functional.softplus(logits)).sum()
            divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum()
            bounds.append(log_px + math.log(1 / CLASSES) - 2.5 * divergence)
        label = int(batch.labels[i])
        if label >= 0:
            loss += -bounds[label] / 4 - 0.7 * log_q[i, label] / 2
        else:
            q = log_q[i].exp()
            loss += -sum(q[y] * (bounds[y] - log_q[i, y]) for y in range(CLASSES)) / 4
    assert_close(output.loss, loss, rtol=1e-10, atol=1e-10)


def test_unlabelled_images_have_no_cross_entropy():
    net = M2Model(latent=2, network=MLP(hidden=(5,)), features=4).build((1, 3, 3), CLASSES).double()
    output = M2Elbo(alpha=1e6)(net, unlabelled(torch.rand(8, 1, 3, 3)), 0.0)
    assert output.loss.item() == pytest.approx(-output.components["bound"].mean().item(), rel=1e-12)
    output.loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize("network", [MLP(hidden=(9,)), Conv(filters=(4,), stride=(2,))])
def test_built_for_grey_and_colour(network):
    net = M2Model(latent=3, network=network, classifier=network, features=7).build((3, 8, 8), 5).double()
    x = torch.rand(2, 3, 8, 8)
    assert net.posteriors(x).batch_shape == (2, 5)
    drawn = net.decode(torch.randn(2, 5, 3))
    assert (drawn.batch_shape, drawn.event_shape) == ((2, 5), (3, 8, 8))
    assert_close(net.log_probabilities(x).exp().sum(1), torch.ones(2))
