"""Figures of paper A."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from vaebench.experiments.measurements import image_grids_step, latent_map
from vaebench.papers.experiment import PaperExperiment
from vaebench.papers.vae_classifiers.dataset import DatasetExperiment, values_of
from vaebench.papers.vae_classifiers.reported import SETS
from vaebench.plotting.plots import Panel, Series, bars, confusion, lines, scatter_3d
from vaebench.runs.report.pictures import pairs


def draw(experiment: PaperExperiment, sets: dict[str, DatasetExperiment]) -> None:
    """Every figure."""
    for name, bench in sets.items():
        shown = image_grids_step(experiment, f"{name}-0", bench.trials[0])
        experiment.figure(f"reconstructions-{name}", lambda s=shown: pairs(s["images"], s["outputs"], None))  # type: ignore[misc]
        result = bench.large[0]
        title = f"large head on sampled z: {100 * result['accuracy']:.1f} %"
        experiment.figure(f"confusion-{name}", _confusion(result, bench, title))
    experiment.figure("quickdraw-curves", lambda: _head_curves(sets["quickdraw"]))
    names = [bench.one.words for bench in sets.values()]
    groups: dict[str, list[float]] = {
        "as printed, sampled z": [100 * float(np.mean(values_of(bench.large))) for bench in sets.values()],
        "as printed, means": [100 * float(np.mean(values_of(bench.means))) for bench in sets.values()],
        "as coded, sampled z": [100 * (experiment.findings.rows[f"coded-{name}"].found or 0.0) for name in sets],
        "our recipe": [100 * bench.own()[0]["accuracy"] for bench in sets.values()],
    }
    experiment.figure("variants", lambda: bars(names, groups, "test accuracy (%)", "Where the accuracy comes from"))
    trial, data = sets["quickdraw"].trials[0], sets["quickdraw"].data
    latents = np.random.default_rng(0).permutation(SETS["quickdraw"].model.latent)[:3].tolist()
    codes = latent_map(experiment, "quickdraw", trial, latents)
    axes = [f"z{d}" for d in latents]
    experiment.figure("three-latents", lambda: scatter_3d(codes["codes"], codes["labels"], data.classes, axes))


def _confusion(result: dict[str, Any], bench: DatasetExperiment, title: str) -> Callable[[], Any]:
    return lambda: confusion(np.array(result["confusion"]), bench.data.classes, title)


def _head_curves(bench: DatasetExperiment) -> Any:
    epochs = bench.read("forty", bench.one.large, bench.trials[0].sampled, epochs=40)["epochs"]
    x = [record["epoch"] for record in epochs]
    parts = {"train": "", "validation": "validation_", "test": "test_"}
    accuracy = {part: Series(x, [100 * record[f"{key}accuracy"] for record in epochs]) for part, key in parts.items()}
    loss = {part: Series(x, [record[f"{key}loss"] for record in epochs]) for part, key in parts.items()}
    return lines(
        [Panel("accuracy", accuracy, "epoch", "accuracy (%)"), Panel("cross-entropy", loss, "epoch", "nats per image")]
    )
