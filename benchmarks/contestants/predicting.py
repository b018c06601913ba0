"""A classifier applied to files: by vaebench, and as a user of its ONNX file would, image by image."""

import json
import time
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

from vaebench.classification.job import classify
from vaebench.classification.predict import predict
from vaebench.classification.settings import settings_for
from vaebench.training.compute import Compute

LEARNED, EACH = 600, 4
"""Images, and labels of each class: too few to compare methods by, so the semi-supervised VAE is used."""


def _place(task):
    return Path(task["folder"]) / f"{task['suffix']}-{task['side']}"


def prepare(task):
    """The files, and a classifier of the network that such files get: its weights do not change its speed."""
    place, side = _place(task), task["side"]
    (place / "new").mkdir(parents=True, exist_ok=True)
    pixels, labels = np.load(task["data"], mmap_mode="r"), np.load(task["labels"])
    for index in range(task["files"]):
        path = place / "new" / f"{index}.{task['suffix']}"
        if not path.exists():
            image = Image.fromarray(pixels[index, 0])
            image = image if side == 28 else image.resize((side, side)).convert("RGB")
            image.save(path)
    rows = np.concatenate([np.flatnonzero(labels[:LEARNED] == label)[:EACH] for label in range(10)])
    known = np.full(LEARNED, -1)
    known[rows] = labels[rows]
    few = np.stack([_small(Image.open(place / "new" / f"{i}.{task['suffix']}")) for i in range(LEARNED)])
    np.savez(place / "few.npz", x_train=few, y_train=known)
    settings = settings_for((3 if few.ndim == 4 else 1, *few.shape[1:3]), LEARNED, len(rows))
    shorter = {"training": settings.training.model_copy(update={"epochs": 1})}
    shorter["semi_supervised"] = settings.semi_supervised.model_copy(update={"rounds": (8,)})
    settings = settings.model_copy(update=shorter)
    classify(place / "few.npz", out=place / "classified", settings=settings, compute=Compute(threads=task["threads"]))
    return {}


def _small(image):
    return np.asarray(image if image.size == (28, 28) else image.resize((32, 32)))


def by_predict(task):
    """Files a second of `vaebench predict`, reading included."""
    start = time.perf_counter()
    found = predict(_place(task) / "classified" / "model", _place(task) / "new")
    return {"rate": len(found.names) / (time.perf_counter() - start)}


def by_ten_lines(task):
    """Files a second of the README's lines."""
    model = _place(task) / "classified" / "model"
    start = time.perf_counter()
    about = json.loads((model / "model.json").read_text())
    session = onnxruntime.InferenceSession(model / "model.onnx")
    width, height, channels = (about["rule"][name] for name in ("width", "height", "channels"))
    files = sorted((_place(task) / "new").iterdir())
    for path in files:
        image = Image.open(path)
        image.draft(image.mode, (2 * max(width, height),) * 2)
        image = ImageOps.exif_transpose(image).convert("L" if channels == 1 else "RGB")
        image = (
            ImageOps.pad(image, (width, height), Image.Resampling.BILINEAR) if image.size != (width, height) else image
        )
        session.run(["probabilities"], {"images": np.asarray(image).reshape(1, height, width, channels)})
    return {"rate": len(files) / (time.perf_counter() - start)}
