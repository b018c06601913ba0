"""A classifier applied to files: by vaebench, and image by image with its ONNX file as in the README."""

import json
import time
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

from vaebench.classification.job import classify
from vaebench.classification.prediction import predict
from vaebench.classification.settings import settings_for
from vaebench.training.compute import Compute

IMAGES, LABELS_PER_CLASS = 600, 4
"""Too few labels for cross-validation, so that the semi-supervised VAE is used."""


def _folder(task):
    return Path(task["folder"]) / f"{task['suffix']}-{task['side']}"


def prepare(task):
    """Write the files and a briefly trained classifier with the network for such files; weights do not affect speed."""
    folder, side = _folder(task), task["side"]
    (folder / "new").mkdir(parents=True, exist_ok=True)
    pixels, labels = np.load(task["data"], mmap_mode="r"), np.load(task["labels"])
    for index in range(task["files"]):
        path = folder / "new" / f"{index}.{task['suffix']}"
        if not path.exists():
            image = Image.fromarray(pixels[index, 0])
            image = image if side == 28 else image.resize((side, side)).convert("RGB")
            image.save(path)
    rows = np.concatenate([np.flatnonzero(labels[:IMAGES] == label)[:LABELS_PER_CLASS] for label in range(10)])
    partial_labels = np.full(IMAGES, -1)
    partial_labels[rows] = labels[rows]
    few = np.stack([_small(Image.open(folder / "new" / f"{i}.{task['suffix']}")) for i in range(IMAGES)])
    np.savez(folder / "few.npz", x_train=few, y_train=partial_labels)
    settings = settings_for((3 if few.ndim == 4 else 1, *few.shape[1:3]), IMAGES, len(rows))
    shorter = {"training": settings.training.model_copy(update={"epochs": 1})}
    shorter["semi_supervised"] = settings.semi_supervised.model_copy(update={"rounds": (8,)})
    settings = settings.model_copy(update=shorter)
    classify(folder / "few.npz", out=folder / "classified", settings=settings, compute=Compute(threads=task["threads"]))
    return {}


def _small(image):
    return np.asarray(image if image.size == (28, 28) else image.resize((32, 32)))


def predict_files(task):
    """Files per second of `vaebench predict`, including reading."""
    start = time.perf_counter()
    result = predict(_folder(task) / "classified" / "model", _folder(task) / "new")
    return {"rate": len(result.names) / (time.perf_counter() - start)}


def predict_as_readme(task):
    """Files per second of the README's code."""
    model = _folder(task) / "classified" / "model"
    start = time.perf_counter()
    description = json.loads((model / "model.json").read_text())
    session = onnxruntime.InferenceSession(model / "model.onnx")
    width, height, channels = (description["rule"][name] for name in ("width", "height", "channels"))
    files = sorted((_folder(task) / "new").iterdir())
    for path in files:
        image = Image.open(path)
        image.draft(image.mode, (2 * max(width, height),) * 2)
        image = ImageOps.exif_transpose(image).convert("L" if channels == 1 else "RGB")
        image = (
            ImageOps.pad(image, (width, height), Image.Resampling.BILINEAR) if image.size != (width, height) else image
        )
        session.run(["probabilities"], {"images": np.asarray(image).reshape(1, height, width, channels)})
    return {"rate": len(files) / (time.perf_counter() - start)}
