"""Probes separate separable classes, are at chance on permuted labels, and are reproducible."""

import pytest
import torch
from torch.testing import assert_close

from vaebench.data.images import Images
from vaebench.evaluation.features import Codes
from vaebench.evaluation.learning_curves import accuracy
from vaebench.evaluation.probes import KNN, PROBES, Head, Logistic
from vaebench.models.networks import MLP, Conv
from vaebench.training.compute import Compute

CPU = Compute(device="cpu", precision="fp32", threads=1)
QUICK = {"head": Head(epochs=30, batch=16)}
CENTRES = torch.tensor([[3.0, 0], [-3, 0], [0, 4]])


def blobs(count, seed, spread=0.5, sampled=False):
    """Three round classes far apart."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    mean = CENTRES[labels] + spread * torch.randn(count, 2, generator=generator)
    return Codes(mean, labels, torch.full((count, 2), -4.0), sampled=sampled)


@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize("name", PROBES)
def test_separable_classes_are_found(name, sampled):
    probe = QUICK.get(name) or PROBES[name]()
    predict = probe.fit(blobs(90, 0, sampled=sampled), 3, 0, CPU)
    test = blobs(300, 1, sampled=sampled)
    assert accuracy(predict, test) > 0.98
    assert_close(predict(test).sum(-1), torch.ones(300))


@pytest.mark.parametrize("name", PROBES)
def test_permuted_labels_fall_to_chance(name):
    train, test = blobs(300, 0), blobs(3000, 1)
    mixed = torch.randperm(300, generator=torch.Generator().manual_seed(3))
    train = Codes(train.mean, train.labels[mixed])
    probe = QUICK.get(name) or PROBES[name]()
    assert accuracy(probe.fit(train, 3, 0, CPU), test) < 0.55


@pytest.mark.parametrize("name", PROBES)
def test_the_same_seed_gives_the_same_predictions(name):
    probe = QUICK.get(name) or PROBES[name]()
    train, test = blobs(60, 0, 2.0, sampled=True), blobs(50, 1, 2.0, sampled=True)
    first, again = (probe.fit(train, 3, 5, CPU)(test) for _ in range(2))
    assert torch.equal(first, again)


def test_nearest_neighbours_by_hand():
    train = Codes(torch.tensor([[0.0], [1.0], [10.0], [11.0]]), torch.tensor([0, 0, 1, 1]))
    probabilities = KNN(neighbours=3).fit(train, 2, 0, CPU)(Codes(torch.tensor([[0.4], [9.0]]), torch.tensor([0, 1])))
    assert_close(probabilities, torch.tensor([[1.0, 0.0], [0.0, 1.0]]))  # k falls to 1: two labels a class


def test_a_class_without_labels_gets_probability_zero():
    train = Codes(torch.tensor([[0.0], [0.1], [5.0], [5.1]]), torch.tensor([0, 0, 2, 2]))
    for probe in (Logistic(), KNN()):
        probabilities = probe.fit(train, 4, 0, CPU)(train)
        assert probabilities.shape == (4, 4)
        assert (probabilities[:, [1, 3]] == 0).all()
        assert probabilities.argmax(-1).tolist() == [0, 0, 2, 2]


def test_a_single_labelled_class_is_always_predicted():
    train = Codes(torch.zeros(3, 2), torch.tensor([1, 1, 1]))
    assert Logistic().fit(train, 2, 0, CPU)(train).argmax(-1).tolist() == [1, 1, 1]


def test_more_penalty_makes_logistic_regression_less_confident():
    train = blobs(30, 0)
    weak, strong = (Logistic(inverse_penalty=c).fit(train, 3, 0, CPU)(train).amax(-1).mean() for c in (10.0, 0.01))
    assert weak > strong + 0.1


def test_a_cnn_classifies_images_and_an_mlp_of_any_width_classifies_codes():
    labels = torch.arange(80) % 2
    pixels = torch.zeros(80, 1, 8, 8, dtype=torch.uint8)
    pixels[labels == 1, :, 2:6, 2:6] = 255
    images = Images(pixels, labels, ("empty", "square"))
    cnn = Head(name="cnn", network=Conv(filters=(4,), kernel=(3,), stride=(2,)), epochs=5, batch=20)
    assert accuracy(cnn.fit(images, 2, 0, CPU), images) == 1.0
    paper_a = MLP(hidden=(40, 40, 30, 20, 10), activation="selu", batch_norm="before")
    large = Head(name="large", network=paper_a, epochs=30, batch=30)
    assert accuracy(large.fit(blobs(90, 0), 3, 0, CPU), blobs(90, 1)) > 0.98


def test_few_labels_still_get_enough_steps():
    slow = Head(epochs=1, batch=64)
    enough = Head(epochs=1, batch=64, least_steps=200)
    train, test = blobs(6, 0), blobs(300, 1)
    assert accuracy(enough.fit(train, 3, 0, CPU), test) > 0.95
    assert slow.fit(train, 3, 0, CPU)(test).amax(-1).mean() < enough.fit(train, 3, 0, CPU)(test).amax(-1).mean()
