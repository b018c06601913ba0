"""Selection of the images to label next: those that are typical of many images that no label says anything about."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse

from vaebench.semi_supervised.graphs import SHARPNESS, Graph, nearest
from vaebench.semi_supervised.label_propagation import PropagationByLabelCount

SAMPLE = 10_000
"""Images that are compared with each other, at most half of them labelled."""
MIN_NEIGHBOURS, MAX_NEIGHBOURS = 5, 300
OVERLAP = 4
"""Neighbours that an image is similar to, in images per label, given and next; within the bounds above."""
CERTAIN = 0.5
"""Weight of the image with the most certain label; that of the most uncertain one is 1 more."""
COVERED = 0.99
"""Similarity to a labelled or selected image above which an image is not selected, as a near-duplicate."""


def select_to_label_next(
    codes: Float[np.ndarray, "N D"],
    rows: Int[np.ndarray, " M"],
    labels: Int[np.ndarray, " M"],
    count: int,
    excluded: Bool[np.ndarray, " N"] | None = None,
) -> Int[np.ndarray, " K"]:
    """Return the rows of at most ``count`` unlabelled images, the one to label first at the beginning.

    They are selected greedily, each as the one that adds most to the coverage of all images, sum_n u_n max_s k(n, s)
    over labelled and selected images s: Bae et al. 2024, "Generalized coverage for more robust low-budget active
    learning" (MaxHerding). The weight u_n rises with the uncertainty of label propagation, as in Bae et al. 2025,
    "Uncertainty herding: one active learning method for all label budgets"; without labels it is the same for all.

    Args:
        codes: latent means of all images.
        rows: rows of the labelled images.
        labels: their class indices.
        count: number of images that a person will label.
        excluded: images that are never selected, such as outliers.
    """
    sample = _sample(len(codes), rows)
    known = np.flatnonzero(np.isin(sample, rows))
    candidates = np.ones(len(sample), dtype=bool) if excluded is None else ~excluded[sample]
    candidates[known] = False
    if not candidates.any():
        return np.array([], dtype=np.int64)
    inside = codes[sample]
    class_of = dict(zip(rows.tolist(), labels.tolist(), strict=True))
    given = np.array([class_of[row] for row in sample[known].tolist()], dtype=np.int64)
    weights = CERTAIN + propagation_uncertainty(inside, known, given)
    neighbours = min(MAX_NEIGHBOURS, max(MIN_NEIGHBOURS, OVERLAP * len(sample) // (len(known) + count)))
    selected: np.ndarray = sample[greedy_coverage(similarities(inside, neighbours), weights, known, candidates, count)]
    return selected


def _sample(images: int, labelled: Int[np.ndarray, " M"]) -> Int[np.ndarray, " S"]:
    """Rows of a random sample, ascending, with as many labelled ones as there are, up to half of it."""
    generator = np.random.default_rng(0)
    known = generator.permutation(labelled)[: SAMPLE // 2]
    unlabelled = generator.permutation(np.setdiff1d(np.arange(images), labelled))[: SAMPLE - len(known)]
    return np.sort(np.concatenate([known, unlabelled]).astype(np.int64))


def similarities(codes: Float[np.ndarray, "N D"], neighbours: int) -> sparse.csr_array:
    """Return k(i, j) = exp(-4 d_ij^2 / d_iK^2), (N, N), of each i and its K nearest codes, itself included.

    d_iK is the distance to the farthest of them, as in :class:`vaebench.semi_supervised.graphs.Graph`; of k(i, j) and
    k(j, i) both become the larger.
    """
    count = min(neighbours, len(codes))
    distances, rows = nearest(codes, codes, count)
    squares = distances.astype(np.float64) ** 2
    farthest = np.where(squares[:, -1:] > 0, squares[:, -1:], 1.0)
    values, starts = np.exp(-SHARPNESS * squares / farthest), np.arange(len(codes) + 1) * count
    matrix = sparse.csr_array((values.ravel(), rows.ravel(), starts), shape=(len(codes), len(codes)))
    return sparse.csr_array(matrix.maximum(matrix.T))


def greedy_coverage(
    similarity: sparse.csr_array,
    weights: Float[np.ndarray, " N"],
    known: Int[np.ndarray, " M"],
    candidates: Bool[np.ndarray, " N"],
    count: int,
) -> Int[np.ndarray, " K"]:
    """Return at most ``count`` candidates, each the one that adds most to sum_n weights_n max_s similarity(n, s).

    The maximum is over the known and the selected s. Candidates that one of these covers to ``COVERED`` are left out.
    """
    coverage = np.zeros(len(weights))
    if len(known):
        coverage = similarity[:, known].max(axis=1).toarray().ravel()
    image = np.repeat(np.arange(len(weights)), np.diff(similarity.indptr))
    selected: list[int] = []
    for _ in range(count):
        added = weights[image] * np.maximum(similarity.data - coverage[image], 0)
        gains = np.bincount(similarity.indices, added, len(weights))
        gains[~candidates | (coverage >= COVERED)] = -1
        best = int(gains.argmax())
        if gains[best] < 0:
            break
        selected.append(best)
        span = slice(similarity.indptr[best], similarity.indptr[best + 1])
        neighbours = similarity.indices[span]
        coverage[neighbours] = np.maximum(coverage[neighbours], similarity.data[span])
    return np.array(selected, dtype=np.int64)


def propagation_uncertainty(
    codes: Float[np.ndarray, "N D"], rows: Int[np.ndarray, " M"], labels: Int[np.ndarray, " M"]
) -> Float[np.ndarray, " N"]:
    """Return the uncertainty of labels that are propagated along the neighbour graph, 1 where only one class has any.

    The uncertainty of an image is the fraction of the images with a larger margin between their two highest scores,
    as the scale of the scores depends on the method of propagation.
    """
    classes, numbers = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        return np.ones(len(codes))
    scores = PropagationByLabelCount().propagate(Graph.from_codes(codes), rows, numbers, len(classes))
    ordered = np.sort(scores, axis=1)
    margins = ordered[:, -1] - ordered[:, -2]
    return np.asarray(1 - np.searchsorted(np.sort(margins), margins, side="right") / len(codes))
