"""Rarity: noise and blank images are unlike digits; digits that were never seen are not."""

import numpy as np
import torch
from sklearn.datasets import load_digits

from vaebench.classification.outliers import LIMIT, OutlierDetector, load_outlier_detector
from vaebench.data.images import HIDDEN, Images


def images(pixels):
    return Images(torch.as_tensor(pixels, dtype=torch.uint8), torch.full((len(pixels),), HIDDEN))


def new_digits(count=300):
    pixels = (load_digits().images[600 : 600 + count] * 255 / 16).astype(np.uint8)
    return images(pixels[:, None])


def test_noise_and_white_are_unlike_the_rest_and_new_digits_are_not(bench):
    rarity, scores = OutlierDetector.of(bench.vae, bench.images, bench.means)
    noise = np.random.default_rng(0).integers(0, 256, (50, 1, 8, 8))
    assert (rarity.scores(images(noise)) > LIMIT).mean() > 0.95
    assert (rarity.scores(images(np.full((2, 1, 8, 8), 255))) > LIMIT).all()
    assert (rarity.scores(new_digits()) > LIMIT).mean() < 0.02
    assert (scores > LIMIT).mean() < 0.02
    np.testing.assert_allclose(scores, rarity.scores(bench.images))


def test_an_image_is_not_its_own_neighbour(bench):
    rarity, _ = OutlierDetector.of(bench.vae, bench.images, bench.means)
    with_itself = rarity.measures(bench.images.take(slice(0, 5)))[:, 0]
    codes = rarity.codes
    for row in range(5):
        distances = np.sort(np.linalg.norm(codes - codes[row], axis=1))
        assert np.isclose(with_itself[row], np.log(distances[1:11].mean() + 1e-9), atol=1e-3)


def test_it_is_kept(bench, tmp_path):
    rarity, _ = OutlierDetector.of(bench.vae, bench.images, bench.means)
    rarity.save(tmp_path)
    again = load_outlier_detector(bench.model.build((1, 8, 8)), tmp_path)
    np.testing.assert_allclose(rarity.scores(new_digits(20)), again.scores(new_digits(20)), atol=1e-5)  # layout
