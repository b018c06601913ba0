"""Steps of one classification: the VAE, the cross-validation, the classifier, and results of all images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from threadpoolctl import threadpool_limits
from torch import Tensor

from vaebench.classification.classifier import Description, ImageClassifier
from vaebench.classification.collection import Collection
from vaebench.classification.cross_validation import can_cross_validate, cross_validate
from vaebench.classification.encoded_images import EncodedImages
from vaebench.classification.encoder_methods import ALL_METHODS
from vaebench.classification.encoder_steps import EncoderSteps
from vaebench.classification.fold_fits import (
    LONG,
    FoldFits,
    all_fits,
    fold_step,
    share_fits,
)
from vaebench.classification.methods import MethodContext, MethodSelection
from vaebench.classification.outliers import OutlierDetector
from vaebench.classification.settings import (
    Settings,
    TimeEstimate,
)
from vaebench.data.blocks import Blocks
from vaebench.data.images import Dataset, Images, Source
from vaebench.evaluation.features import encode
from vaebench.experiments.experiment import Experiment
from vaebench.experiments.trained import TrainedModel
from vaebench.models.vae import VAE
from vaebench.training.sharing import Division

POOL = 100_000
"""Images that methods are fitted with, the labelled ones among them; the VAE is trained on all."""
IN_MEMORY = 1 << 30
"""Bytes of pixels up to which training reads them in any order; more are read from the disk in shuffled blocks."""


@dataclass
class Steps:
    """Steps of one classification, each computed once and stored, identified by everything that decides its result."""

    experiment: Experiment
    collection: Collection
    settings: Settings
    division: Division
    """How the fits of the cross-validation are divided."""
    estimate: TimeEstimate | None
    """None where the workers were asked for, however short the fits are."""
    encoder: EncoderSteps | None = None
    """None without an encoder of the user's."""

    @property
    def seconds(self) -> float:
        """Seconds of all steps, those of shared fits divided by the number of workers."""
        return sum(self.experiment.cache.wall_seconds.values())

    @cached_property
    def trained(self) -> TrainedModel:
        """The VAE, trained on all images without labels."""
        images, settings = self.collection.images, self.settings
        empty, file = images.take(slice(0, 0)), self.collection.pixel_file
        source: Source = images if images.pixels.nbytes <= IN_MEMORY else Blocks(file)
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

    @cached_property
    def pool(self) -> Int[Tensor, " P"] | None:
        """Rows of the images that methods are fitted with: the labelled ones and a random sample, or None for all."""
        images = len(self.collection.images)
        if images <= POOL:
            return None
        sample = torch.from_numpy(np.random.default_rng(self.settings.seed).permutation(images)[:POOL])
        rows: Tensor = torch.cat([sample, self.collection.labelled_rows]).unique()
        return rows

    def method_context(self) -> tuple[MethodContext, Int[Tensor, " M"]]:
        """Return what methods are fitted with, and the rows of the labelled images in it."""
        images, settings, rows = self.collection.images, self.settings, self.collection.labelled_rows
        encoded = self._encoded() if can_cross_validate(self.collection.labels) else None
        if self.pool is not None:
            images, rows = images.take(self.pool), torch.searchsorted(self.pool, rows)
            encoded = encoded and encoded.take(self.pool)
        training = settings.semi_supervised, settings.supervised, self.experiment.compute
        context = MethodContext(images, len(self.collection.classes), settings.model, self.vae, *training, encoded)
        return context, rows

    def _encoded(self) -> EncodedImages | None:
        return None if self.encoder is None else self.encoder.encoded(self.trained.data)

    def _identity(self, with_encoder: bool = True) -> dict[str, Any]:
        """Everything that decides a fit except its method and fold; the encoder, if any, decides those that use it."""
        identity = {
            "vae": self.trained.key,
            "rows": self.collection.labelled_rows.tolist(),
            "labels": self.collection.labels.tolist(),
            "settings": self.settings.model_dump(mode="json", include={"semi_supervised", "supervised", "seed"}),
        }
        return {**identity, "encoder": self.encoder.key} if self.encoder is not None and with_encoder else identity

    def _array(self, name: str, identity: dict[str, Any], compute: Callable[[], np.ndarray]) -> np.ndarray:
        """The only array of a step, by whatever name it is stored."""
        (array,) = self.experiment.arrays(name, identity, lambda: {"values": compute()}).values()
        return array

    def _array_of_all(
        self, name: str, task: str, compute: Callable[..., np.ndarray], identity: dict[str, Any] | None = None
    ) -> np.ndarray:
        """The result of ``compute(images, callback)`` for all images; without ``identity``, the VAE's decides it."""
        identity, callback = identity or {"vae": self.trained.key}, self.experiment.progress_callback(task)
        return self._array(f"all/{name}", identity, lambda: compute(self.collection.images, callback))

    def fold_probabilities(self, method: str, fold: int, compute: Callable[[], np.ndarray]) -> np.ndarray:
        """Return the held-out probabilities of a method on a fold."""
        return self._array(*fold_step(method, fold, self._identity()), compute)

    def cross_validate(self, context: MethodContext, rows: Int[Tensor, " M"]) -> MethodSelection | None:
        """Compare the methods; fits that are not stored are shared where that is faster."""
        labels, compute = self.collection.labels, self.experiment.compute
        compute.set_threads()  # on which the bits of fits without a training depend
        if self._shares_fits():
            share_fits(self.experiment, self._fold_fits(rows), self.division)
        threads = self.division.compute.threads
        if threads != compute.threads:
            context = replace(context, compute=compute.model_copy(update={"threads": threads}))
        with threadpool_limits(threads):
            return cross_validate(context, rows, labels, self.fold_probabilities, self.settings.seed)

    def _shares_fits(self) -> bool:
        if self.division.executor is None:
            return False
        cache, identity, fits = self.experiment.cache, self._identity(), all_fits(self.encoder is not None)
        missing = [name for name, fold in fits if not cache.has_arrays(*fold_step(name, fold, identity))]
        if self.estimate is None:
            return bool(missing)
        return sum(self.estimate.fits.get(name, 0.0) for name in missing) >= LONG

    def _fold_fits(self, rows: Int[Tensor, " M"]) -> FoldFits:
        collection, folder = self.collection, self.experiment.folder.resolve()
        return FoldFits(
            folder=folder,
            pixels=collection.pixel_file.resolve(),
            pool=None if self.pool is None else self.pool.numpy(),
            rows=rows.numpy(),
            labels=collection.labels.numpy(),
            classes=len(collection.classes),
            settings=self.settings,
            compute=self.division.compute,
            identity=self._identity(),
            encoded=None if self.encoder is None else self.encoder.files,
        )

    def fit_classifier(
        self, context: MethodContext, rows: Int[Tensor, " M"], method: str, temperature: float
    ) -> ImageClassifier:
        """Fit a method to all labelled images."""
        title, kind, fit_method = ALL_METHODS[method]
        encoder = self.encoder.checked.encoder if self.encoder is not None and kind == "encoder" else None
        description = Description(
            format="vaebench image classifier, 1" if encoder is None else "vaebench image classifier, 2",
            kind=kind,
            method=title,
            rule=self.collection.rule,
            classes=self.collection.classes,
            model=self.settings.model,
            temperature=temperature,
            encoder=None if encoder is None else encoder.description,
        )

        def fit() -> dict[str, np.ndarray]:
            network = fit_method(context, rows, self.collection.labels, self.settings.seed).cpu()
            return {name: value.numpy() for name, value in network.state_dict().items()}

        weights = self.experiment.arrays("chosen", {**self._identity(encoder is not None), "method": method}, fit)
        network = description.load({name: torch.from_numpy(value) for name, value in weights.items()})
        return ImageClassifier(description, network, encoder)

    def probabilities(self, classifier: ImageClassifier) -> Float[Tensor, "N Y"]:
        """Return the class probabilities of all images."""
        description = classifier.description
        decides = {"method": description.method, "temperature": description.temperature}
        identity = {**self._identity(classifier.encoder is not None), **decides}

        def compute(images: Images, callback: Callable[[float], None]) -> np.ndarray:
            if classifier.encoder is not None and self.encoder is not None:
                return classifier.probabilities_of_features(torch.from_numpy(self.encoder.features)).numpy()
            return classifier.probabilities(images, callback).numpy()

        return torch.from_numpy(self._array_of_all("answers", "classifying all images", compute, identity))

    def latent_means(self) -> Float[np.ndarray, "N D"]:
        """Return the latent means of all images."""
        return self._array_of_all("codes", "encoding all images", lambda *args: encode(self.vae, *args).mean.numpy())

    def fit_outlier_detector(self, means: Float[np.ndarray, "N D"]) -> tuple[OutlierDetector, Float[np.ndarray, " N"]]:
        """Return the outlier detector and the outlier scores of all images."""

        def compute_statistics(detector: OutlierDetector) -> np.ndarray:
            return self._array_of_all("outliers", "computing outlier scores", detector.statistics)

        return OutlierDetector.fit(self.vae, self.collection.images, means, compute_statistics=compute_statistics)
