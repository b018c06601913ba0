"""Frechet distance, precision, recall and authenticity on cases with known values; the classifier on digits."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import linalg

from vaebench.data.datasets import Data
from vaebench.evaluation.evaluation_classifier import EvaluationClassifier
from vaebench.evaluation.features import encode
from vaebench.evaluation.fidelity import authenticity, fidelity, frechet_distance, nearest, precision_recall
from vaebench.models.vae import Model
from vaebench.training.compute import Compute

ALONE = Compute(device="cpu", precision="fp32", threads=1)


def cloud(count, dimensions, seed, scale=1.0, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, dimensions, generator=generator, dtype=torch.float64) * scale + shift


@pytest.fixture(scope="module")
def digits():
    return Data(source="digits").load()


@pytest.fixture(scope="module")
def classifier(digits):
    return EvaluationClassifier.fit(digits, ALONE)


def test_the_frechet_distance_of_one_dimension_is_by_hand():
    first, second = cloud(4000, 1, 0, 1.0), cloud(4000, 1, 1, 3.0, 2.0)
    by_hand = float((first.mean() - second.mean()) ** 2 + (first.std() - second.std()) ** 2)
    assert frechet_distance(first, second) == pytest.approx(by_hand, rel=1e-9)
    assert by_hand == pytest.approx(8, rel=0.1)  # (0 - 2)^2 + (1 - 3)^2


def test_the_frechet_distance_is_that_of_the_formula_with_scipys_root():
    first = cloud(300, 5, 0) @ cloud(5, 5, 1)
    second = cloud(300, 5, 2) @ cloud(5, 5, 3) + 0.5
    a, b = np.cov(first.numpy().T), np.cov(second.numpy().T)
    means = first.mean(0) - second.mean(0)
    expected = float(means @ means) + np.trace(a + b - 2 * linalg.sqrtm(a @ b).real)
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(first, second) == pytest.approx(frechet_distance(second, first), rel=1e-9)


def test_the_frechet_distance_of_a_set_to_itself_is_zero_and_turning_both_changes_nothing():
    first, second = cloud(200, 4, 0), cloud(200, 4, 1, 2.0)
    turn = torch.linalg.qr(cloud(4, 4, 2)).Q
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(first @ turn, second @ turn) == pytest.approx(frechet_distance(first, second), rel=1e-9)


def test_precision_and_recall_of_the_same_cloud_are_high_and_of_clouds_apart_are_zero():
    real = cloud(400, 3, 0)
    precision, recall = precision_recall(real, cloud(400, 3, 1))
    assert min(precision, recall) > 0.8
    assert precision_recall(real, cloud(400, 3, 1, shift=100.0)) == (0.0, 0.0)


def test_half_of_the_modes_have_precision_one_and_recall_one_half():
    here, there = cloud(100, 2, 0, 0.01), cloud(100, 2, 1, 0.01, 10.0)
    dense = torch.cat([here, here + 1e-4])  # every real image of this mode lies among them
    precision, recall = precision_recall(torch.cat([here, there]), dense)
    assert precision == 1.0
    assert recall == pytest.approx(0.5, abs=1e-9)


def test_precision_and_recall_by_hand_with_one_neighbour():
    real = torch.tensor([[0.0], [1.0], [2.0], [10.0]])
    generated = torch.tensor([[0.5], [6.0]])
    # with k = 1 the real balls have radii 1, 1, 1, 8: 0.5 lies in three, 6 in the last alone
    assert precision_recall(real, generated, neighbours=1)[0] == 1.0
    # the generated balls both have radius 5.5: 10 lies within that of 6, all others within that of 0.5
    assert precision_recall(real, generated, neighbours=1)[1] == 1.0
    assert precision_recall(torch.tensor([[0.0], [1.0], [2.0]]), generated, neighbours=1)[0] == 0.5


def test_the_nearest_is_the_nearest_and_skipping_gives_the_next():
    others = torch.tensor([[0.0], [3.0], [5.0]])
    rows, distance = nearest(torch.tensor([[0.5], [4.4]]), others)
    assert (rows.tolist(), distance.tolist()) == ([0, 2], pytest.approx([0.5, 0.6]))
    assert nearest(others, others, skip=1)[0].tolist() == [1, 2, 1]


def test_copies_are_not_authentic_and_new_draws_are_so_in_about_half_of_the_cases():
    train = cloud(1000, 4, 0)
    assert authenticity(train, train[:300] + 1e-6) == 0.0
    assert authenticity(train, cloud(1000, 4, 1)) == pytest.approx(0.5, abs=0.12)
    assert authenticity(train, cloud(100, 4, 1, shift=50.0)) == 1.0


def test_the_evaluation_classifier_is_accurate_and_reproducible(digits, classifier):
    assert classifier.accuracy > 0.95
    again = EvaluationClassifier.fit(digits, ALONE)
    some = digits.test.take(slice(0, 50))
    assert torch.equal(classifier.predict(some).features, again.predict(some).features)
    seen = classifier.predict(digits.test)
    assert seen.features.shape == (len(digits.test), 64)
    torch.testing.assert_close(seen.probabilities.sum(1), torch.ones(len(digits.test)))


def test_training_images_score_best_and_an_untrained_decoder_scores_badly(digits, classifier):
    torch.manual_seed(0)
    vae = Model(latent=4).build(digits.train.shape).eval()
    found = fidelity(vae, digits, (encode(vae, digits.train), encode(vae, digits.test)), classifier, 300, 0)
    assert found.images == 300
    real, generated = found.scores["training images"], found.scores["samples"]
    assert real["frechet"] < generated["frechet"] / 3
    assert real["precision"] > 0.8
    # samples are one grey picture: their precision is 0 or 1, by the classifier's seed
    assert real["recall"] > 0.8 > 0.05 > generated["recall"]
    assert real["inception_score"] > 8
    assert found.samples.shape == found.nearest.shape == (16, 1, 8, 8)


def test_a_decoder_that_copies_training_images_has_low_authenticity(digits, classifier):
    """The samples of the decoder are training images."""
    torch.manual_seed(0)
    vae = Model(latent=4).build(digits.train.shape).eval()

    class Copies(torch.nn.Module):
        turn = 0

        def forward(self, z):
            rows = torch.arange(self.turn, self.turn + len(z)) % len(digits.train)
            type(self).turn += len(z)
            return torch.logit(digits.train.batch(rows).x.clamp(1e-4, 1 - 1e-4))

    vae.decoder = Copies()
    found = fidelity(vae, digits, (encode(vae, digits.train), encode(vae, digits.test)), classifier, 200, 0)
    assert found.scores["samples"]["authenticity"] < 0.05
    assert found.scores["samples"]["frechet"] < 3 * found.scores["training images"]["frechet"]
    np.testing.assert_array_equal(found.samples, found.nearest)


def test_a_small_test_part_limits_the_number_of_images(digits, classifier):
    torch.manual_seed(0)
    vae = Model(latent=4).build(digits.train.shape).eval()
    small = replace(digits, test=digits.test.take(slice(0, 60)))
    found = fidelity(vae, small, (encode(vae, small.train), encode(vae, small.test)), classifier, 2000, 0)
    assert found.images == 60
    assert all(math.isfinite(value) for scores in found.scores.values() for value in scores.values())


def test_generated_images_of_binarised_data_are_black_and_white():
    data = Data(source="digits", binarised=True).load()
    torch.manual_seed(0)
    vae = Model(latent=4).build(data.train.shape).eval()
    found = fidelity(
        vae, data, (encode(vae, data.train), encode(vae, data.test)), EvaluationClassifier.fit(data, ALONE), 100, 0
    )
    assert set(np.unique(found.samples)) == {0, 255}
