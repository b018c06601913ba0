"""Run folders with synthetic rows and arrays, without training."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vaebench.core.files import write_json, write_text
from vaebench.core.statistics import summary
from vaebench.data.datasets import Data
from vaebench.models.vae import Model
from vaebench.runs.evaluation import Evaluation
from vaebench.runs.recipe import Recipe
from vaebench.runs.run import SCHEMA, Run
from vaebench.training.checkpoint import write_tensors

FEATURES = ("vae", "autoencoder", "pixels", "pca", "random")


def accuracy_row(features, count, values, probe="logistic", split="test"):
    base = {"data": "made up", "split": split, "features": features, "probe": probe}
    return {**base, "labels_per_class": count, "metric": "accuracy", **summary(list(values))}


def synthetic_rows(counts, draws=3):
    """Random accuracies of every representation, probe and count."""
    rows = []
    generator = np.random.default_rng(0)
    for count in counts:
        n = 1 if count == "all" else draws
        cells = [(features, probe) for features in FEATURES for probe in ("logistic", "knn")]
        for features, probe in [*cells, ("images", "supervised")]:
            for split in ("test", "validation"):
                rows.append(accuracy_row(features, count, generator.uniform(0.3, 0.99, n), probe, split))
    return rows


def score_rows(latent):
    scores = {"elbo": -95.25, "reconstruction": 83.5, "kl": 11.75, "active_units": 1.0, "dead_latents": 0.0}
    return [{"data": "made up", "split": "test", "metric": key, **summary([v])} for key, v in scores.items()]


def self_trained_rows(counts):
    """Rows of a self-trained VAE: accuracy 0.9 at every count, ELBO 1.5 nats below that of the VAE."""
    rows = [accuracy_row("self-trained", count, (0.89, 0.9, 0.91), "self-training") for count in counts]
    scores = {"elbo": -96.75, "reconstruction": 85.0, "kl": 11.75, "active_units": 1.0, "dead_latents": 0.0}
    base = {"data": "made up", "split": "test", "features": "self-trained"}
    return rows + [{**base, "metric": key, **summary([v])} for key, v in scores.items()]


def synthetic_panels(shape, latent, classes, points, pairs, epochs):
    generator = np.random.default_rng(1)
    top = min(latent, 20)

    def images(*lead):
        return generator.integers(0, 256, (*lead, *shape), dtype=np.uint8)

    labels = np.arange(points) % classes if classes else np.full(points, -1)
    arrays = {
        "kl_per_latent": np.linspace(2.0, 0.01 if latent > 1 else 2.0, latent),
        "variance_of_mean": np.ones(latent, dtype=np.float32),
        "reconstruction_images": images(pairs),
        "reconstruction_outputs": images(pairs),
        "worst_images": images(pairs),
        "worst_outputs": images(pairs),
        "worst_nats": np.linspace(900, 100, pairs, dtype=np.float32),
        "samples": images(64),
        "traversal_latents": np.arange(top),
        "traversals": images(top, 11),
        "interpolations": images(min(6, pairs // 2), 11),
        "growth_epochs": np.array([1, 2, epochs]),
        "growth_samples": images(3, 6),
        "map_rows": np.arange(points),
        "map_images": images(points),
        "map_codes": generator.normal(size=(points, latent)).astype(np.float32),
        "map_log_variance": np.full((points, latent), -2, np.float32),
        "map_latents": np.arange(min(latent, 3)),
        "map_tsne": generator.normal(size=(points, 2)).astype(np.float32),
        "map_labels": labels,
    }
    if classes:
        arrays["nearest_samples"] = arrays["nearest_images"] = images(min(16, pairs))
        arrays["confusion"] = generator.integers(0, 30, (classes, classes))
        arrays["head_weight"] = generator.normal(size=(classes, latent)).astype(np.float32)
        arrays["head_bias"] = np.zeros(classes, np.float32)
    return arrays


def history(epochs, parts):
    values = dict.fromkeys(parts, 100.0)
    return {
        "epochs": [
            {"epoch": e, "step": e, **{k: v / e for k, v in values.items()}}
            | {f"validation_{k}": v / e + 1 for k, v in values.items()}
            for e in range(1, epochs + 1)
        ],
        "best_epoch": epochs,
        "seconds": 1.5,
    }


def write_run(
    folder: Path,
    *,
    shape=(1, 8, 8),
    latent=12,
    classes=(),
    rows=None,
    counts=(1, 10, "all"),
    name="made-up",
    data="made up",
    note="",
    alarms=(),
    autoencoder=True,
    epochs=3,
    points=40,
    pairs=16,
    self_trained=False,
    weights=False,
    map_images=True,
):
    """Write the folder of a finished run and return the run."""
    recipe = Recipe(
        name=name,
        data=Data(source="digits"),
        model=Model(latent=latent),
        evaluation=Evaluation(labels_per_class=tuple(counts), draws=3),
    )
    write_text(folder / "recipe.json", recipe.model_dump_json())
    write_json(folder / "history.json", history(epochs, ("loss", "elbo", "reconstruction", "kl")))
    if autoencoder:
        write_json(folder / "autoencoder" / "history.json", history(epochs, ("loss", "reconstruction")))
    arrays = synthetic_panels(shape, latent, len(classes), points, pairs, epochs)
    if rows is None:
        rows = synthetic_rows(counts) if classes else []
    if self_trained:  # and of a model that starts from a trained VAE, so that every figure is drawn
        write_json(folder / "pretrained" / "history.json", history(epochs, ("loss", "elbo", "reconstruction", "kl")))
        rows = rows + self_trained_rows(counts)
        arrays |= {"taught_images": arrays["worst_images"], "taught_outputs": arrays["worst_outputs"]}
        arrays |= {"taught_samples": arrays["samples"], "taught_confusion": np.diag([3] * len(classes))}
    if not map_images:
        del arrays["map_images"]
    if weights:
        network = recipe.model.build(shape)
        write_tensors(folder / "weights.safetensors", network.state_dict(), {"image_shape": shape, "model": "vae"})
    np.savez(folder / "panels.npz", **arrays)
    results = {
        "schema": SCHEMA,
        "recipe": recipe.model_dump(mode="json"),
        "machine": {"processor": "abacus", "cores": 2, "gpu": None, "system": "Linux", "versions": {"vaebench": "9.9"}},
        "commit": "abc123+",
        "seconds": 12.5,
        "stages": {"training": 10.0, "learning curve": 2.5},
        "data": {
            "name": data,
            "note": note,
            "fingerprint": "f00d",
            "images": {"train": 1234, "validation": 50, "test": 60},
        },
        "image_shape": list(shape),
        "classes": list(classes),
        "alarms": [{"name": key, "message": message} for key, message in alarms],
        "rows": rows + score_rows(latent),
    }
    write_json(folder / "results.json", results)
    return Run.load(folder)
