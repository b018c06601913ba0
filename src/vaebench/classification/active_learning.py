"""Selection of the images to label next: uncertain, spread over the latent space, without near-duplicates."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int
from sklearn.cluster import KMeans
from sklearn.neighbors import NearestNeighbors

CANDIDATES = 20
"""Most uncertain images considered for each requested image."""
DUPLICATE_DISTANCE = 0.1
"""Fraction of the median distance to the fifth neighbour below which two codes count as near-duplicates."""


def uncertainty(probabilities: Float[np.ndarray, "N Y"]) -> Float[np.ndarray, " N"]:
    """One minus the margin between the two most probable classes, shape (N,): 1 is a tie, 0 is certain."""
    ordered = np.sort(probabilities, axis=1)
    margin: np.ndarray = ordered[:, -1] - ordered[:, -2]
    return 1 - margin


def select_to_label_next(
    codes: Float[np.ndarray, "N D"],
    probabilities: Float[np.ndarray, "N Y"],
    labelled: Int[np.ndarray, " M"],
    count: int,
    excluded: Bool[np.ndarray, " N"] | None = None,
    seed: int = 0,
) -> Int[np.ndarray, " K"]:
    """Return the rows of at most ``count`` unlabelled images, the most uncertain first.

    K-means, weighted by uncertainty, divides the codes of the most uncertain images into ``count`` clusters, and the
    image nearest to each centre is selected: Zhdanov 2019, "Diverse mini-batch active learning", section 3.
    Near-duplicates of labelled or already selected images are left out.

    Args:
        codes: latent means of all images.
        probabilities: class probabilities of all images.
        labelled: rows of the labelled images.
        count: number of images that a person will label.
        excluded: images that are never selected, such as outliers.
        seed: random seed of the clustering.
    """
    candidate = np.ones(len(codes), dtype=bool)
    candidate[labelled] = False
    if excluded is not None:
        candidate &= ~excluded
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(candidate))  # ties must not follow the file order
    if not len(rows):
        return rows
    uncertainties = uncertainty(probabilities)
    rows = rows[np.argsort(-uncertainties[rows], kind="stable")[: CANDIDATES * count]]
    min_distance = _duplicate_distance(codes)
    selected: list[int] = []
    for row in _nearest_to_centres(codes, uncertainties, rows, min(count, len(rows)), seed):
        known = np.concatenate([labelled, np.array(selected, dtype=np.int64)])
        if not len(known) or np.linalg.norm(codes[known] - codes[row], axis=1).min() > min_distance:
            selected.append(int(row))
    result = np.array(selected, dtype=np.int64)
    return result[np.argsort(-uncertainties[result], kind="stable")]


def _nearest_to_centres(
    codes: np.ndarray, uncertainties: np.ndarray, rows: np.ndarray, clusters: int, seed: int
) -> np.ndarray:
    weights = np.maximum(uncertainties[rows], 1e-6)
    kmeans = KMeans(clusters, n_init=4, random_state=seed).fit(codes[rows], sample_weight=weights)
    distances = kmeans.transform(codes[rows])
    nearest = []
    for cluster in np.unique(kmeans.labels_):
        members = np.flatnonzero(kmeans.labels_ == cluster)
        nearest.append(rows[members[distances[members, cluster].argmin()]])
    return np.array(nearest)


def _duplicate_distance(codes: np.ndarray) -> float:
    sample = codes[np.linspace(0, len(codes) - 1, min(2000, len(codes))).astype(int)]
    fifth = NearestNeighbors(n_neighbors=min(6, len(codes))).fit(codes).kneighbors(sample)[0][:, -1]
    return DUPLICATE_DISTANCE * float(np.median(fifth))
