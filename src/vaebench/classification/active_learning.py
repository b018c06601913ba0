"""What to label next: images that the classifier doubts, spread over the latent space, none of them twice."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int
from sklearn.cluster import KMeans
from sklearn.neighbors import NearestNeighbors

DOUBTED = 20
"""For each image that is asked for, so many of the most doubtful are looked at."""
ALIKE = 0.1
"""Codes nearer than this share of the median distance to a fifth neighbour are of near-duplicates."""


def uncertainty(probabilities: Float[np.ndarray, "N Y"]) -> Float[np.ndarray, " N"]:
    """1 less the lead of the first class over the second: 1 is a toss-up, 0 is certain."""
    ordered = np.sort(probabilities, axis=1)
    found: np.ndarray = 1 - (ordered[:, -1] - ordered[:, -2])
    return found


def to_label_next(
    codes: Float[np.ndarray, "N D"],
    probabilities: Float[np.ndarray, "N Y"],
    labelled: Int[np.ndarray, " M"],
    count: int,
    passed_over: Bool[np.ndarray, " N"] | None = None,
    seed: int = 0,
) -> Int[np.ndarray, " K"]:
    """Rows of at most ``count`` images without a label, the most doubtful first.

    The most doubtful are put into ``count`` groups by their codes, each weighing as much as its doubt, and of each
    group the one nearest its centre is taken: Zhdanov 2019, "Diverse mini-batch active learning", section 3.
    Near-duplicates of what is labelled or taken already are left out.

    Args:
        codes: of all images.
        probabilities: of each class, by the classifier at hand.
        labelled: rows that have a label.
        count: images that a person will label.
        passed_over: images that shall not be asked for, such as those unlike the rest.
        seed: of the clustering.
    """
    free = np.ones(len(codes), dtype=bool)
    free[labelled] = False
    if passed_over is not None:
        free &= ~passed_over
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(free))  # of equal doubts, no part of a folder first
    if not len(rows):
        return rows
    doubts = uncertainty(probabilities)
    rows = rows[np.argsort(-doubts[rows], kind="stable")[: DOUBTED * count]]
    near = _near(codes)
    taken: list[int] = []
    for row in _of_groups(codes, doubts, rows, min(count, len(rows)), seed):
        known = np.concatenate([labelled, np.array(taken, dtype=np.int64)])
        if not len(known) or np.linalg.norm(codes[known] - codes[row], axis=1).min() > near:
            taken.append(int(row))
    found = np.array(taken, dtype=np.int64)
    return found[np.argsort(-doubts[found], kind="stable")]


def _of_groups(codes: np.ndarray, doubts: np.ndarray, rows: np.ndarray, count: int, seed: int) -> np.ndarray:
    """The row nearest the centre of each group."""
    weights = np.maximum(doubts[rows], 1e-6)
    groups = KMeans(count, n_init=4, random_state=seed).fit(codes[rows], sample_weight=weights)
    distances = groups.transform(codes[rows])
    chosen = []
    for group in range(count):
        members = np.flatnonzero(groups.labels_ == group)
        if len(members):
            chosen.append(rows[members[distances[members, group].argmin()]])
    return np.array(chosen)


def _near(codes: np.ndarray) -> float:
    """The distance below which two codes are of near-duplicates."""
    some = codes[np.linspace(0, len(codes) - 1, min(2000, len(codes))).astype(int)]
    found = NearestNeighbors(n_neighbors=min(6, len(codes))).fit(codes).kneighbors(some)[0][:, -1]
    return ALIKE * float(np.median(found))
