"""Importance weighting against the exact evidence of a linear-Gaussian VAE; standard errors against repetitions."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal
from torch.testing import assert_close

from vaebench.data.images import Images
from vaebench.evaluation import evidence as module
from vaebench.evaluation.evidence import _accumulate, bits_per_dimension, evidence
from vaebench.models.folding import THIN, SubPixel, fold_batch_norm
from vaebench.models.likelihoods import GaussianPixels
from vaebench.models.networks import MLP, Conv
from vaebench.models.posteriors import LogVariance
from vaebench.models.vae import VAE, Model

SHAPE, LATENT, SCALE = (1, 3, 4), 2, 0.8


class Affine(nn.Module):
    """An affine map, with constants appended to its output."""

    def __init__(self, weight, bias, tail=None):
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)
        self.tail = None if tail is None else nn.Parameter(tail)

    def forward(self, x):
        mean = x.flatten(1) @ self.weight.T + self.bias
        return mean.unflatten(1, SHAPE) if self.tail is None else torch.cat([mean, self.tail.expand(len(x), -1)], -1)


@pytest.fixture
def exact(float64):
    """A VAE whose posterior is exact, eight images, and their log evidence."""
    columns, _ = torch.linalg.qr(torch.randn(12, LATENT))
    w, b = columns * torch.tensor([1.5, 0.6]), torch.rand(12)
    precision = 1 + (w * w).sum(0) / SCALE**2
    encode = w.T / SCALE**2 / precision[:, None]
    vae = VAE(
        Affine(encode, -encode @ b, -precision.log()),
        Affine(w, b),
        LATENT,
        LogVariance(),
        GaussianPixels(scale=SCALE),
    )
    images = Images(torch.randint(0, 256, (8, *SHAPE)).to(torch.uint8), torch.full((8,), -1))
    x = images.batch(torch.arange(8)).x.double()
    truth = MultivariateNormal(b, w @ w.T + SCALE**2 * torch.eye(12)).log_prob(x.flatten(1))
    return vae, images, truth


def worsened(vae):
    with torch.no_grad():
        vae.encoder.bias += 0.5
        vae.encoder.tail += 0.7
    return vae


def test_an_exact_posterior_gives_the_evidence_from_any_number_of_samples(exact):
    vae, images, truth = exact
    for samples in (1, 7, 100):
        found = evidence(vae, images, samples)
        assert_close(found.log_px, truth, atol=2e-6, rtol=0)  # pixels are read in fp32
        assert_close(found.effective, torch.full((8,), float(samples)), atol=1e-3, rtol=0)
    assert found.error.max() < 1e-6
    assert found.mean == pytest.approx(float(truth.mean()), abs=1e-6)


def test_with_a_wrong_posterior_the_estimate_is_within_its_standard_error(exact):
    vae, images, truth = exact
    found = evidence(worsened(vae), images, 20_000)
    assert (found.error > 1e-3).all()
    assert ((found.log_px - truth).abs() < 4.5 * found.error).all()
    assert abs(found.mean - float(truth.mean())) < 4.5 * found.standard_error
    assert (found.effective < 19_000).all()


def test_the_standard_error_equals_the_spread_of_repetitions(exact):
    vae, images, _ = exact
    worsened(vae)
    several = [evidence(vae, images, 2_000, seed=seed) for seed in range(60)]
    spread = torch.stack([found.log_px for found in several]).std(0)
    stated = torch.stack([found.error for found in several]).mean(0)
    assert ((spread / stated - 1).abs() < 0.45).all()  # a standard deviation of 60 values is known to about 9 %
    means = np.std([found.mean for found in several], ddof=1)
    assert means == pytest.approx(np.mean([found.standard_error for found in several]), rel=0.45)


def test_chunks_of_codes_and_images_change_nothing_but_the_noise(exact, monkeypatch):
    vae, images, truth = exact
    monkeypatch.setattr(module, "CODES", 16)
    monkeypatch.setattr(module, "IMAGES", 3)
    assert_close(evidence(vae, images, 50).log_px, truth, atol=2e-6, rtol=0)
    found = evidence(worsened(vae), images, 5_000)
    assert ((found.log_px - truth).abs() < 4.5 * found.error).all()


def test_batched_sums_equal_the_sums_of_all_weights_at_once(exact, monkeypatch):
    monkeypatch.setattr(module, "CODES", 8 * 512)  # all codes of each image at once
    vae, images, _ = exact
    worsened(vae)
    torch.manual_seed(0)
    x = images.batch(torch.arange(8)).x
    q, p = vae.posterior(x), vae.prior()
    z = q.sample((512,))
    log_weights = vae.decode(z).log_prob(x) + p.log_prob(z) - q.log_prob(z)
    found = evidence(vae, images, 512, seed=0)
    assert_close(found.log_px, log_weights.logsumexp(0) - math.log(512), atol=1e-10, rtol=0)
    weights = log_weights.softmax(0)
    assert_close(found.effective, 1 / weights.square().sum(0), atol=1e-6, rtol=0)
    weights = (log_weights - log_weights.max(0).values).exp()
    assert_close(found.error, weights.std(0) / weights.mean(0) / 512**0.5, atol=1e-8, rtol=0)


def test_sums_do_not_depend_on_the_batches_of_weights(float64):
    weights = torch.randn(40, 3) * 5 - 1000 + torch.linspace(-30, 30, 40)[:, None]  # later ones are higher
    sums = torch.full((3,), -math.inf), torch.zeros(3), torch.zeros(3)
    for piece in weights.split(7):
        sums = _accumulate(*sums, piece)
    top = weights.max(0).values
    assert_close(sums[0], top)
    assert_close(sums[1], (weights - top).exp().sum(0))
    assert_close(sums[2], (2 * (weights - top)).exp().sum(0))


def test_an_interrupted_estimate_resumes_to_the_same_numbers(exact, monkeypatch, tmp_path):
    vae, images, _ = exact
    worsened(vae)
    monkeypatch.setattr(module, "IMAGES", 2)
    whole = evidence(vae, images, 30)
    checkpoint = tmp_path / "evidence.npz"

    def stop(done):
        if done >= 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evidence(vae, images, 30, checkpoint=checkpoint, callback=stop)
    seen = []
    again = evidence(vae, images, 30, checkpoint=checkpoint, callback=seen.append)
    assert seen == [0.75, 1.0]
    assert torch.equal(again.log_px, whole.log_px)
    assert torch.equal(again.effective, whole.effective)
    fewer = evidence(vae, images, 20, checkpoint=checkpoint)  # the checkpoint has 30 samples
    assert torch.equal(fewer.log_px, evidence(vae, images, 20).log_px)


def test_within_autocast_networks_are_rounded_and_densities_are_not():
    torch.manual_seed(0)
    vae = Model(latent=3, network=MLP(hidden=(32,))).build((1, 6, 6))
    images, kinds = Images(torch.randint(0, 256, (8, 1, 6, 6), dtype=torch.uint8), torch.full((8,), -1)), []
    vae.decoder.register_forward_hook(lambda module, given, raw: kinds.append(raw.dtype))
    exact = evidence(vae, images, 200)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = evidence(vae, images, 200)
    assert kinds == 2 * [torch.float32] + 2 * [torch.bfloat16]  # in two chunks of codes
    gaps = (rounded.log_px - exact.log_px).abs()
    assert 0 < gaps.max() < 0.1  # log_prob in bf16 would be off by a whole step of 0.125 at 24 nats
    assert rounded.log_px.dtype == torch.float64


def test_a_checkpoint_of_another_precision_is_ignored(tmp_path):
    torch.manual_seed(0)
    vae = Model(latent=3, network=MLP(hidden=(32,))).build((1, 6, 6))
    images = Images(torch.randint(0, 256, (8, 1, 6, 6), dtype=torch.uint8), torch.full((8,), -1))
    exact = evidence(vae, images, 20, checkpoint=tmp_path / "kept.npz")
    with torch.autocast("cpu", torch.bfloat16):
        fresh, again = evidence(vae, images, 20), evidence(vae, images, 20, checkpoint=tmp_path / "kept.npz")
    assert torch.equal(again.log_px, fresh.log_px)
    assert not torch.equal(again.log_px, exact.log_px)


def test_dequantised_images_have_the_density_of_their_noisy_selves(exact):
    vae, images, _ = exact
    found = evidence(vae, images, 3, seed=5, dequantise=True)
    w, b = vae.decoder.weight, vae.decoder.bias
    torch.manual_seed(5 * 1_000_003)
    x = images.batch(torch.arange(8)).x
    noisy = (x * 255 + torch.rand_like(x)) / 256
    truth = MultivariateNormal(b, w @ w.T + SCALE**2 * torch.eye(12)).log_prob(noisy.flatten(1).double())
    assert_close(found.log_px, truth.detach(), atol=2e-6, rtol=0)
    assert not torch.allclose(noisy.double(), x.double(), atol=1e-3)


def test_bits_per_dimension_of_known_densities():
    assert bits_per_dimension(0.0, (1, 4, 4)) == 8.0  # uniform on [0, 1]: every grey level alike
    assert bits_per_dimension(16 * math.log(2), (1, 4, 4)) == 7.0
    assert bits_per_dimension(3 * math.log(256), (3, 1, 1)) == pytest.approx(0.0)  # all on the right level


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("channels", [1, 3, THIN + 1])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "more"),
    [(4, 2, 1, 0), (3, 2, 1, 1), (3, 2, 1, 0), (5, 3, 0, 2), (2, 2, 0, 1), (4, 4, 1, 1), (5, 2, 4, 0), (1, 2, 0, 1)],
)
def test_thin_transposed_convolutions_are_the_same_function(float64, kernel, stride, padding, more, channels, bias):
    layer = nn.ConvTranspose2d(5, channels, kernel, stride, padding, more, bias=bias)
    (quick,) = fold_batch_norm(nn.Sequential(layer))
    assert isinstance(quick, SubPixel) == (channels <= THIN)
    x = torch.randn(2, 5, 7, 9)
    assert_close(quick(x), layer(x), atol=1e-12, rtol=0)


@pytest.mark.parametrize("unlike", [{"stride": (2, 1)}, {"dilation": 2}, {"groups": 3}, {"stride": 1}])
def test_other_transposed_convolutions_stay(unlike):
    layer = nn.ConvTranspose2d(6, 3, 3, **({"stride": 2} | unlike))
    (same,) = fold_batch_norm(nn.Sequential(layer))
    assert type(same) is nn.ConvTranspose2d


@pytest.mark.parametrize(
    "network", [Conv(filters=(4, 8), kernel=(3,), stride=(2,)), MLP(hidden=(9,), batch_norm="before")]
)
def test_folded_networks_are_the_same_function(float64, network):
    vae = Model(latent=3, network=network).build((1, 9, 10))
    for _ in range(3):
        vae.encoder(torch.randn(20, 1, 9, 10))  # running statistics away from 0 and 1
        vae.decoder(torch.randn(20, 3))
    vae.eval()
    quick = fold_batch_norm(vae)
    norms = nn.BatchNorm1d, nn.BatchNorm2d
    assert any(isinstance(part, norms) for part in vae.modules())
    assert not any(isinstance(part, norms) for part in quick.modules())
    x, z = torch.rand(5, 1, 9, 10), torch.randn(5, 3)
    assert_close(quick.encoder(x), vae.encoder(x), atol=1e-12, rtol=0)
    assert_close(quick.decode(z).mean, vae.decode(z).mean, atol=1e-12, rtol=0)
