"""Scores of a classifier against values computed by hand, and its curves."""

import math

import pytest
import torch

from vaebench.evaluation.features import Codes
from vaebench.evaluation.probes import Head, Logistic
from vaebench.evaluation.scores import Split, classification_scores, count_parameters, head_curves, score
from vaebench.models.networks import MLP
from vaebench.training.compute import Compute
from vaebench.training.schedules import Adam

COMPUTE = Compute(threads=1, precision="fp32").resolve()


def codes(n, seed):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 3
    return Codes(torch.nn.functional.one_hot(labels, 3).float() * 6 + torch.randn(n, 3, generator=generator), labels)


SPLIT = Split(codes(300, 0), codes(90, 1), codes(120, 2))


def test_classification_scores_by_hand():
    p = torch.tensor([[0.5, 0.5, 0.0], [0.1, 0.2, 0.7], [0.8, 0.1, 0.1], [0.0, 1.0, 0.0]])
    labels = torch.tensor([0, 2, 1, 2])
    found = classification_scores(p, labels)
    assert found["accuracy"] == 0.5
    nats = -(math.log(0.5) + math.log(0.7) + math.log(0.1) + math.log(1e-12)) / 4
    assert found["cross_entropy"] == pytest.approx(nats, rel=1e-6)
    assert found["confusion"] == [[1, 0, 0], [1, 0, 0], [0, 1, 1]]


def test_score_fits_on_train_and_tests_on_test():
    found = score(Logistic(), SPLIT, 3, 0, COMPUTE)
    assert found["accuracy"] > 0.97
    assert sum(map(sum, found["confusion"])) == 120
    wrong = Split(SPLIT.train, Codes(SPLIT.validation.mean, (SPLIT.validation.labels + 1) % 3), SPLIT.test)
    assert found["validation_accuracy"] > 0.97
    assert score(Logistic(), wrong, 3, 0, COMPUTE)["validation_accuracy"] < 0.03
    swapped = Split(SPLIT.train, SPLIT.validation, Codes(SPLIT.test.mean, (SPLIT.test.labels + 1) % 3))
    assert score(Logistic(), swapped, 3, 0, COMPUTE)["accuracy"] < 0.03


def test_curves_have_a_record_per_epoch_and_validation_selects_the_epoch():
    head = Head(network=MLP(hidden=(8,)), epochs=6, batch=32, optimiser=Adam(rate=1e-2))
    found = head_curves(head, SPLIT, 3, 0, COMPUTE)
    assert [record["epoch"] for record in found["epochs"]] == [1, 2, 3, 4, 5, 6]
    losses = [record["validation_loss"] for record in found["epochs"]]
    assert found["best_epoch"] == losses.index(min(losses)) + 1
    chosen = found["epochs"][found["best_epoch"] - 1]
    assert found["accuracy"] == pytest.approx(chosen["test_accuracy"], abs=1e-6)
    assert found["cross_entropy"] == pytest.approx(chosen["test_loss"], abs=1e-5)
    assert found["parameters"] == count_parameters(MLP(hidden=(8,)).encoder((3, 1, 1), 3)) == 3 * 8 + 8 + 8 * 3 + 3


def test_the_test_part_selects_nothing():
    head = Head(network=MLP(hidden=(8,)), epochs=4, batch=32, optimiser=Adam(rate=1e-2))
    other = Split(SPLIT.train, SPLIT.validation, Codes(SPLIT.test.mean * -1, SPLIT.test.labels))
    first, second = (head_curves(head, split, 3, 0, COMPUTE) for split in (SPLIT, other))
    for a, b in zip(first["epochs"], second["epochs"], strict=True):
        assert {k: v for k, v in a.items() if "test" not in k} == {k: v for k, v in b.items() if "test" not in k}
    assert first["best_epoch"] == second["best_epoch"]
