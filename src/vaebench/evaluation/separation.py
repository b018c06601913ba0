"""Class separation in a code: silhouette, kNN and linear accuracy, of classes and of groups of classes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from sklearn.metrics import silhouette_score
from torch import Tensor

from vaebench.evaluation.features import Codes
from vaebench.evaluation.probes import KNN, Logistic
from vaebench.evaluation.scores import classification_scores
from vaebench.training.compute import Compute

SILHOUETTE_POINTS = 2000


def separation(train: Codes, test: Codes, classes: int, compute: Compute) -> dict[str, Any]:
    """Class separation as JSON values.

    Returns:
        ``silhouette`` of 2,000 evenly spaced test codes (in [-1, 1], 0 if all codes are equal; Rousseeuw 1987), test
        accuracy of a ``knn`` and a ``linear`` probe of the training codes, and the kNN's ``confusion`` (rows true).
    """
    knn = classification_scores(KNN().fit(train, classes, 0, compute)(test), test.labels)
    scaled = train.standardised_by(train), test.standardised_by(train)
    linear = classification_scores(Logistic().fit(scaled[0], classes, 0, compute)(scaled[1]), test.labels)
    return {
        "silhouette": _silhouette(test),
        "knn": knn["accuracy"],
        "linear": linear["accuracy"],
        "confusion": knn["confusion"],
    }


def _silhouette(codes: Codes) -> float:
    rows = torch.linspace(0, len(codes) - 1, min(SILHOUETTE_POINTS, len(codes))).long()
    points, labels = codes.mean[rows].numpy(), codes.labels[rows].numpy()
    if len(np.unique(labels)) < 2 or len(np.unique(points, axis=0)) < 2:
        return 0.0
    return float(silhouette_score(points, labels))


def in_groups(codes: Codes, classes: Sequence[str], first: Collection[str]) -> Codes:
    """These codes with two labels: 0 for the classes named in ``first``, 1 for all others."""
    group: Int[Tensor, " Y"] = torch.tensor([0 if name in first else 1 for name in classes])
    return replace(codes, labels=group[codes.labels])
