"""Figures of paper A."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib.figure import Figure

from vaebench.experiments.measurements import image_grids_step, latent_map
from vaebench.papers.experiment import PaperExperiment
from vaebench.papers.vae_classifiers.dataset import DatasetExperiment, per_seed
from vaebench.papers.vae_classifiers.settings import SETTINGS
from vaebench.plotting.plots import Panel, Series, bars, confusion, lines, scatter_3d
from vaebench.runs.report.pictures import pairs


def draw(experiment: PaperExperiment, datasets: dict[str, DatasetExperiment]) -> None:
    """Draw every figure."""
    for name, dataset in datasets.items():
        images = image_grids_step(experiment, f"{name}-0", dataset.vaes[0])
        experiment.figure(f"reconstructions-{name}", lambda i=images: pairs(i["images"], i["outputs"], None))  # type: ignore[misc]
        experiment.figure(f"confusion-{name}", _draw_confusion(dataset))
    experiment.figure("quickdraw-curves", lambda: _draw_head_curves(datasets["quickdraw"]))
    names = [dataset.settings.title for dataset in datasets.values()]
    groups: dict[str, list[float]] = {
        "as reported, sampled z": [100 * float(np.mean(per_seed(dataset.sampled))) for dataset in datasets.values()],
        "as reported, means": [100 * float(np.mean(per_seed(dataset.means))) for dataset in datasets.values()],
        "notebooks, sampled z": [100 * (experiment.rows[f"coded-{name}"].reproduced or 0.0) for name in datasets],
        "our recipe": [100 * dataset.our_result[0]["accuracy"] for dataset in datasets.values()],
    }
    experiment.figure("variants", lambda: bars(names, groups, "test accuracy (%)", "Accuracy by variant"))
    vae, classes = datasets["quickdraw"].vaes[0], datasets["quickdraw"].data.classes
    latents = np.random.default_rng(0).permutation(SETTINGS["quickdraw"].model.latent)[:3].tolist()
    codes = latent_map(experiment, "quickdraw", vae, latents)
    axes = [f"z{latent}" for latent in latents]
    experiment.figure("three-latents", lambda: scatter_3d(codes["codes"], codes["labels"], classes, axes))


def _draw_confusion(dataset: DatasetExperiment) -> Callable[[], Figure]:
    result = dataset.sampled[0]
    title = f"large head on sampled z: {100 * result['accuracy']:.1f} %"
    return lambda: confusion(np.array(result["confusion"]), dataset.data.classes, title)


def _draw_head_curves(dataset: DatasetExperiment) -> Figure:
    records = dataset.fit_large_head("forty", dataset.vaes[0].sampled, epochs=40)["epochs"]
    x = [record["epoch"] for record in records]
    parts = {"train": "", "validation": "validation_", "test": "test_"}
    accuracy = {
        part: Series(x, [100 * record[f"{prefix}accuracy"] for record in records]) for part, prefix in parts.items()
    }
    loss = {part: Series(x, [record[f"{prefix}loss"] for record in records]) for part, prefix in parts.items()}
    return lines(
        [Panel("accuracy", accuracy, "epoch", "accuracy (%)"), Panel("cross-entropy", loss, "epoch", "nats per image")]
    )
