"""Bounds, log p(x), codes and outlier scores of images with unknown pixels."""

import pytest
import torch
from torch.distributions import MultivariateNormal
from torch.testing import assert_close

from vaebench.classification.outliers import OutlierDetector
from vaebench.core.errors import VaebenchError
from vaebench.data.images import Dataset, Images
from vaebench.evaluation.bounds import bounds
from vaebench.evaluation.evidence import evidence
from vaebench.evaluation.features import encode, pca_features, pixel_features
from vaebench.evaluation.panels import panels
from vaebench.models.likelihoods import GaussianPixels
from vaebench.models.loss import log_likelihood
from vaebench.models.networks import MLP
from vaebench.models.posteriors import LogVariance
from vaebench.models.vae import VAE, Model

SHAPE = (5, 4, 4)


def holes(count=60, shape=SHAPE):
    pixels = torch.rand(count, *shape)
    pixels[torch.rand(count, *shape) < 0.3] = torch.nan
    return Images(pixels, torch.arange(count) % 3, ("a", "b", "c"))


def model(**fields):
    return Model(latent=3, network=MLP(hidden=(8,)), **fields).build(SHAPE).eval()


def test_bounds_count_known_pixels_only():
    vae, images = model(), holes()
    found = bounds(vae, images, seed=4)
    batch = images.batch(torch.arange(60))
    torch.manual_seed(4)
    with torch.no_grad():
        p = vae.decode(vae.posterior(batch.x).rsample())
    per_pixel = p.base_dist.log_prob(batch.x)
    assert_close(
        found.reconstruction,
        -torch.stack([row[known].sum() for row, known in zip(per_pixel, batch.known, strict=True)]),
    )


def test_certain_and_wrong_is_a_fraction_of_the_known_pixels():
    pixels = torch.zeros(4, *SHAPE)
    pixels[:, 0] = torch.nan
    vae = model()
    last = [module for module in vae.decoder.modules() if isinstance(module, torch.nn.Linear)][-1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.tensor([30.0, 30.0, -30.0, -30.0, -30.0]).repeat_interleave(16))
    found = bounds(vae, Images(pixels, torch.full((4,), -1)))
    assert found.saturated == pytest.approx(1 / 4)  # one of the four known channels


def test_the_evidence_is_that_of_the_known_pixels(float64):
    known = torch.ones(12, dtype=torch.bool)
    known[[0, 3, 8, 11]] = False
    w, b, scale = torch.randn(12, 2), torch.rand(12), 0.8
    w[known] = torch.linalg.qr(torch.randn(8, 2))[0] * torch.tensor([1.5, 0.6])
    precision = 1 + (w[known] * w[known]).sum(0) / scale**2
    encode_matrix = (w * known[:, None]).T / scale**2 / precision[:, None]
    encoder, decoder = torch.nn.Linear(12, 4), torch.nn.Linear(2, 12)
    with torch.no_grad():
        encoder.weight.copy_(torch.cat([encode_matrix, torch.zeros(2, 12)]))
        encoder.bias.copy_(torch.cat([-encode_matrix @ b, -precision.log()]))
        decoder.weight.copy_(w)
        decoder.bias.copy_(b)
    vae = VAE(
        torch.nn.Sequential(torch.nn.Flatten(), encoder),
        torch.nn.Sequential(decoder, torch.nn.Unflatten(1, (1, 3, 4))),
        2, LogVariance(), GaussianPixels(scale=scale),
    )  # fmt: skip
    x = torch.rand(8, 12, dtype=torch.float32)
    images = Images(x.masked_fill(~known, torch.nan).view(8, 1, 3, 4), torch.full((8,), -1))
    covariance = w[known] @ w[known].T + scale**2 * torch.eye(8)
    truth = MultivariateNormal(b[known], covariance).log_prob(x[:, known].double())
    found = evidence(vae, images, 7)
    assert_close(found.log_px, truth, atol=1e-9, rtol=0)
    with pytest.raises(VaebenchError, match="dequantise is set, but the pixels are floats"):
        evidence(vae, images, 7, dequantise=True)


def test_codes_pixels_components_and_figures_are_finite():
    vae, images = model(likelihood={"kind": "gaussian"}), holes()
    data = Dataset("holes", images, images.take(slice(20)), images.take(slice(30)))
    pixels = pixel_features(data)
    for codes in (encode(vae, images), pixels.train, pca_features(pixels, 4, 0).test):
        assert torch.isfinite(codes.mean).all()
    arrays = panels(vae, data.test, encode(vae, data.test), bounds(vae, data.test), 0)
    for name in ("reconstruction_images", "reconstruction_outputs", "worst_images", "map_images"):
        assert arrays[name].dtype == "uint8"
        assert arrays[name].shape[1:] == SHAPE


def test_outlier_statistics_leave_unknown_pixels_out():
    vae, images = model(), holes()
    detector, scores = OutlierDetector.fit(vae, images, encode(vae, images).mean.numpy())
    assert scores.shape == (60,)
    batch = images.batch(torch.arange(60))
    with torch.no_grad():
        loss = -log_likelihood(vae.decode(vae.posterior(batch.x).mean), batch)
    assert_close(torch.from_numpy(detector.statistics(images)[:, 1]), torch.asinh(loss).double(), atol=1e-5, rtol=0)
