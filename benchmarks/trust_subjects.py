"""The data sets of trust.py: labels hidden, and one VAE for all draws of labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vaebench.classification.methods import MethodContext
from vaebench.classification.pilots import Pilots, best_augmentation, candidates, pilot_sample
from vaebench.classification.settings import Settings, settings_for
from vaebench.data.datasets import Data
from vaebench.data.draws import balanced_draw
from vaebench.data.images import Dataset, Images
from vaebench.experiments.experiment import Experiment, cifar10


@dataclass
class Subject:
    """A data set with its labels hidden, the true labels apart, and one VAE of its images."""

    name: str
    images: Images
    truth: Tensor
    settings: Settings
    context: MethodContext
    key: str
    """Key of the VAE."""
    augmentation: str
    """Chosen by the first draw of labels, as classify does."""
    note: str = ""
    """Remark on the images, for the page."""


SUBJECTS: dict[str, Subject] = {}


def load_subject(experiment: Experiment, name: str) -> Subject:
    """Training images of a data set with one VAE for all draws."""
    if name not in SUBJECTS:
        SUBJECTS[name] = make_subject(experiment, name)
    return SUBJECTS[name]


def make_subject(experiment: Experiment, name: str) -> Subject:
    """Subject with a VAE trained on all images, or read from the experiment."""
    data = experiment.data(cifar10() if name == "cifar10" else Data(source=name))
    parts = data.train, data.validation
    pixels, truth = (torch.cat([getattr(part, key) for part in parts]) for key in ("pixels", "labels"))
    images = Images(pixels, torch.full_like(truth, -1), data.classes)
    augmentation = choose_augmentation(experiment, name, images, truth)
    settings = settings_for(images.shape, len(images), 10 * len(data.classes), augmentation)
    empty = images.take(slice(0, 0))
    trained = experiment.network(
        f"{name}/vae",
        Dataset(name, images, empty, empty),
        lambda: settings.model.build(images.shape),
        (images, None),
        settings.objective,
        settings.training,
        settings.seed,
        {"model": settings.model.model_dump()},
    )
    context = MethodContext.from_vae(images, len(data.classes), trained.vae, settings, experiment.compute)
    return Subject(name, images, truth, settings, context, trained.key, augmentation, data.note)


def choose_augmentation(experiment: Experiment, name: str, images: Images, truth: Tensor) -> str:
    """Augmentation that `classify` chooses by the first draw of labels."""
    pixels = experiment.folder / "pixels" / f"{name}.npy"
    if not pixels.exists():
        pixels.parent.mkdir(parents=True, exist_ok=True)
        np.save(pixels, images.pixels.numpy())
    rows = balanced_draw(truth, 10, (0, 0)).numpy()
    sample = pilot_sample(len(images), rows, 0)
    pilots = Pilots(
        settings={
            each: settings_for(images.shape, len(images), len(rows), each) for each in candidates(images.shape[0])
        },
        folder=experiment.folder,
        pixels=pixels,
        sample=sample,
        rows=np.searchsorted(sample, rows),
        labels=truth[rows].numpy(),
        classes=len(images.classes),
        compute=experiment.compute,
        identity={"data": name},
    )
    return best_augmentation({each: pilots.correct(experiment, each) for each in pilots.settings})
