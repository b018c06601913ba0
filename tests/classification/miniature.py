"""Digits as image files, and settings that train in seconds."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from vaebench.classification.job import classify
from vaebench.classification.settings import settings_for
from vaebench.models.networks import Conv
from vaebench.models.vae import Model
from vaebench.training.compute import Compute

COMPUTE = Compute(device="cpu", precision="fp32", threads=1)
COUNT, EACH = 240, 6
MODEL = Model(latent=8, network=Conv(filters=(16, 32), kernel=(3,), stride=(1, 2)))


def tiny(images=COUNT):
    """Settings that train in seconds."""
    settings = settings_for((1, 8, 8), images, 60)
    return settings.model_copy(
        update={
            "model": MODEL,
            "training": settings.training.model_copy(update={"epochs": 10}),
            "semi_supervised": settings.semi_supervised.model_copy(
                update={"rounds": (10, 10), "batch": 40, "pseudo_labelled": 20}
            ),
            "supervised": settings.supervised.model_copy(update={"steps": 20}),
        }
    )


@dataclass
class DigitFiles:
    """Image files and their true classes."""

    folder: Path
    labels: Path
    truth: dict[str, str]

    def classify(self, out, labels=None, **changes):
        """Classify with small settings."""
        labels = [self.labels] if labels is None else labels
        return classify(self.folder, labels, out, compute=COMPUTE, **{"settings": tiny(), **changes})


def write_digits(folder, count=COUNT, each=EACH, seed=0):
    """Write digits as image files, and a CSV file with ``each`` labels of each class."""
    digits = load_digits()
    rows = np.random.default_rng(seed).permutation(len(digits.images))[:count]
    (folder / "images").mkdir(parents=True)
    truth = {}
    for row in rows:
        pixels = (digits.images[row] * 255 / 16).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{row}.png")
        truth[f"{row}.png"] = f"digit {digits.target[row]}"
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        for name in sorted(set(truth.values())):
            writer.writerows([file, name] for file in [one for one, label in truth.items() if label == name][:each])
    return DigitFiles(folder / "images", folder / "labels.csv", truth)
