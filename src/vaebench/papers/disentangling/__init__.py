"""Paper C: "Disentangling Variational Autoencoders for Image Classification": few labels on the latents of beta-VAEs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from matplotlib.figure import Figure

from vaebench.core.statistics import summary
from vaebench.data.datasets import Data
from vaebench.evaluation.panels import Arrays, spread_over_classes, traversals
from vaebench.experiments.measurements import bounds_step, image_grids_step
from vaebench.papers.disentangling import claims
from vaebench.papers.disentangling.architecture_claims import record_architecture
from vaebench.papers.disentangling.comparison import ARCHITECTURES, FURTHER_ARCHITECTURES, MODELS, Comparison
from vaebench.papers.experiment import PaperExperiment
from vaebench.papers.paper import load_paper
from vaebench.plotting.plots import Panel, Series, lines
from vaebench.plotting.sheets import Margins, pairs, sheet
from vaebench.plotting.style import signed


def run(experiment: PaperExperiment) -> None:
    """Run Figure 4 for both architectures, the paper's claims and its future work; record and draw everything."""
    data = experiment.data(Data(source="mnist"))
    comparisons = {each.name: Comparison(experiment, each, data) for each in ARCHITECTURES}
    for comparison in comparisons.values():
        _draw_vaes(comparison, record_architecture(comparison))
    claims.compare_architectures(experiment, comparisons)
    claims.compare_optimisers(experiment, comparisons["mlp"])
    claims.analyse_errors(experiment, comparisons["cnn"])
    rotated = experiment.data(Data(source="mnist", rotation=45))
    further = []
    for each in FURTHER_ARCHITECTURES:
        further.append(Comparison(experiment, each, rotated if each.name == "rotated" else data, counts=(1, 10, 100)))
        experiment.record(f"future-{each.name}", further[-1].gap(1), further[-1].summary())
    claims.run_rotated_cifar(experiment)
    claims.run_semi_supervised(experiment, comparisons["mlp"])
    experiment.record("future-imagenet", None, "out of scope: this project is for images of up to 64 pixels a side")
    for figure, shown in (("figure-4", comparisons.values()), ("future", further)):
        experiment.figure(figure, partial(lines, [_learning_curves(each) for each in shown], size=(4.4, 3.3)))


def _draw_vaes(comparison: Comparison, correlated: dict[int, str]) -> None:
    """Draw traversals and reconstructions; ``correlated`` is the result of ``record_architecture``."""
    experiment, name = comparison.experiment, comparison.name
    nats = bounds_step(experiment, f"{name}-disentangled", comparison.vaes["disentangled"])["test"]["kl_per_latent"]
    images = _traverse(comparison, nats)
    experiment.figure(f"traversals-{name}", lambda: _traversal_sheet(images, nats, correlated))
    for model, vae in comparison.vaes.items():
        grid = image_grids_step(experiment, f"{name}-{model}", vae)
        experiment.figure(f"pairs-{name}-{model}", partial(pairs, grid["images"], grid["outputs"], None))
        experiment.figure(f"worst-{name}-{model}", partial(pairs, grid["worst_images"], grid["worst_outputs"], None))


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


def _traverse(comparison: Comparison, nats: Sequence[float]) -> np.ndarray:
    trained = comparison.vaes["disentangled"]

    def measure() -> Arrays:
        order = torch.tensor(nats).argsort(descending=True)
        row = spread_over_classes(comparison.data.test, 1)[0]
        return {"walks": traversals(trained.vae, trained.features.test.mean[row], order)}

    return comparison.experiment.arrays(f"{comparison.name}/walks", {"trial": trained.key}, measure)["walks"]


def _traversal_sheet(images: np.ndarray, nats: Sequence[float], correlated: dict[int, str]) -> Figure:
    figure, ax, x, y = sheet(images, Margins(left=1.6, bottom=0.5))
    order = np.argsort(nats)[::-1].tolist()
    ax.set_yticks(y, [f"{correlated.get(latent, '')}  z{latent}  {nats[latent]:.2f} nats" for latent in order])
    ax.set_xticks(x, [signed(value, ".2g") for value in np.linspace(-3, 3, images.shape[1]).round(6).tolist()])
    ax.set_xlabel("value of the latent, in standard deviations of the prior")
    return figure


PAPER = load_paper("disentangling", run)
