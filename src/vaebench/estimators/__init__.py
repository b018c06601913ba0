"""VAEs as scikit-learn estimators."""

from vaebench.estimators.classifiers import SemiSupervisedVAEClassifier, VAEClassifier
from vaebench.estimators.transformer import VAETransformer

__all__ = ["SemiSupervisedVAEClassifier", "VAEClassifier", "VAETransformer"]
