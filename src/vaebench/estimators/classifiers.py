"""VAEClassifier: a line on frozen latents. SemiSupervisedVAEClassifier: labels, a graph, and self-training."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import LabelEncoder
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from vaebench.data.augment import GENTLE, Augmentation
from vaebench.data.images import HIDDEN, Images
from vaebench.estimators.training import BATCH, DTYPES, Pixels, compute_of, seed_of, trained
from vaebench.estimators.transformer import VAETransformer
from vaebench.evaluation.features import encode
from vaebench.models.classifying_vae import SelfTrainingLoss
from vaebench.models.loss import Objective
from vaebench.models.objectives import Contrastive, Elbo
from vaebench.models.vae import VAE
from vaebench.semi_supervised.graphs import Graph
from vaebench.semi_supervised.self_training import SelfTraining


class VAEClassifier(ClassifierMixin, BaseEstimator):
    """A frozen VAE encoder and logistic regression on its latent means.

    Args:
        transformer: what encodes; none is a :class:`VAETransformer` with its defaults. It is cloned, and given this
            estimator's ``random_state`` if it has none.
        inverse_penalty: scikit-learn's C, for codes of unit scale.
        random_state: as there.

    Attributes:
        transformer_: the fitted transformer.
        classes_: names of the classes.
    """

    def __init__(self, transformer: Any = None, *, inverse_penalty: Any = 1.0, random_state: Any = None) -> None:
        self.transformer = transformer
        self.inverse_penalty = inverse_penalty
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> VAEClassifier:
        """Train the VAE on rows X (n, d) without labels, then the line on codes and labels y (n,)."""
        X, y = validate_data(self, X, y, dtype=DTYPES)
        check_classification_targets(y)
        base = VAETransformer() if self.transformer is None else self.transformer
        state = seed_of(self.random_state) if base.random_state is None else base.random_state
        self.transformer_ = clone(base).set_params(random_state=state)
        codes = self.transformer_.fit(X).transform(X)
        self.centre_, self.scale_ = codes.mean(0), max(float(codes.std()), 1e-12)
        self.line_ = LogisticRegression(C=self.inverse_penalty, max_iter=1000).fit(self._standard(codes), y)
        self.classes_ = self.line_.classes_
        return self

    def _standard(self, codes: np.ndarray) -> np.ndarray:
        found: np.ndarray = (codes - self.centre_) / self.scale_
        return found

    def _codes(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        X = validate_data(self, X, dtype=DTYPES, reset=False)
        return self._standard(self.transformer_.transform(X))

    def predict_proba(self, X: Any) -> np.ndarray:
        """Class probabilities (n, Y)."""
        codes = self._codes(X)
        found: np.ndarray = self.line_.predict_proba(codes)
        return found

    def decision_function(self, X: Any) -> np.ndarray:
        """Logits (n, Y), or (n,) of the second of two classes."""
        codes = self._codes(X)
        found: np.ndarray = self.line_.decision_function(codes)
        return found

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each row."""
        codes = self._codes(X)
        found: np.ndarray = self.line_.predict(codes)
        return found


class SemiSupervisedVAEClassifier(ClassifierMixin, BaseEstimator):
    """A VAE trained on all rows, labels spread along a graph of its codes, then self-training of its encoder.

    Labels of -1 are unlabelled, as in :mod:`sklearn.semi_supervised`; labels that are text are all given. New rows are
    classified without refitting. See :class:`vaebench.semi_supervised.self_training.SelfTraining`.

    Args:
        latent: D, the number of latents.
        image_shape: (height, width) or (channels, height, width) of a row; none reads rows as they are.
        augmentation: what an image may undergo and stay in its class; none means small turns and shifts where there is
            an ``image_shape``, nothing else.
        epochs: passes of the VAE through the rows; none means as many as make 2,000 steps, but at least 10.
        steps: of each round of self-training: the first by the graph's labels, the others by what the network has
            learned since.
        batch_size: rows a step of the VAE.
        learning_rate: of the VAE.
        random_state, device, n_jobs, verbose: as of :class:`VAETransformer`.

    Attributes:
        network_: the trained network, a torch module in float64.
        classes_: names of the classes.
        transduction_: the class of each training row.
    """

    def __init__(
        self,
        latent: Any = 32,
        *,
        image_shape: Any = None,
        augmentation: Any = None,
        epochs: Any = None,
        steps: Any = (200, 200, 200),
        batch_size: Any = 64,
        learning_rate: Any = 5e-3,
        random_state: Any = None,
        device: Any = "cpu",
        n_jobs: Any = None,
        verbose: Any = False,
    ) -> None:
        self.latent = latent
        self.image_shape = image_shape
        self.augmentation = augmentation
        self.epochs = epochs
        self.steps = steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.random_state = random_state
        self.device = device
        self.n_jobs = n_jobs
        self.verbose = verbose

    def fit(self, X: Any, y: Any) -> SemiSupervisedVAEClassifier:
        """Train on rows X (n, d) and labels y (n,), -1 where there is none.

        Raises:
            ValueError: no label, or one class alone.
        """
        X, y = validate_data(self, X, y, dtype=DTYPES, ensure_min_samples=2)
        check_classification_targets(y)
        given = np.ones(len(y), dtype=bool) if y.dtype.kind in "OUS" else y != HIDDEN
        encoder = LabelEncoder().fit(y[given])
        self.classes_ = encoder.classes_
        if len(self.classes_) < 2:
            raise ValueError(f"y names {len(self.classes_)} class; expected at least 2 beside -1 for unlabelled rows")
        self.pixels_ = Pixels(X, self.image_shape)
        images, seed = self.pixels_.images(X), seed_of(self.random_state)
        augmentation = self.augmentation or (Augmentation() if self.image_shape is None else GENTLE)
        objective: Objective = Contrastive(weight=30.0, augmentation=augmentation) if augmentation.amounts else Elbo()
        vae, self.history_ = trained(self, images, objective, seed)
        rows = torch.from_numpy(np.flatnonzero(given))
        labels = torch.from_numpy(encoder.transform(y[given]).astype(np.int64))
        self.network_ = self._taught(vae, images, rows, labels, augmentation, seed).eval().double()
        self.transduction_ = self.predict(X)
        return self

    def _taught(
        self,
        vae: VAE,
        images: Images,
        rows: torch.Tensor,
        labels: torch.Tensor,
        augmentation: Augmentation,
        seed: int,
    ) -> torch.nn.Module:
        compute = compute_of(self)
        taught = SelfTrainingLoss(strong=augmentation, generative=0.001)
        method = SelfTraining(objective=taught, rounds=tuple(self.steps))
        graph = None
        if len(rows) < len(images):
            graph = Graph.of(encode(vae, images).mean.numpy())
        return method.fit(vae, images, graph, rows, labels, len(self.classes_), seed, compute).cpu()

    def predict_proba(self, X: Any) -> np.ndarray:
        """Class probabilities (n, Y)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=DTYPES, reset=False)
        x = self.pixels_.images(X).batch(torch.arange(len(X))).x.double()
        with torch.no_grad():
            return torch.cat([self.network_(part).softmax(-1) for part in x.split(BATCH)]).numpy()

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each row."""
        best = self.predict_proba(X).argmax(1)
        found: np.ndarray = self.classes_[best]
        return found
