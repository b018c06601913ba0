"""InfoVAE, WAE-MMD and RAE against sums by hand, closed forms and other objectives."""

import math

import numpy as np
import pytest
import torch
from exact import unlabelled
from scipy.integrate import quad
from scipy.stats import chi2
from torch.testing import assert_close

from vaebench.models.mmd import SCALES, InfoVAE, WassersteinAutoencoder, mmd
from vaebench.models.objectives import Elbo, Reconstruction
from vaebench.models.posteriors import kl
from vaebench.models.regularised_autoencoder import RegularisedAutoencoder, squared_weights
from vaebench.models.vae import Model

pytestmark = pytest.mark.usefixtures("float64")


def small_vae():
    vae = Model(latent=3, network={"kind": "mlp", "hidden": (7,)}).build((1, 4, 4))
    return vae, unlabelled(torch.rand(9, 1, 4, 4))


def seeded(objective, vae, batch):
    torch.manual_seed(3)
    return objective(vae, batch, 1.0)


def kernel(a, b):
    """Sum of inverse multiquadratics of two points, by hand."""
    square = sum((x - y) ** 2 for x, y in zip(a, b, strict=True))
    return sum(2 * len(a) * s / (2 * len(a) * s + square) for s in SCALES)


def test_the_mmd_is_the_sum_over_pairs():
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=(4, 3)), generator.normal(size=(5, 3)) + 1
    within = [
        sum(kernel(z[i], z[j]) for i in range(len(z)) for j in range(len(z)) if i != j) / (len(z) * (len(z) - 1))
        for z in (a, b)
    ]
    across = sum(kernel(x, y) for x in a for y in b) / 20
    found = mmd(torch.from_numpy(a), torch.from_numpy(b))
    assert float(found) == pytest.approx(sum(within) - 2 * across, rel=1e-12)


def expected_kernel(dimension, variance, shift):
    """E k(a, b) where a - b is N(shift, variance I): an integral over |a - b|^2, for shift 0 or one dimension."""
    if shift == 0:
        law = chi2(dimension, scale=variance)
        integral = lambda c: quad(lambda s: law.pdf(s) * c / (c + s), 0, np.inf)[0]  # noqa: E731
    else:
        density = lambda x: math.exp(-((x - shift) ** 2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)  # noqa: E731
        integral = lambda c: quad(lambda x: density(x) * c / (c + x * x), -30, 30)[0]  # noqa: E731
    return sum(integral(2 * dimension * s) for s in SCALES)


@pytest.mark.parametrize(("dimension", "scale", "shift"), [(1, 1.0, 0.0), (1, 1.0, 1.5), (1, 0.5, 1.0), (4, 2.0, 0.0)])
def test_the_mmd_is_unbiased_for_gaussians(dimension, scale, shift):
    """N(shift, scale^2 I) against N(0, I), whose discrepancy is an integral."""
    exact = (
        expected_kernel(dimension, 2 * scale**2, 0.0)
        + expected_kernel(dimension, 2.0, 0.0)
        - 2 * expected_kernel(dimension, 1 + scale**2, shift)
    )
    generator = torch.Generator().manual_seed(0)
    values = []
    for _ in range(400):
        a, b = (torch.randn(40, dimension, generator=generator) for _ in range(2))
        values.append(float(mmd(shift + scale * a, b)))
    error = np.std(values) / math.sqrt(len(values))
    assert abs(np.mean(values) - exact) < 4 * error
    assert exact == pytest.approx(0, abs=1e-9) if (scale, shift) == (1.0, 0.0) else exact > 20 * error


def test_without_mmd_info_vae_is_the_elbo_and_wae_the_autoencoder():
    vae, batch = small_vae()
    assert_close(seeded(InfoVAE(beta=2.0, weight=0.0), vae, batch).loss, seeded(Elbo(beta=2.0), vae, batch).loss)
    assert_close(WassersteinAutoencoder(weight=0.0)(vae, batch, 1.0).loss, Reconstruction()(vae, batch, 1.0).loss)


def test_the_weights_are_those_of_kl_and_mmd():
    vae, batch = small_vae()
    plain, weighted = (seeded(InfoVAE(beta=0.0, weight=weight), vae, batch) for weight in (0.0, 7.0))
    distance = weighted.components["mmd"]
    assert_close(weighted.loss - plain.loss, 7 * distance[0])
    assert_close(distance, distance[0].expand(9))
    with_kl = seeded(InfoVAE(beta=3.0, weight=7.0), vae, batch)
    assert_close(with_kl.loss - weighted.loss, 3 * kl(vae.posterior(batch.x), vae.prior()).mean())


def test_the_codes_of_wae_are_means_and_those_of_info_vae_samples():
    vae, batch = small_vae()
    q = vae.posterior(batch.x)
    torch.manual_seed(3)
    samples = q.rsample()
    expected = mmd(samples, vae.prior().sample((9,)))
    assert_close(seeded(InfoVAE(), vae, batch).components["mmd"][0], expected)
    torch.manual_seed(3)
    expected = mmd(q.mean, vae.prior().sample((9,)))
    assert_close(seeded(WassersteinAutoencoder(), vae, batch).components["mmd"][0], expected)


@pytest.mark.parametrize("objective", [InfoVAE(), WassersteinAutoencoder()])
def test_a_batch_of_one_image_has_no_mmd(objective):
    vae, batch = small_vae()
    output = objective(vae, batch.take(torch.tensor([0])), 1.0)
    assert output.components["mmd"] == 0
    assert torch.isfinite(output.loss)


def test_the_loss_of_rae_by_hand():
    vae, batch = small_vae()
    z = vae.posterior(batch.x).mean
    nats = -vae.decode(z).log_prob(batch.x).mean()
    decay = sum(p.detach().square().sum() for name, p in vae.decoder.named_parameters() if name.endswith("weight"))
    expected = nats + 0.3 * z.square().sum(1).mean() / 2 + 0.02 * decay
    output = RegularisedAutoencoder(beta=0.3, decay=0.02)(vae, batch, 1.0)
    assert_close(output.loss, expected)
    assert_close(output.components["code"], z.square().sum(1) / 2)


def test_biases_and_normalisation_do_not_decay():
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.Linear(2, 2))
    expected = network[0].weight.square().sum() + network[2].weight.square().sum()
    assert_close(squared_weights(network), expected)
