"""Figures of paper C."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure

from vaebench.core.statistics import summary
from vaebench.evaluation.panels import Arrays, spread_over_classes, traversals
from vaebench.experiments.measurements import bounds_step, image_grids_step
from vaebench.experiments.trained import TrainedModel
from vaebench.papers.disentangling.dataset import DatasetExperiment
from vaebench.papers.disentangling.reported import MODELS
from vaebench.papers.experiment import PaperExperiment
from vaebench.plotting.plots import Panel, Series, lines
from vaebench.plotting.style import signed
from vaebench.runs.report.pictures import Margins, pairs, sheet


def draw(
    experiment: PaperExperiment,
    benches: dict[str, DatasetExperiment],
    rotated: DatasetExperiment,
    other: DatasetExperiment,
) -> None:
    """Every figure."""
    experiment.figure("figure-4", lambda: lines([_curve(bench) for bench in benches.values()], size=(4.4, 3.3)))
    experiment.figure("future", lambda: lines([_curve(bench) for bench in (rotated, other)], size=(4.4, 3.3)))
    for name, bench in benches.items():
        vae = bench.vaes["disentangled"]
        nats = bounds_step(experiment, f"{name}-disentangled", vae)["test"]["kl_per_latent"]
        walks = _walks(experiment, name, vae, nats)
        read_as = bench.meaning
        experiment.figure(f"traversals-{name}", lambda w=walks, n=nats, r=read_as: _walk_sheet(w, n, r))  # type: ignore[misc]
        for model, trial in bench.vaes.items():
            shown = image_grids_step(experiment, f"{name}-{model}", trial)
            experiment.figure(f"pairs-{name}-{model}", lambda s=shown: pairs(s["images"], s["outputs"], None))  # type: ignore[misc]
            experiment.figure(
                f"worst-{name}-{model}", lambda s=shown: pairs(s["worst_images"], s["worst_outputs"], None)  # type: ignore[misc]
            )  # fmt: skip


def _curve(bench: DatasetExperiment) -> Panel:
    x = [5500 if count == "all" else int(count) for count in bench.counts]
    found = {}
    for model in MODELS:
        rows = [summary(bench.cells[model, count]["accuracy"]) for count in bench.counts]
        ends = [row["interval"] or [row["mean"]] * 2 for row in rows]
        found[model] = Series(
            x, [100 * row["mean"] for row in rows], [100 * low for low, _ in ends], [100 * high for _, high in ends]
        )
    return Panel(bench.family.words, found, "labels a class (5500: all)", "test accuracy (%)", log_x=True)


def _walks(experiment: PaperExperiment, name: str, vae: TrainedModel, nats: Sequence[float]) -> np.ndarray:
    def measure() -> Arrays:
        order = torch.tensor(nats).argsort(descending=True)
        row = spread_over_classes(vae.data.test, 1)[0]
        return {"walks": traversals(vae.vae, vae.features.test.mean[row].to(vae.vae.zero.device), order)}

    return experiment.arrays(f"{name}/walks", {"trial": vae.key}, measure)["walks"]


def _walk_sheet(walks: np.ndarray, nats: Sequence[float], read_as: dict[int, str]) -> Figure:
    figure, ax, x, y = sheet(walks, Margins(left=1.6, bottom=0.5))
    order = np.argsort(nats)[::-1].tolist()
    ax.set_yticks(y, [f"{read_as.get(d, '')}  z{d}  {nats[d]:.2f} nats" for d in order])
    ax.set_xticks(x, [signed(step, ".2g") for step in np.linspace(-3, 3, walks.shape[1]).round(6).tolist()])
    ax.set_xlabel("the latent's value, in standard deviations of the prior")
    return figure
