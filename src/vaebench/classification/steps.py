"""Steps of a classification: each is computed once and stored, so that an interrupted job continues."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from vaebench.classification.classifier import Description, ImageClassifier
from vaebench.classification.collection import Collection
from vaebench.classification.methods import METHODS, MethodContext
from vaebench.classification.outliers import OutlierDetector
from vaebench.classification.settings import Settings
from vaebench.data.blocks import Blocks
from vaebench.data.images import Dataset, Source
from vaebench.evaluation.features import encode
from vaebench.experiments.experiment import Experiment
from vaebench.experiments.info import Budget
from vaebench.experiments.trained import TrainedModel
from vaebench.models.vae import VAE

POOL = 100_000
"""Images that methods are fitted with, the labelled ones among them; the VAE is trained on all."""
IN_MEMORY = 1 << 30
"""Bytes of pixels up to which training reads them in any order; more are read from the disk in shuffled blocks."""


@dataclass(frozen=True)
class ClassificationInfo:
    """Description of the job for :class:`Experiment`."""

    minutes: Mapping[Budget, float | int]
    title_in_short: str = "classify"
    captions: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Steps:
    """Steps of one classification. Each step is identified by everything that decides its result."""

    experiment: Experiment
    collection: Collection
    settings: Settings

    @cached_property
    def trained(self) -> TrainedModel:
        """The VAE, trained on all images without labels."""
        images, settings = self.collection.images, self.settings
        empty, file = images.take(slice(0, 0)), self.collection.pixel_file
        source: Source = images if file is None or images.pixels.nbytes <= IN_MEMORY else Blocks(file)
        return self.experiment.network(
            "vae",
            Dataset(self.collection.title, images, empty, empty),
            lambda: settings.model.build(images.shape),
            (source, None),
            settings.objective,
            settings.training,
            settings.seed,
            {"model": settings.model.model_dump()} | ({} if source is images else {"order": "blocks"}),
        )

    @cached_property
    def vae(self) -> VAE:
        """The trained VAE on the CPU."""
        return self.trained.vae.cpu()

    def method_context(self) -> tuple[MethodContext, Int[Tensor, " M"]]:
        """Return what methods are fitted with, and the rows of the labelled images in it."""
        images, settings, pool = self.collection.images, self.settings, self._pool()
        context = MethodContext(
            images if len(pool) == len(images) else images.take(pool),
            len(self.collection.classes),
            settings.model,
            self.vae,
            settings.semi_supervised,
            settings.supervised,
            self.experiment.compute,
        )
        return context, torch.searchsorted(pool, self.collection.labelled_rows)

    def _pool(self) -> Int[Tensor, " P"]:
        """Rows that methods are fitted with, ascending: all, or the labelled ones and a random sample."""
        count = len(self.collection.names)
        if count <= POOL:
            return torch.arange(count)
        sample = torch.from_numpy(np.random.default_rng(self.settings.seed).permutation(count)[:POOL])
        rows: Tensor = torch.cat([sample, self.collection.labelled_rows]).unique()
        return rows

    def _identity(self) -> dict[str, Any]:
        """Everything that decides a fit except its method and fold."""
        return {
            "vae": self.trained.key,
            "rows": self.collection.labelled_rows.tolist(),
            "labels": self.collection.labels.tolist(),
            "settings": self.settings.model_dump(mode="json", include={"semi_supervised", "supervised", "seed"}),
        }

    def _array(self, name: str, identity: dict[str, Any], compute: Callable[[], np.ndarray]) -> np.ndarray:
        """The only array of a step, by whatever name it is stored."""
        (array,) = self.experiment.arrays(name, identity, lambda: {"values": compute()}).values()
        return array

    def fold_probabilities(self, method: str, fold: int, compute: Callable[[], np.ndarray]) -> np.ndarray:
        """Return the held-out probabilities of a method on a fold."""
        return self._array(f"{method}/fold-{fold + 1}", {**self._identity(), "method": method, "fold": fold}, compute)

    def fit_classifier(
        self, context: MethodContext, rows: Int[Tensor, " M"], method: str, temperature: float
    ) -> ImageClassifier:
        """Fit a method to all labelled images."""
        description = Description(
            kind=METHODS[method].kind,
            method=METHODS[method].title,
            rule=self.collection.rule,
            classes=self.collection.classes,
            model=self.settings.model,
            temperature=temperature,
        )

        def fit() -> dict[str, np.ndarray]:
            network = METHODS[method].fit(context, rows, self.collection.labels, self.settings.seed).cpu()
            return {name: value.numpy() for name, value in network.state_dict().items()}

        weights = self.experiment.arrays("chosen", {**self._identity(), "method": method}, fit)
        network = description.load({name: torch.from_numpy(value) for name, value in weights.items()})
        return ImageClassifier(description, network)

    def probabilities(self, classifier: ImageClassifier) -> Float[Tensor, "N Y"]:
        """Return the class probabilities of all images."""
        description = classifier.description
        identity = {**self._identity(), "method": description.method, "temperature": description.temperature}
        images, callback = self.collection.images, self.experiment.progress_callback("classifying all images")
        return torch.from_numpy(
            self._array("all/answers", identity, lambda: classifier.probabilities(images, callback).numpy())
        )

    def latent_means(self) -> Float[np.ndarray, "N D"]:
        """Return the latent means of all images."""
        images, callback = self.collection.images, self.experiment.progress_callback("encoding all images")
        identity = {"vae": self.trained.key}
        return self._array("all/codes", identity, lambda: encode(self.vae, images, callback).mean.numpy())

    def fit_outlier_detector(self, means: Float[np.ndarray, "N D"]) -> tuple[OutlierDetector, Float[np.ndarray, " N"]]:
        """Return the outlier detector and the outlier scores of all images."""
        images, callback = self.collection.images, self.experiment.progress_callback("computing outlier scores")

        def compute_statistics(detector: OutlierDetector) -> np.ndarray:
            identity = {"vae": self.trained.key}
            return self._array("all/outliers", identity, lambda: detector.statistics(images, callback))

        return OutlierDetector.fit(self.vae, images, means, compute_statistics=compute_statistics)
