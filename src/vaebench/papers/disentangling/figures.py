"""Figures of paper C."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure

from vaebench.evaluation.few_labels import summary
from vaebench.evaluation.panels import Arrays, spread_over_classes, traversals
from vaebench.papers.disentangling.bench import Bench
from vaebench.papers.disentangling.printed import MODELS
from vaebench.papers.study import PaperStudy
from vaebench.reports.pictures import Margins, pairs, sheet
from vaebench.reports.plots import Panel, Series, lines
from vaebench.reports.style import signed
from vaebench.studies.measure import bounds_of, sheets_of
from vaebench.studies.trials import Trial


def draw(study: PaperStudy, benches: dict[str, Bench], rotated: Bench, other: Bench) -> None:
    """Every figure."""
    study.figure("figure-4", lambda: lines([_curve(bench) for bench in benches.values()], size=(4.4, 3.3)))
    study.figure("future", lambda: lines([_curve(bench) for bench in (rotated, other)], size=(4.4, 3.3)))
    for name, bench in benches.items():
        vae = bench.vaes["disentangled"]
        nats = bounds_of(study, f"{name}-disentangled", vae)["test"]["kl_per_latent"]
        walks = _walks(study, name, vae, nats)
        read_as = bench.meaning
        study.figure(f"traversals-{name}", lambda w=walks, n=nats, r=read_as: _walk_sheet(w, n, r))  # type: ignore[misc]
        for model, trial in bench.vaes.items():
            shown = sheets_of(study, f"{name}-{model}", trial)
            study.figure(f"pairs-{name}-{model}", lambda s=shown: pairs(s["images"], s["outputs"], None))  # type: ignore[misc]
            study.figure(
                f"worst-{name}-{model}", lambda s=shown: pairs(s["worst_images"], s["worst_outputs"], None)  # type: ignore[misc]
            )  # fmt: skip


def _curve(bench: Bench) -> Panel:
    x = [5500 if count == "all" else int(count) for count in bench.counts]
    found = {}
    for model in MODELS:
        rows = [summary(bench.cells[model, count]["accuracy"]) for count in bench.counts]
        ends = [row["interval"] or [row["mean"]] * 2 for row in rows]
        found[model] = Series(
            x, [100 * row["mean"] for row in rows], [100 * low for low, _ in ends], [100 * high for _, high in ends]
        )
    return Panel(bench.family.words, found, "labels a class (5500: all)", "test accuracy (%)", log_x=True)


def _walks(study: PaperStudy, name: str, vae: Trial, nats: Sequence[float]) -> np.ndarray:
    def measure() -> Arrays:
        order = torch.tensor(nats).argsort(descending=True)
        row = spread_over_classes(vae.data.test, 1)[0]
        return {"walks": traversals(vae.vae, vae.features.test.mean[row].to(vae.vae.zero.device), order)}

    return study.arrays(f"{name}/walks", {"trial": vae.key}, measure)["walks"]


def _walk_sheet(walks: np.ndarray, nats: Sequence[float], read_as: dict[int, str]) -> Figure:
    figure, ax, x, y = sheet(walks, Margins(left=1.6, bottom=0.5))
    order = np.argsort(nats)[::-1].tolist()
    ax.set_yticks(y, [f"{read_as.get(d, '')}  z{d}  {nats[d]:.2f} nats" for d in order])
    ax.set_xticks(x, [signed(step, ".2g") for step in np.linspace(-3, 3, walks.shape[1]).round(6).tolist()])
    ax.set_xlabel("the latent's value, in standard deviations of the prior")
    return figure
