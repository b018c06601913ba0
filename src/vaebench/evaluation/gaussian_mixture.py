"""Clusters: a Gaussian mixture fitted to codes without labels, whose components get classes from a few labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.special import log_softmax, logsumexp, softmax
from scipy.stats import norm
from sklearn.mixture import GaussianMixture


@dataclass(frozen=True)
class Clusters:
    """A fitted mixture whose components get class probabilities from labelled codes.

    Responsibilities of labelled codes are computed at temperature D, the number of dimensions, so that they decrease
    slowly with distance and a component far from every label gets the class of the nearest labels.
    """

    mixture: GaussianMixture

    @classmethod
    def fit(cls, codes: Float[np.ndarray, "N D"], components: int = 100, seed: int = 0) -> Clusters:
        """Fit a mixture with diagonal covariances (scikit-learn)."""
        count = min(components, len(codes))
        return cls(GaussianMixture(count, covariance_type="diag", max_iter=50, random_state=seed).fit(codes))

    def component_classes(
        self, codes: Float[np.ndarray, "M D"], labels: Int[np.ndarray, " M"], classes: int
    ) -> Float[np.ndarray, "K Y"]:
        """p(y|c) of each component c: the votes of the labelled codes, with the same total weight for every class."""
        log_density = norm.logpdf(codes[:, None], self.mixture.means_, np.sqrt(self.mixture.covariances_)).sum(2)
        votes = log_softmax((log_density + np.log(self.mixture.weights_)) / codes.shape[1], axis=1)
        one_hot = np.eye(classes)[labels] / np.maximum(np.bincount(labels, minlength=classes), 1)
        return np.asarray(softmax(logsumexp(votes[:, :, None], b=one_hot[:, None], axis=0), axis=1))

    def probabilities(
        self, codes: Float[np.ndarray, "N D"], component_classes: Float[np.ndarray, "K Y"]
    ) -> Float[np.ndarray, "N Y"]:
        """p(y|z) = sum_c p(c|z) p(y|c)."""
        return np.asarray(self.mixture.predict_proba(codes) @ component_classes)
