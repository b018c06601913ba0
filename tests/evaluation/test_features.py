"""Codes, samples of codes, and baselines with known values."""

import numpy as np
import torch
from sklearn.decomposition import PCA
from torch.testing import assert_close

from vaebench.data.images import Dataset, Images
from vaebench.evaluation.features import Codes, Features, encode, latent_features, pca_features, pixel_features
from vaebench.models.networks import MLP
from vaebench.models.vae import Model


def images(count, seed=0, classes=3):
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (count, 1, 4, 4), generator=generator).to(torch.uint8)
    return Images(pixels, torch.arange(count) % classes, tuple("abc"[:classes]))


def dataset():
    return Dataset("noise", images(60), images(20, 1), images(30, 2))


def vae():
    return Model(latent=3, network=MLP(hidden=(6,))).build((1, 4, 4)).eval()


def test_codes_are_the_posteriors_parameters():
    model, some = vae(), images(25)
    q = model.posterior(some.pixels / 255).base_dist
    codes = encode(model, some)
    assert_close(codes.mean, q.loc.detach())
    assert_close(codes.log_variance, q.scale.detach().square().log())
    assert codes.mean.dtype == torch.float32
    assert torch.equal(codes.labels, some.labels)


def test_sampled_codes_are_fresh_and_have_the_posteriors_moments():
    codes = Codes(torch.tensor([[1.0, -2.0]]), torch.tensor([0]), torch.tensor([[0.0, -2.0]]), sampled=True)
    rows = torch.zeros(100_000, dtype=torch.long)
    z = codes.batch(rows).x
    assert_close(z.mean(0), torch.tensor([1.0, -2.0]), atol=0.02, rtol=0)
    assert_close(z.var(0), torch.tensor([1.0, np.exp(-2.0)], dtype=torch.float32), atol=0.02, rtol=0)
    assert not torch.equal(codes.batch(rows[:1]).x, codes.batch(rows[:1]).x)


def test_standardising_uses_one_scale_and_adjusts_the_variance():
    train = Codes(torch.randn(500, 3) * torch.tensor([4.0, 1, 0.001]) + 7, torch.zeros(500).long(), torch.zeros(500, 3))
    out = train.standardised_by(train)
    assert_close(out.mean.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    assert_close(out.mean.square().mean(), torch.tensor(1.0))
    assert out.mean[:, 2].std() < 0.01  # a dead latent stays small
    ratio = train.mean[:, 0].std() / out.mean[:, 0].std()
    assert_close(out.log_variance, torch.full((500, 3), float(-2 * ratio.log())))


def test_test_images_do_not_affect_the_standardisation():
    data = dataset()
    once = pixel_features(data).standardised()
    brighter = Dataset("x", data.train, data.validation, Images(data.test.pixels * 0 + 255, data.test.labels, ("a",)))
    again = pixel_features(brighter).standardised()
    assert torch.equal(once.train.mean, again.train.mean)


def test_pixels_are_flat_and_in_zero_to_one():
    features = pixel_features(dataset())
    assert_close(features.test.mean, dataset().test.pixels.flatten(1) / 255)


def test_pca_is_fitted_on_the_training_part_alone():
    pixels = pixel_features(dataset())
    got = pca_features(pixels, 5, seed=0)
    oracle = PCA(5, svd_solver="full").fit(pixels.train.mean.double().numpy())
    expected = oracle.transform(pixels.test.mean.double().numpy())
    assert_close(got.test.mean.abs().double(), torch.from_numpy(np.abs(expected)), atol=1e-4, rtol=0)


def test_features_of_all_three_parts_keep_their_labels():
    data = dataset()
    features = latent_features("vae", vae(), data)
    assert isinstance(features, Features)
    for name in ("train", "validation", "test"):
        assert torch.equal(getattr(features, name).labels, getattr(data, name).labels)
    assert features.sampled("vae-sampled").train.sampled
