"""Noise and blank images are outliers among digits; new digits are not."""

import numpy as np
import torch
from sklearn.datasets import load_digits

from vaebench.classification.outliers import THRESHOLD, OutlierDetector, load_outlier_detector
from vaebench.data.images import HIDDEN, Images


def images(pixels):
    return Images(torch.as_tensor(pixels, dtype=torch.uint8), torch.full((len(pixels),), HIDDEN))


def new_digits(count=300):
    pixels = (load_digits().images[600 : 600 + count] * 255 / 16).astype(np.uint8)
    return images(pixels[:, None])


def test_noise_and_white_images_are_outliers_and_new_digits_are_not(context):
    detector, scores = OutlierDetector.fit(context.vae, context.images, context.means)
    noise = np.random.default_rng(0).integers(0, 256, (50, 1, 8, 8))
    assert (detector.scores(images(noise)) > THRESHOLD).mean() > 0.95
    assert (detector.scores(images(np.full((2, 1, 8, 8), 255))) > THRESHOLD).all()
    assert (detector.scores(new_digits()) > THRESHOLD).mean() < 0.02
    assert (scores > THRESHOLD).mean() < 0.02
    np.testing.assert_allclose(scores, detector.scores(context.images))


def test_an_image_is_not_its_own_neighbour(context):
    detector, _ = OutlierDetector.fit(context.vae, context.images, context.means)
    with_itself = detector.statistics(context.images.take(slice(0, 5)))[:, 0]
    codes = detector.codes
    for row in range(5):
        distances = np.sort(np.linalg.norm(codes - codes[row], axis=1))
        assert np.isclose(with_itself[row], np.log(distances[1:11].mean() + 1e-9), atol=1e-3)


def test_a_saved_detector_gives_the_same_scores(context, tmp_path):
    detector, _ = OutlierDetector.fit(context.vae, context.images, context.means)
    detector.save(tmp_path)
    again = load_outlier_detector(context.settings.model.build((1, 8, 8)), tmp_path)
    np.testing.assert_allclose(detector.scores(new_digits(20)), again.scores(new_digits(20)), atol=1e-5)  # layout
