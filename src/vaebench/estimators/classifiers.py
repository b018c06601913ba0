"""VAEClassifier: logistic regression on latents. SemiSupervisedVAEClassifier: self-training from few labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import LabelEncoder
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from vaebench.data.augment import GENTLE, Augmentation
from vaebench.estimators.labels import mark_missing, split_labels
from vaebench.estimators.transformer import BATCH, DTYPES, PixelScaler, VAETransformer, compute_of, draw_seed, train_vae
from vaebench.evaluation.features import encode
from vaebench.models.classifying_vae import SelfTrainingLoss
from vaebench.models.loss import Objective
from vaebench.models.objectives import Contrastive, Elbo
from vaebench.semi_supervised.graphs import Graph
from vaebench.semi_supervised.self_training import FewLabels, SelfTraining


@dataclass(eq=False, repr=False)
class VAEClassifier(ClassifierMixin, BaseEstimator):
    """Logistic regression on the latent means of a VAE that is trained without labels.

    In numbers y, -1 is a class; where labels are texts or objects, it marks unlabelled rows, as "", None and NaN do.

    Parameters
    ----------
    transformer : VAETransformer, default=None
        The encoder; by default ``VAETransformer()``. It is cloned, and gets a random state from ``random_state`` if it
        has none.
    inverse_penalty : float, default=1.0
        scikit-learn's C, for codes scaled to unit variance.
    random_state : int, RandomState instance or None, default=None
        Random state of a transformer that has none.

    Attributes
    ----------
    transformer_ : VAETransformer
        The fitted transformer.
    classes_ : ndarray of shape (n_classes,)
        Class labels.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from vaebench import VAEClassifier, VAETransformer
    >>> X, y = load_digits(return_X_y=True)
    >>> encoder = VAETransformer(latent=8, image_shape=(8, 8), epochs=5)
    >>> classifier = VAEClassifier(encoder, random_state=0).fit(X[:1000], y[:1000])
    >>> classifier.score(X[1000:], y[1000:]) > 0.7
    True
    """

    transformer: Any = None
    _: KW_ONLY
    inverse_penalty: Any = 1.0
    random_state: Any = None

    def fit(self, X: Any, y: Any) -> VAEClassifier:
        """Train the VAE on rows X (n, d) without labels, then the classifier on codes and labels y (n,).

        Where labels are texts or objects, rows whose label is -1, "", None or NaN train the VAE only.

        Raises
        ------
        ValueError
            If labels are texts and numbers, or fail scikit-learn's validation.
        """
        X, y = validate_data(self, X, mark_missing(y), dtype=DTYPES)
        labelled, y = split_labels(y) if y.dtype.kind in "OUS" else (np.ones(len(y), dtype=bool), y)
        check_classification_targets(y)
        base = VAETransformer() if self.transformer is None else self.transformer
        state = draw_seed(self.random_state) if base.random_state is None else base.random_state
        self.transformer_ = clone(base).set_params(random_state=state)
        codes = self.transformer_.fit(X).transform(X)[labelled]
        self.centre_, self.scale_ = codes.mean(0), max(float(codes.std()), 1e-12)
        codes = (codes - self.centre_) / self.scale_
        self.logistic_ = LogisticRegression(C=self.inverse_penalty, max_iter=1000).fit(codes, y)
        self.classes_ = self.logistic_.classes_
        return self

    def _classify(self, method: str, X: Any) -> np.ndarray:
        check_is_fitted(self)
        codes = self.transformer_.transform(validate_data(self, X, dtype=DTYPES, reset=False))
        return np.asarray(getattr(self.logistic_, method)((codes - self.centre_) / self.scale_))

    def predict_proba(self, X: Any) -> np.ndarray:
        """Class probabilities (n, Y)."""
        return self._classify("predict_proba", X)

    def decision_function(self, X: Any) -> np.ndarray:
        """Logits (n, Y), or (n,) of the second class if there are two."""
        return self._classify("decision_function", X)

    def predict(self, X: Any) -> np.ndarray:
        """Most probable class of each row."""
        return self._classify("predict", X)


@dataclass(eq=False, repr=False)
class SemiSupervisedVAEClassifier(ClassifierMixin, BaseEstimator):
    """Self-training of a VAE encoder from few labels.

    A VAE is trained on all rows without labels, the labels are propagated along the nearest-neighbour graph of its
    codes, and a copy of its encoder with a class head is trained on labels and pseudo-labels; see
    :class:`vaebench.semi_supervised.self_training.SelfTraining`. As in :mod:`sklearn.semi_supervised`, the label -1
    marks unlabelled rows; where labels are texts or objects, so do "", None and NaN. New rows are classified without
    refitting.

    Parameters
    ----------
    latent : int, default=32
        Number of latents, D.
    augmentation : Augmentation, default=None
        Augmentation that preserves classes. By default small rotations, scalings and shifts if there is an
        ``image_shape``, otherwise none.
    steps : tuple of int, default=(200, 200, 200)
        Steps of each round of self-training. Pseudo-labels of the first round are propagated along the graph of the
        VAE's codes, those of later rounds are computed by the network of the round before.
    image_shape, epochs, batch_size, learning_rate, random_state, device, n_jobs, verbose
        As in :class:`VAETransformer`, for the training of the VAE.

    Attributes
    ----------
    network_ : torch.nn.Module
        The trained classifier, in float64.
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    transduction_ : ndarray of shape (n_samples,)
        Predicted class of each training row.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from vaebench import SemiSupervisedVAEClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> few = np.where(np.arange(len(y)) < 50, y, -1)
    >>> classifier = SemiSupervisedVAEClassifier(8, image_shape=(8, 8), epochs=3, steps=(20, 20), random_state=0)
    >>> classifier.fit(X, few).score(X[50:], y[50:]) > 0.5
    True
    """

    latent: Any = 32
    _: KW_ONLY
    image_shape: Any = None
    augmentation: Any = None
    epochs: Any = None
    steps: Any = (200, 200, 200)
    batch_size: Any = 64
    learning_rate: Any = 5e-3
    random_state: Any = None
    device: Any = "cpu"
    n_jobs: Any = None
    verbose: Any = False

    def fit(self, X: Any, y: Any) -> SemiSupervisedVAEClassifier:
        """Train on rows X (n, d) and labels y (n,): numbers with -1 for no label, or texts with -1, "" or None.

        Raises
        ------
        ValueError
            If the labels have fewer than two classes, or are texts and numbers.
        """
        X, y = validate_data(self, X, mark_missing(y), dtype=DTYPES, ensure_min_samples=2)
        labelled, given = split_labels(y)
        check_classification_targets(given)
        encoder = LabelEncoder().fit(given)
        self.classes_ = encoder.classes_
        if len(self.classes_) < 2:
            raise ValueError(f"y has {len(self.classes_)} class; expected at least 2 besides -1 for unlabelled rows")
        self.pixels_ = PixelScaler(X, self.image_shape)
        images, seed = self.pixels_.to_images(X), draw_seed(self.random_state)
        augmentation = self.augmentation or (Augmentation() if self.image_shape is None else GENTLE)
        objective: Objective = Contrastive(weight=30.0, augmentation=augmentation) if augmentation.amounts else Elbo()
        vae, self.history_ = train_vae(self, images, objective, seed)
        rows = torch.from_numpy(np.flatnonzero(labelled))
        labels = torch.from_numpy(encoder.transform(given).astype(np.int64))
        loss = SelfTrainingLoss(strong=augmentation, generative=0.001)
        if not isinstance(self.steps, Sequence):
            raise ValueError(f"steps is {self.steps!r}; expected the steps of each round, such as (200, 200, 200)")
        method = SelfTraining(objective=loss, rounds=tuple(self.steps))
        graph = Graph.from_codes(encode(vae, images).mean.numpy()) if len(rows) < len(images) else None
        data = FewLabels(images, rows, labels, len(self.classes_), graph)
        network = method.fit(vae, data, seed, compute_of(self))
        self.network_ = network.cpu().eval().double()
        self.transduction_ = self.predict(X)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Class probabilities (n, Y)."""
        check_is_fitted(self)
        x = self.pixels_.to_pixels(validate_data(self, X, dtype=DTYPES, reset=False))
        with torch.no_grad():
            return torch.cat([self.network_(part).softmax(-1) for part in x.split(BATCH)]).numpy()

    def predict(self, X: Any) -> np.ndarray:
        """Most probable class of each row."""
        best = self.predict_proba(X).argmax(1)  # before the classes are read, so that it can raise NotFittedError
        return np.asarray(self.classes_[best])
