"""SCORES: disentanglement of posterior means, for data sets whose generative factors are known.

Settings that the papers leave open are those of Locatello et al. 2019, "Challenging common assumptions".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy.special import entr

BINS = 20
"""Bins of equal width of a latent, for its mutual information with a factor."""
TRAIN_IMAGES, TEST_IMAGES = 5000, 5000
"""Images on which a predictor of factors is trained and tested."""
VOTES, IMAGES_PER_VOTE = 800, 64
"""Number of training examples, and of test examples, of a classifier of factors; images behind each example."""
INACTIVE_BELOW = 0.05
"""Latents whose means have a variance below this fraction of the prior's are excluded from votes."""


@dataclass(frozen=True)
class FactorCodes:
    """Posterior means (N, D) and factors (N, K) of images of every combination of factor values, each once.

    The values of each factor are counted from 0.
    """

    codes: Float[np.ndarray, "N D"]
    factors: Int[np.ndarray, "N K"]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of values of each factor."""
        return tuple((self.factors.max(0) + 1).tolist())

    @cached_property
    def row(self) -> Int[np.ndarray, " N"]:
        """Row of each combination, in the order of numpy.ravel_multi_index."""
        return np.argsort(np.ravel_multi_index(tuple(self.factors.T), self.sizes))

    def codes_of(self, factors: Int[np.ndarray, "M K"]) -> Float[np.ndarray, "M D"]:
        """Codes of these combinations of factor values."""
        codes: np.ndarray = self.codes[self.row[np.ravel_multi_index(tuple(factors.T), self.sizes)]]
        return codes

    def sample_factors(self, generator: np.random.Generator, count: int) -> Int[np.ndarray, "M K"]:
        """Draw combinations of factor values, uniform and independent."""
        return np.stack([generator.integers(0, size, count) for size in self.sizes], axis=1)

    def train_test_rows(self, seed: int) -> tuple[Int[np.ndarray, " A"], Int[np.ndarray, " B"]]:
        """Disjoint random rows for training and test."""
        order = np.random.default_rng(seed).permutation(len(self.codes))
        first = min(TRAIN_IMAGES, len(order) // 2)
        return order[:first], order[first : first + TEST_IMAGES]


def mutual_information_gap(coded: FactorCodes, seed: int) -> float:
    """MIG: mean over factors v of (I(z_j; v) - I(z_j'; v)) / H(v) of the two most informative latents, in [0, 1].

    Chen et al. 2018, "Isolating sources of disentanglement in VAEs", eq. 6.
    """
    entropies = np.array([_entropy(np.bincount(factor)) for factor in coded.factors.T])
    return float((_gap(mutual_information(coded)) / entropies).mean())


def _gap(scores: Float[np.ndarray, "D K"]) -> Float[np.ndarray, " K"]:
    """Difference of the two highest scores of each factor; a single latent is compared with 0."""
    best = np.sort(np.vstack([scores, np.zeros_like(scores[:1])]), axis=0)[::-1]
    return np.asarray(best[0] - best[1])


def mutual_information(coded: FactorCodes) -> Float[np.ndarray, "D K"]:
    """Mutual information in nats of each latent, binned into 20 bins of equal width, and each factor."""
    binned = np.stack([np.digitize(z, np.histogram_bin_edges(z, BINS)[1:-1]) for z in coded.codes.T])
    information = np.empty((len(binned), coded.factors.shape[1]))
    for d, latent in enumerate(binned):
        for k, factor in enumerate(coded.factors.T):
            size = coded.sizes[k]
            table = np.bincount(latent * size + factor, minlength=BINS * size).reshape(BINS, size)
            information[d, k] = _entropy(table.sum(0)) + _entropy(table.sum(1)) - _entropy(table.ravel())
    return information


def _entropy(counts: Shaped[np.ndarray, "*batch N"]) -> Float[np.ndarray, "*batch"]:
    return np.asarray(entr(counts / counts.sum(-1, keepdims=True)).sum(-1))


def dci(coded: FactorCodes, seed: int) -> dict[str, float]:
    """Disentanglement, completeness and informativeness, each in [0, 1].

    The importance of each latent for each factor is the feature importance in a random forest that predicts the factor.
    Disentanglement: 1 - entropy of a latent's importances over factors, averaged over latents by their total
    importance. Completeness: the same with latents and factors exchanged. Informativeness: test accuracy of the
    forests. Eastwood & Williams 2018, "A framework for the quantitative evaluation of disentangled representations",
    section 2.
    """
    from sklearn.ensemble import RandomForestClassifier

    train, test = coded.train_test_rows(seed)
    importances, accuracies = [], []
    for factor in coded.factors.T:
        forest = RandomForestClassifier(50, max_features=None, random_state=seed)
        forest.fit(coded.codes[train], factor[train])
        importances.append(forest.feature_importances_)
        accuracies.append(forest.score(coded.codes[test], factor[test]))
    weights = np.stack(importances, axis=1)  # (D, K)
    return {
        "disentanglement": _concentration(weights),
        "completeness": _concentration(weights.T),
        "informativeness": float(np.mean(accuracies)),
    }


def _concentration(weights: Float[np.ndarray, "A B"]) -> float:
    """1 - entropy (base B) of each normalised row, averaged with the sums of rows as weights."""
    total = weights.sum(1)
    rows, total = weights[total > 0], total[total > 0]
    entropies = _entropy(rows) / np.log(weights.shape[1])
    return float(((1 - entropies) * total).sum() / total.sum())


def separated_attribute_predictability(coded: FactorCodes, seed: int) -> float:
    """SAP: mean over factors of the gap in accuracy between the two latents that best predict the factor, in [0, 1].

    Kumar et al. 2018, "Variational inference of disentangled latent concepts", section 3. A latent predicts a factor by
    thresholds, one fewer than the factor has values, fitted for accuracy balanced over values; libraries that take a
    linear support vector machine instead, which cannot predict a middle value, give lower scores.
    """
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.tree import DecisionTreeClassifier

    train, test = coded.train_test_rows(seed)
    scores = np.empty((coded.codes.shape[1], coded.factors.shape[1]))
    for d, k in np.ndindex(*scores.shape):
        z, factor = coded.codes[:, [d]], coded.factors[:, k]
        tree = DecisionTreeClassifier(max_leaf_nodes=coded.sizes[k], class_weight="balanced", random_state=0)
        tree.fit(z[train], factor[train])
        scores[d, k] = balanced_accuracy_score(factor[test], tree.predict(z[test]))
    return float(_gap(scores).mean())


def beta_vae_score(coded: FactorCodes, seed: int) -> float:
    """Accuracy of a linear classifier that predicts which factor is the same in pairs of images, from the mean of
    |z - z'| over 64 pairs. Chance is 1/K. A rotated perfect code, where every latent mixes all factors, can score as
    high as the perfect one.

    Higgins et al. 2017, "beta-VAE", section 3 and algorithm 1.
    """
    from sklearn.linear_model import LogisticRegression

    generator = np.random.default_rng(seed)
    features, shared = [], []
    for _ in range(2 * VOTES):
        factor = int(generator.integers(len(coded.sizes)))
        first, second = (coded.sample_factors(generator, IMAGES_PER_VOTE) for _ in range(2))
        second[:, factor] = first[:, factor]
        features.append(np.abs(coded.codes_of(first) - coded.codes_of(second)).mean(0))
        shared.append(factor)
    x, y = np.stack(features), np.array(shared)
    scale = x[:VOTES].std() or 1.0
    classifier = LogisticRegression(max_iter=1000).fit(x[:VOTES] / scale, y[:VOTES])
    return float(classifier.score(x[VOTES:] / scale, y[VOTES:]))


def factor_vae_score(coded: FactorCodes, seed: int) -> float:
    """Accuracy of a majority vote that predicts the fixed factor of 64 images from the latent whose variance among
    them, relative to its variance over all images, is lowest. Chance, and the score of a code without active latents,
    is 1/K. It detects mixed factors hardly better than :func:`beta_vae_score`.

    Kim & Mnih 2018, "Disentangling by factorising", section 4. Latents with a variance of at most ``INACTIVE_BELOW``
    are inactive and have no vote, so codes must have the scale of the prior N(0, I): those of an autoencoder do not.
    """
    generator = np.random.default_rng(seed)
    variances = coded.codes.var(0)
    active = np.flatnonzero(variances > INACTIVE_BELOW)
    if not len(active):
        return 1 / len(coded.sizes)
    votes = np.zeros((2, len(active), len(coded.sizes)), np.int64)
    for half in range(2):
        for _ in range(VOTES):
            factor = int(generator.integers(len(coded.sizes)))
            combinations = coded.sample_factors(generator, IMAGES_PER_VOTE)
            combinations[:, factor] = combinations[0, factor]
            relative = coded.codes_of(combinations)[:, active].var(0) / variances[active]
            votes[half, relative.argmin(), factor] += 1
    predicted = votes[0].argmax(1)
    return float(votes[1][np.arange(len(active)), predicted].sum() / VOTES)


SCORES: dict[str, Callable[[FactorCodes, int], float]] = {
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
"""Titles of the scores, in display order."""


def disentanglement(coded: FactorCodes, seed: int = 0) -> dict[str, float]:
    """Compute all scores by name; DCI gives three."""
    scores = {name: score(coded, seed) for name, score in SCORES.items()}
    return scores | {f"dci_{name}": value for name, value in dci(coded, seed).items()}
