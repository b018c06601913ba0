"""Separation of clouds with known distances."""

import pytest
import torch

from vaebench.evaluation.features import Codes
from vaebench.evaluation.scores import in_groups, separation
from vaebench.training.compute import Compute

COMPUTE = Compute(threads=1).resolve()


def clouds(distance, n=900, seed=0):
    """Three round clouds of unit spread on a line, ``distance`` apart."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 3
    centre = torch.stack([labels * float(distance), torch.zeros(n)], 1)
    return Codes(centre + torch.randn(n, 2, generator=generator), labels)


def test_far_clouds_are_separate_by_every_measure():
    found = separation(clouds(50), clouds(50, seed=1), 3, COMPUTE)
    assert found["silhouette"] > 0.9
    assert found["knn"] == found["linear"] == 1.0
    assert [row[i] for i, row in enumerate(found["confusion"])] == [300, 300, 300]


def test_one_cloud_is_chance():
    found = separation(clouds(0), clouds(0, seed=1), 3, COMPUTE)
    assert abs(found["silhouette"]) < 0.05
    assert found["knn"] == pytest.approx(1 / 3, abs=0.06)
    assert found["linear"] == pytest.approx(1 / 3, abs=0.06)


def test_a_collapsed_code_has_no_silhouette():
    labels = torch.arange(60) % 3
    same = Codes(torch.zeros(60, 2), labels)
    assert separation(same, same, 3, COMPUTE)["silhouette"] == 0.0


def test_groups_take_classes_by_name():
    codes = Codes(torch.zeros(4, 1), torch.tensor([0, 1, 2, 1]))
    grouped = in_groups(codes, ("ship", "cat", "truck"), {"ship", "truck"})
    assert grouped.labels.tolist() == [0, 1, 0, 1]
