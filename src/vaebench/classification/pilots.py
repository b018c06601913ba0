"""Pilots: short trainings of the VAE, one for each augmentation, by which the augmentation is chosen."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits

from vaebench.classification.collection import Collection
from vaebench.classification.cross_validation import frequent_classes
from vaebench.classification.settings import PILOT_PAIRS, Settings
from vaebench.classification.shared_work import LONG, run_shared
from vaebench.core.steps import Arrays, content_key
from vaebench.data.augment import PRESETS
from vaebench.data.blocks import read_pixels
from vaebench.data.images import HIDDEN, Dataset, Images
from vaebench.evaluation.features import encode_means
from vaebench.experiments.experiment import Experiment
from vaebench.experiments.trained import TrainedModel
from vaebench.models.vae import VAE
from vaebench.semi_supervised.graphs import Graph
from vaebench.training.compute import Compute
from vaebench.training.loop import Training, train
from vaebench.training.sharing import Division

PILOT_IMAGES = 10_000
"""Images of which these pairs are, the labelled ones among them."""
REPEATS = 4
"""Repetitions of the cross-validation, with other folds each."""
FOLDS = 5
WEIGHTS = "weights/"
"""Prefix of the names of weights among the kept arrays."""
ONLY_GREY = ("strokes",)
"""Augmentations that are no candidates for colour images."""
ONLY_COLOUR = ("photographs",)


def candidates(channels: int) -> list[str]:
    """Augmentations that are compared for images of this many channels, the mildest first."""
    others = ONLY_COLOUR if channels == 1 else ONLY_GREY
    return [name for name in PRESETS if name not in others]


def pilot_sample(images: int, labelled: Int[np.ndarray, " M"], seed: int) -> Int[np.ndarray, " S"]:
    """Rows of the labelled images and of others, at random, in rising order."""
    if images <= PILOT_IMAGES:
        return np.arange(images)
    others = np.setdiff1d(np.arange(images), labelled)
    count = max(0, PILOT_IMAGES - len(labelled))
    return np.sort(np.concatenate([labelled, np.random.default_rng(seed).permutation(others)[:count]]))


@dataclass(frozen=True)
class Pilots:
    """What a worker needs to train pilots and to cross-validate label propagation on the graph of each."""

    settings: Mapping[str, Settings]
    """Settings of the classification by augmentation."""
    folder: Path
    """Folder of the steps."""
    pixels: Path
    """Pixels (N, C, H, W) of all images."""
    sample: Int[np.ndarray, " S"]
    """Rows of the images that pilots are trained on."""
    rows: Int[np.ndarray, " M"]
    """Rows of the labelled images in the sample, of classes that can be cross-validated."""
    labels: Int[np.ndarray, " M"]
    classes: int
    compute: Compute
    """That of a worker."""
    identity: dict[str, Any]
    """Identifies the pixels."""

    @classmethod
    def of(cls, collection: Collection, settings: Mapping[str, Settings], folder: Path, compute: Compute) -> Pilots:
        """Pilots of a sample of the images, cross-validated on the classes that have enough labels."""
        rows, labels = collection.labelled_rows.numpy(), collection.labels.numpy()
        sample = pilot_sample(len(collection.names), rows, 0)
        known = np.isin(labels, frequent_classes(collection.labels))
        return cls(
            settings=settings,
            folder=folder.resolve(),
            pixels=collection.pixel_file.resolve(),
            sample=sample,
            rows=np.searchsorted(sample, rows[known]),
            labels=labels[known],
            classes=len(collection.classes),
            compute=compute,
            identity={"data": collection.images.fingerprint()},
        )

    def tasks(self, experiment: Experiment) -> dict[str, Callable[[], object]]:
        """One task for each augmentation."""
        return {f"augmentation-{name}": partial(self.correct, experiment, name) for name in self.settings}

    def kept(self, experiment: Experiment) -> bool:
        """Whether all results are kept."""
        return all(experiment.cache.has_arrays(*self._step(name)) for name in self.settings)

    def correct(self, experiment: Experiment, name: str) -> Bool[np.ndarray, "R M"]:
        """Whether each label is predicted correctly in each repetition of the cross-validation."""
        return experiment.arrays(*self._step(name), lambda: self._measure(name))["correct"]

    def trained(self, experiment: Experiment, name: str, data: Dataset) -> TrainedModel:
        """The VAE of a short training; ``data`` are all images."""
        settings, (step, identity) = self.settings[name], self._step(name)

        def load() -> VAE:
            arrays = experiment.arrays(step, identity, lambda: self._measure(name))
            vae = settings.model.build(data.train.shape)
            vae.load_state_dict({key: torch.from_numpy(arrays[WEIGHTS + key]) for key in vae.state_dict()})
            return vae.eval()

        return TrainedModel(content_key(identity), data, lambda: {"pairs": PILOT_PAIRS}, load)

    def _step(self, name: str) -> tuple[str, dict[str, Any]]:
        settings = self.settings[name].model_dump(mode="json", exclude={"semi_supervised", "supervised"})
        labels = {"rows": self.rows.tolist(), "labels": self.labels.tolist(), "settings": settings}
        return f"augmentation/{name}", {**self.identity, **labels, "pairs": PILOT_PAIRS, "images": len(self.sample)}

    def _measure(self, name: str) -> Arrays:
        settings = self.settings[name]
        pixels = torch.from_numpy(read_pixels(self.pixels)[self.sample])
        images = Images(pixels, torch.full((len(pixels),), HIDDEN))
        with torch.random.fork_rng():
            torch.manual_seed(settings.seed)
            vae = settings.model.build(images.shape)
        training = settings.training
        pilot = Training(
            epochs=math.ceil(PILOT_PAIRS / len(images)), batch=training.batch, optimiser=training.optimiser
        )
        train(vae, settings.objective, images, pilot, compute=self.compute, seed=settings.seed)
        graph = Graph.from_codes(encode_means(vae.cpu().eval(), images).numpy())
        correct = np.stack([self._cross_validate(settings, graph, repeat) for repeat in range(REPEATS)])
        return {"correct": correct, **{WEIGHTS + key: value.numpy() for key, value in vae.state_dict().items()}}

    def _cross_validate(self, settings: Settings, graph: Graph, repeat: int) -> Bool[np.ndarray, " M"]:
        correct = np.zeros(len(self.rows), dtype=bool)
        for fitted, held_out in self._folds(repeat):
            scores = settings.semi_supervised.propagation.propagate(
                graph, self.rows[fitted], self.labels[fitted], self.classes
            )
            correct[held_out] = scores[self.rows[held_out]].argmax(1) == self.labels[held_out]
        return correct

    def _folds(self, repeat: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        yield from StratifiedKFold(FOLDS, shuffle=True, random_state=repeat).split(self.rows, self.labels)


def best_augmentation(correct: Mapping[str, Bool[np.ndarray, "R M"]]) -> str:
    """Name of the augmentation with the highest cross-validated accuracy; of equal ones the first.

    The mildest, the first one, is chosen only where it is ahead of the best of the others by more than one standard
    error of the paired difference: in short trainings the others, which need longer ones, seem worse than they are.
    """
    mildest, *others = correct
    if not others:
        return mildest
    best = max(others, key=lambda name: correct[name].mean())
    gap = correct[mildest].mean(0) - correct[best].mean(0)
    return mildest if gap.mean() > gap.std() / math.sqrt(len(gap)) else best


def choose_augmentation(
    experiment: Experiment, pilots: Pilots, division: Division, seconds: float
) -> tuple[str, dict[str, float]]:
    """Return the best augmentation and the cross-validated accuracy of each.

    Args:
        experiment: keeps the results.
        pilots: the trainings.
        division: the workers that share them.
        seconds: what they take in one process, by which it is decided whether they are shared.
    """
    if division.executor is not None and seconds >= LONG and not pilots.kept(experiment):
        run_shared(experiment, pilots, division)
    with threadpool_limits(division.compute.threads):
        correct = {name: pilots.correct(experiment, name) for name in pilots.settings}
    return best_augmentation(correct), {name: float(each.mean()) for name, each in correct.items()}
