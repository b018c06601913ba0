"""Clustering accuracy: agreement of clusters, found without labels, with classes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int


def clustering_accuracy(clusters: Int[np.ndarray, " N"], labels: Int[np.ndarray, " N"]) -> float:
    """Fraction of images whose cluster is assigned to their class, under the best one-to-one assignment.

    Xie et al. 2016, "Unsupervised deep embedding for clustering analysis", eq. 10, by the Hungarian method. Of more
    clusters than classes the surplus is assigned to none. The assignment is made with all ``labels``.
    """
    counts = np.zeros((clusters.max() + 1, labels.max() + 1), dtype=int)
    np.add.at(counts, (clusters, labels), 1)
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(counts, maximize=True)
    return float(counts[rows, columns].sum() / len(labels))
