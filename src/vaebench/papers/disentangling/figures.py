"""Figures of paper C."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure

from vaebench.core.statistics import summary
from vaebench.evaluation.panels import Arrays, spread_over_classes, traversals
from vaebench.experiments.measurements import bounds_step, image_grids_step
from vaebench.experiments.trained import TrainedModel
from vaebench.papers.disentangling.comparison import Comparison
from vaebench.papers.disentangling.settings import MODELS
from vaebench.papers.experiment import PaperExperiment
from vaebench.plotting.plots import Panel, Series, lines
from vaebench.plotting.style import signed
from vaebench.runs.report.pictures import Margins, pairs, sheet


def draw(
    experiment: PaperExperiment,
    comparisons: Mapping[str, Comparison],
    further: Mapping[str, Comparison],
    correlated: Mapping[str, dict[int, str]],
) -> None:
    """Draw every figure; ``correlated`` has the results of ``record_architecture``."""
    for figure, shown in (("figure-4", comparisons), ("future", further)):
        panels = [_learning_curves(comparison) for comparison in shown.values()]
        experiment.figure(figure, lambda panels=panels: lines(panels, size=(4.4, 3.3)))  # type: ignore[misc]
    for name, comparison in comparisons.items():
        vae = comparison.vaes["disentangled"]
        nats = bounds_step(experiment, f"{name}-disentangled", vae)["test"]["kl_per_latent"]
        images = _traverse(experiment, name, vae, nats)
        statistics = correlated[name]
        experiment.figure(f"traversals-{name}", lambda i=images, n=nats, s=statistics: _traversal_sheet(i, n, s))  # type: ignore[misc]
        for model, trained in comparison.vaes.items():
            grid = image_grids_step(experiment, f"{name}-{model}", trained)
            experiment.figure(f"pairs-{name}-{model}", lambda g=grid: pairs(g["images"], g["outputs"], None))  # type: ignore[misc]
            experiment.figure(
                f"worst-{name}-{model}", lambda g=grid: pairs(g["worst_images"], g["worst_outputs"], None)  # type: ignore[misc]
            )  # fmt: skip


def _learning_curves(comparison: Comparison) -> Panel:
    x = [5500 if count == "all" else int(count) for count in comparison.counts]
    curves = {}
    for model in MODELS:
        rows = [summary(comparison.results[model, count]["accuracy"]) for count in comparison.counts]
        ends = [row["interval"] or [row["mean"]] * 2 for row in rows]
        curves[model] = Series(
            x, [100 * row["mean"] for row in rows], [100 * low for low, _ in ends], [100 * high for _, high in ends]
        )
    title = comparison.architecture.title
    return Panel(title, curves, "labels per class (5500: all)", "test accuracy (%)", log_x=True)


def _traverse(experiment: PaperExperiment, name: str, vae: TrainedModel, nats: Sequence[float]) -> np.ndarray:
    def measure() -> Arrays:
        order = torch.tensor(nats).argsort(descending=True)
        row = spread_over_classes(vae.data.test, 1)[0]
        return {"walks": traversals(vae.vae, vae.features.test.mean[row].to(vae.vae.zero.device), order)}

    return experiment.arrays(f"{name}/walks", {"trial": vae.key}, measure)["walks"]


def _traversal_sheet(images: np.ndarray, nats: Sequence[float], correlated: dict[int, str]) -> Figure:
    figure, ax, x, y = sheet(images, Margins(left=1.6, bottom=0.5))
    order = np.argsort(nats)[::-1].tolist()
    ax.set_yticks(y, [f"{correlated.get(latent, '')}  z{latent}  {nats[latent]:.2f} nats" for latent in order])
    ax.set_xticks(x, [signed(value, ".2g") for value in np.linspace(-3, 3, images.shape[1]).round(6).tolist()])
    ax.set_xlabel("value of the latent, in standard deviations of the prior")
    return figure
