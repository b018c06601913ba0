"""Clusters: a Gaussian mixture of codes, fitted without labels, its components named by a few of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.special import log_softmax, logsumexp, softmax
from scipy.stats import norm
from sklearn.mixture import GaussianMixture


@dataclass(frozen=True)
class Clusters:
    """A fitted mixture; its components get class probabilities from labelled codes.

    A component far from every label is named by the nearest ones: the labels' responsibilities are taken at the
    temperature D, the number of dimensions, where they fade slowly with distance.
    """

    mixture: GaussianMixture

    @classmethod
    def of(cls, codes: Float[np.ndarray, "N D"], components: int = 100, seed: int = 0) -> Clusters:
        """The mixture of these codes, with diagonal covariances (scikit-learn)."""
        count = min(components, len(codes))
        return cls(GaussianMixture(count, covariance_type="diag", max_iter=50, random_state=seed).fit(codes))

    def name(
        self, codes: Float[np.ndarray, "M D"], labels: Int[np.ndarray, " M"], classes: int
    ) -> Float[np.ndarray, "K Y"]:
        """p(y|c): each label's vote for each component, every class with the same weight in all."""
        near = norm.logpdf(codes[:, None], self.mixture.means_, np.sqrt(self.mixture.covariances_)).sum(2)
        votes = log_softmax((near + np.log(self.mixture.weights_)) / codes.shape[1], axis=1)
        hot = np.eye(classes)[labels] / np.maximum(np.bincount(labels, minlength=classes), 1)
        found = logsumexp(votes[:, :, None], b=hot[:, None], axis=0)
        return np.asarray(softmax(found, axis=1))

    def probabilities(
        self, codes: Float[np.ndarray, "N D"], names: Float[np.ndarray, "K Y"]
    ) -> Float[np.ndarray, "N Y"]:
        """p(y|z) = sum_c p(c|z) p(y|c)."""
        return np.asarray(self.mixture.predict_proba(codes) @ names)
