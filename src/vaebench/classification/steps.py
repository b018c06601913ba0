"""Steps of one classification: augmentation, VAE, cross-validation, classifier, and results of all images."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
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
from vaebench.classification.cross_validation import (
    CrossValidation,
    Fit,
    can_cross_validate,
    cross_validate,
    leaves_a_chance,
)
from vaebench.classification.encoded_images import EncodedImages
from vaebench.classification.encoder_methods import ALL_METHODS
from vaebench.classification.encoder_steps import EncoderSteps
from vaebench.classification.fold_fits import FoldFits, fold_identity, weights_identity
from vaebench.classification.latents import Latents
from vaebench.classification.methods import MethodContext
from vaebench.classification.outliers import OutlierDetector
from vaebench.classification.selection import MethodSelection
from vaebench.classification.settings import Settings
from vaebench.classification.shared_work import LONG, run_shared
from vaebench.classification.time_estimate import TimeEstimate
from vaebench.data.blocks import Blocks
from vaebench.data.images import Images, Source
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
    pilot: TrainedModel | None = None
    """A VAE of a short training that takes the place of the VAE in the first results."""

    @property
    def seconds(self) -> float:
        """Seconds of all steps, those of shared fits divided by the number of workers."""
        return sum(self.experiment.cache.wall_seconds.values())

    @cached_property
    def trained(self) -> TrainedModel:
        """The VAE, trained on all images without labels."""
        if self.pilot is not None:
            return self.pilot
        images, settings = self.collection.images, self.settings
        source: Source = images if images.pixels.nbytes <= IN_MEMORY else Blocks(self.collection.pixel_file)
        return self.experiment.network(
            "vae",
            self.collection.dataset,
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
    def pool(self) -> Int[np.ndarray, " P"] | None:
        """Rows of the images that methods are fitted with: the labelled ones and a random sample, or None for all."""
        images = len(self.collection.images)
        if images <= POOL:
            return None
        sample = np.random.default_rng(self.settings.seed).permutation(images)[:POOL]
        return np.union1d(sample, self.collection.labelled_rows.numpy())

    @cached_property
    def latents(self) -> Latents:
        """The codes of all images."""
        return Latents(self.experiment, self.collection.images, self.vae, self.trained.key, self.pool)

    @cached_property
    def pool_rows(self) -> Int[Tensor, " M"]:
        """Rows of the labelled images in the pool."""
        rows = self.collection.labelled_rows
        return rows if self.pool is None else torch.searchsorted(torch.from_numpy(self.pool), rows)

    @cached_property
    def context(self) -> MethodContext:
        """What methods are fitted with."""
        latents, classes = self.latents, len(self.collection.classes)
        images, means = latents.pool_images, latents.pool_means
        own = self.vae, means, latents.graph, self.settings, self.experiment.compute
        return MethodContext(images, classes, *own, self._encoded())

    def _encoded(self) -> EncodedImages | None:
        """Features of the pool under the user's encoder."""
        if self.encoder is None or not can_cross_validate(self.collection.labels):
            return None
        encoded = self.encoder.encoded(self.trained.data)
        return encoded if self.pool is None else encoded.take(torch.from_numpy(self.pool))

    def identity(self, with_encoder: bool = True) -> dict[str, Any]:
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

    def cross_validate(self) -> Iterator[MethodSelection]:
        """Yield the selection of a method from the cheap methods, then from all.

        Fits that are not stored are shared where that is faster. Yields nothing without enough labels.
        """
        if can_cross_validate(self.collection.labels):
            yield from cross_validate(self.validation, self._run_fits)

    @cached_property
    def validation(self) -> CrossValidation:
        """The fits to the labelled images, with the threads of a worker."""
        compute = self.experiment.compute
        compute.set_threads()  # on which the bits of fits without a training depend
        threads = self.division.compute.threads
        context = replace(self.context, compute=compute.model_copy(update={"threads": threads}))
        return CrossValidation(context, self.pool_rows, self.collection.labels, self.settings.seed)

    def seconds_of_networks(self, selection: MethodSelection) -> float:
        """Seconds after a selection that the trainings of networks are expected to take; 0 if there are none."""
        trained = any(ALL_METHODS[name].trains_network for name in (*selection.probabilities, *selection.stopped))
        if trained or not leaves_a_chance(selection):
            return 0.0
        return math.inf if self.estimate is None else self.estimate.seconds_of_fits / self.division.workers

    def _run_fits(self, fits: Sequence[Fit], final: Sequence[str]) -> dict[Fit, np.ndarray]:
        missing = [fit for fit in fits if not self._has(fit)]
        if self._shares(missing):
            run_shared(self.experiment, self._fold_fits(missing, final), self.division)
        with threadpool_limits(self.division.compute.threads):
            return {fit: self._probabilities_of(fit) for fit in fits}

    def _has(self, fit: Fit) -> bool:
        return self.experiment.cache.has_arrays(fit.name, fold_identity(fit, self.identity()))

    def _probabilities_of(self, fit: Fit) -> np.ndarray:
        return self._array(fit.name, fold_identity(fit, self.identity()), lambda: self.validation.probabilities(fit))

    def _shares(self, missing: Sequence[Fit]) -> bool:
        networks = [fit for fit in missing if ALL_METHODS[fit.method].trains_network]
        if self.division.executor is None or not networks:
            return False
        if self.estimate is None:
            return True
        return sum(self.estimate.fits.get(fit.method, 0.0) for fit in networks) >= LONG

    def _fold_fits(self, fits: Sequence[Fit], final: Sequence[str]) -> FoldFits:
        collection = self.collection
        return FoldFits(
            fits=tuple(fits),
            final=tuple(final),
            folder=self.experiment.folder.resolve(),
            pixels=collection.pixel_file.resolve(),
            pool=self.pool,
            rows=self.pool_rows.numpy(),
            labels=collection.labels.numpy(),
            classes=len(collection.classes),
            settings=self.settings,
            compute=self.division.compute,
            identity=self.identity(),
        )

    def fit_classifier(self, method: str, temperature: float) -> ImageClassifier:
        """Fit a method to all labelled images."""
        title, kind, _, neighbours = ALL_METHODS[method]
        collection = self.collection
        encoder = self.encoder.checked.encoder if self.encoder is not None and kind == "encoder" else None
        description = Description(
            format="vaebench image classifier, 1" if encoder is None else "vaebench image classifier, 2",
            kind=kind,
            method=title,
            rule=collection.rule,
            classes=collection.classes,
            model=self.settings.model,
            temperature=temperature,
            neighbours=neighbours,
            encoder=None if encoder is None else encoder.description,
        )
        identity = weights_identity(method, self.identity())
        with threadpool_limits(self.division.compute.threads):
            weights = self.experiment.arrays(f"chosen/{method}", identity, lambda: self.validation.weights(method))
        network = description.load({name: torch.from_numpy(value) for name, value in weights.items()})
        return ImageClassifier(description, network, encoder)

    def probabilities(self, classifier: ImageClassifier) -> Float[Tensor, "N Y"]:
        """Return the class probabilities of all images."""
        description = classifier.description
        decides = {"method": description.method, "temperature": description.temperature}
        identity = {**self.identity(classifier.encoder is not None), **decides}

        def compute(images: Images, callback: Callable[[float], None]) -> np.ndarray:
            if classifier.encoder is not None and self.encoder is not None:
                return classifier.probabilities_of_features(torch.from_numpy(self.encoder.features)).numpy()
            return classifier.probabilities(images, callback).numpy()

        return torch.from_numpy(self._array_of_all("probabilities", "classifying all images", compute, identity))

    def fit_outlier_detector(self) -> tuple[OutlierDetector, Float[np.ndarray, " N"]]:
        """Return the outlier detector and the outlier scores of all images."""

        def compute_statistics(detector: OutlierDetector) -> np.ndarray:
            return self._array_of_all("outliers", "computing outlier scores", detector.statistics)

        images, means = self.collection.images, self.latents.means
        return OutlierDetector.fit(self.vae, images, means, compute_statistics=compute_statistics)
