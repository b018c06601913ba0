"""SCORES: whether single latents stand for single factors, where the factors of images are known.

All read posterior means. Settings are those of Locatello et al. 2019, "Challenging common assumptions", where the
papers leave them open.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.tree import DecisionTreeClassifier

BINS = 20
"""Of equal width, into which a latent is cut for its mutual information with a factor."""
TRAINED, TESTED = 5000, 5000
"""Images that a reader of factors learns from, and is tested on."""
VOTES, PER_VOTE = 800, 64
"""Pairs of (code, factor) that a classifier of factors learns from, and as many to test it; images behind each."""
STILL = 0.05
"""Latents whose means have a variance below this share of the prior's are left out of votes."""


@dataclass(frozen=True)
class FactorCodes:
    """Codes of images of every combination of some factors, each combination once.

    ``codes`` (N, D) are posterior means, ``factors`` (N, K) the values of the factors, each counted from 0.
    """

    codes: Float[np.ndarray, "N D"]
    factors: Int[np.ndarray, "N K"]

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many values each factor takes."""
        return tuple((self.factors.max(0) + 1).tolist())

    @cached_property
    def row(self) -> Int[np.ndarray, " N"]:
        """The row of each combination, in the order of numpy.ravel_multi_index."""
        found = np.empty(len(self.factors), np.int64)
        found[np.ravel_multi_index(tuple(self.factors.T), self.sizes)] = np.arange(len(self.factors))
        return found

    def codes_of(self, factors: Int[np.ndarray, "M K"]) -> Float[np.ndarray, "M D"]:
        """Codes of these combinations."""
        found: np.ndarray = self.codes[self.row[np.ravel_multi_index(tuple(factors.T), self.sizes)]]
        return found

    def drawn(self, generator: np.random.Generator, count: int) -> Int[np.ndarray, "M K"]:
        """Combinations, uniform and independent."""
        return np.stack([generator.integers(0, size, count) for size in self.sizes], axis=1)

    def halves(self, generator: np.random.Generator) -> tuple[Int[np.ndarray, " A"], Int[np.ndarray, " B"]]:
        """Rows to learn from and rows to test on, disjoint."""
        order = generator.permutation(len(self.codes))
        first = min(TRAINED, len(order) // 2)
        return order[:first], order[first : first + TESTED]


def mutual_information_gap(coded: FactorCodes, seed: int) -> float:
    """MIG: mean over factors of (I(z_j; v) - I(z_j'; v)) / H(v), for the two latents that tell most of v. 0 to 1.

    Chen et al. 2018, "Isolating sources of disentanglement in VAEs", eq. 6.
    """
    found = mutual_information(coded)
    if found.shape[0] == 1:
        found = np.vstack([found, np.zeros_like(found)])
    best = np.sort(found, axis=0)[::-1]
    entropies = np.array([_entropy(np.bincount(column)) for column in coded.factors.T])
    return float(((best[0] - best[1]) / entropies).mean())


def mutual_information(coded: FactorCodes) -> Float[np.ndarray, "D K"]:
    """Nats that each latent, cut into 20 bins of equal width, tells of each factor."""
    binned = np.stack([np.digitize(z, np.histogram_bin_edges(z, BINS)[1:-1]) for z in coded.codes.T])
    found = np.empty((len(binned), coded.factors.shape[1]))
    for d, latent in enumerate(binned):
        for k, factor in enumerate(coded.factors.T):
            table = np.zeros((BINS, coded.sizes[k]), np.int64)
            np.add.at(table, (latent, factor), 1)
            found[d, k] = _entropy(table.sum(0)) + _entropy(table.sum(1)) - _entropy(table.ravel())
    return found


def _entropy(counts: np.ndarray) -> float:
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())


def dci(coded: FactorCodes, seed: int) -> dict[str, float]:
    """Disentanglement, completeness, informativeness, each 0 to 1.

    How much each latent matters for each factor is read off a forest of trees that names the factor. Disentanglement:
    1 - entropy over factors of a latent's weights, averaged by how much the latent matters. Completeness: the same the
    other way round. Informativeness: the forests' accuracy on other images. Eastwood & Williams 2018, "A framework for
    the quantitative evaluation of disentangled representations", section 2.
    """
    learn, test = coded.halves(np.random.default_rng(seed))
    matters, right = [], []
    for factor in coded.factors.T:
        forest = RandomForestClassifier(50, max_features=None, random_state=seed)
        forest.fit(coded.codes[learn], factor[learn])
        matters.append(forest.feature_importances_)
        right.append(forest.score(coded.codes[test], factor[test]))
    weights = np.stack(matters, axis=1)  # (D, K)
    return {
        "disentanglement": _concentration(weights),
        "completeness": _concentration(weights.T),
        "informativeness": float(np.mean(right)),
    }


def _concentration(weights: Float[np.ndarray, "A B"]) -> float:
    """1 - entropy (base B) of each row taken as shares, averaged by the rows' sums."""
    total = weights.sum(1)
    rows, total = weights[total > 0], total[total > 0]
    entropies = np.array([_entropy(row) for row in rows]) / np.log(weights.shape[1])
    return float(((1 - entropies) * total).sum() / total.sum())


def separated_attribute_predictability(coded: FactorCodes, seed: int) -> float:
    """SAP: mean over factors of the gap between the two latents that alone name the factor best. 0 to 1.

    Kumar et al. 2018, "Variational inference of disentangled latent concepts", section 3. A latent names a factor by
    thresholds, one fewer than the factor has values, for the best accuracy balanced over values; libraries that take a
    linear support vector machine instead, which cannot name a value in the middle, find less.
    """
    learn, test = coded.halves(np.random.default_rng(seed))
    scores = np.array([[_one_latent(coded, d, k, learn, test) for k in range(coded.factors.shape[1])]
                       for d in range(coded.codes.shape[1])])  # fmt: skip
    if len(scores) == 1:
        return float(scores.mean())
    best = np.sort(scores, axis=0)[::-1]
    return float((best[0] - best[1]).mean())


def _one_latent(coded: FactorCodes, d: int, k: int, learn: np.ndarray, test: np.ndarray) -> float:
    z, factor = coded.codes[:, [d]], coded.factors[:, k]
    reader = DecisionTreeClassifier(max_leaf_nodes=coded.sizes[k], class_weight="balanced", random_state=0)
    return float(balanced_accuracy_score(factor[test], reader.fit(z[learn], factor[learn]).predict(z[test])))


def beta_vae_score(coded: FactorCodes, seed: int) -> float:
    """Accuracy of a linear classifier that names which factor two images share, from the mean over 64 pairs of
    |z - z'|. 1/K is chance. A perfect code that is turned, so that every latent mixes all
    factors, can score as high.

    Higgins et al. 2017, "beta-VAE", section 3 and algorithm 1.
    """
    generator = np.random.default_rng(seed)
    features, shared = zip(*(_pairs(coded, generator) for _ in range(2 * VOTES)), strict=True)
    x, y = np.stack(features), np.array(shared)
    scale = x[:VOTES].std() or 1.0
    reader = LogisticRegression(max_iter=1000).fit(x[:VOTES] / scale, y[:VOTES])
    return float(reader.score(x[VOTES:] / scale, y[VOTES:]))


def _pairs(coded: FactorCodes, generator: np.random.Generator) -> tuple[np.ndarray, int]:
    factor = int(generator.integers(len(coded.sizes)))
    first, second = coded.drawn(generator, PER_VOTE), coded.drawn(generator, PER_VOTE)
    second[:, factor] = first[:, factor]
    return np.abs(coded.codes_of(first) - coded.codes_of(second)).mean(0), factor


def factor_vae_score(coded: FactorCodes, seed: int) -> float:
    """Accuracy of a majority vote that names the fixed factor of 64 images by the latent that varies least among them,
    relative to all images. 1/K is chance, and what a code without a moving latent gets. It sees mixed factors hardly
    better than :func:`beta_vae_score`.

    Kim & Mnih 2018, "Disentangling by factorising", section 4; latents that hardly move at all have no vote.
    """
    generator = np.random.default_rng(seed)
    variances = coded.codes.var(0)
    moving = np.flatnonzero(variances > STILL)
    if not len(moving):
        return 1 / len(coded.sizes)
    votes = np.zeros((2, len(moving), len(coded.sizes)), np.int64)
    for half in range(2):
        for _ in range(VOTES):
            factor = int(generator.integers(len(coded.sizes)))
            drawn = coded.drawn(generator, PER_VOTE)
            drawn[:, factor] = drawn[0, factor]
            relative = coded.codes_of(drawn)[:, moving].var(0) / variances[moving]
            votes[half, relative.argmin(), factor] += 1
    named = votes[0].argmax(1)
    return float(votes[1][np.arange(len(moving)), named].sum() / VOTES)


Score = Callable[[FactorCodes, int], float]
SCORES: dict[str, Score] = {
    "mutual_information_gap": mutual_information_gap,
    "separated_attribute_predictability": separated_attribute_predictability,
    "beta_vae_score": beta_vae_score,
    "factor_vae_score": factor_vae_score,
}

SCORE_NAMES = {
    "mutual_information_gap": "mutual information gap (MIG)",
    "dci_disentanglement": "DCI disentanglement",
    "dci_completeness": "DCI completeness",
    "dci_informativeness": "DCI informativeness",
    "separated_attribute_predictability": "separated attribute predictability (SAP)",
    "beta_vae_score": "beta-VAE score",
    "factor_vae_score": "FactorVAE score",
}
"""The scores in the order and the words in which they are shown."""


def disentanglement(coded: FactorCodes, seed: int = 0) -> dict[str, float]:
    """All scores by name; DCI gives three."""
    found = {name: score(coded, seed) for name, score in SCORES.items()}
    return found | {f"dci_{name}": value for name, value in dci(coded, seed).items()}
