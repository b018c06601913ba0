"""Figures of paper E."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from vaebench.evaluation.panels import Arrays, interpolations, spread_over_classes
from vaebench.experiments.measurements import image_grids_step, latent_map
from vaebench.experiments.trained import TrainedModel
from vaebench.papers.benchmarking_mnist.reported import CONSTANT, SWEEP
from vaebench.papers.experiment import PaperExperiment
from vaebench.plotting.plots import Cloud, Panel, Series, confusion, lines, scatter_2d, scatter_3d
from vaebench.runs.report.pictures import Margins, grids, in_rows, pairs, sheet


def draw(experiment: PaperExperiment, trials: dict[int, TrainedModel], judgements: dict[int, dict[str, Any]]) -> None:
    """Every figure."""
    sheets = {latent: image_grids_step(experiment, f"latent-{latent}", trial) for latent, trial in trials.items()}
    maps = {latent: latent_map(experiment, f"latent-{latent}", trials[latent]) for latent in (2, 3)}
    experiment.figure(
        "first-attempt", lambda: lines(loss_panels({"latent 2": trials[2]}, experiment.budget != "quick"))
    )
    experiment.figure(
        "sweep", lambda: lines(loss_panels({f"latent {d}": t for d, t in trials.items()}, experiment.budget != "quick"))
    )
    classes = trials[2].data.classes
    cloud = Cloud("latent 2", maps[2]["codes"], maps[2]["labels"])
    experiment.figure("map-2d", lambda: scatter_2d([cloud], classes))
    experiment.figure("map-3d", lambda: scatter_3d(maps[3]["codes"], maps[3]["labels"], classes, ("z0", "z1", "z2")))
    experiment.figure("pairs-3", lambda: pairs(sheets[3]["images"], sheets[3]["outputs"], None))
    experiment.figure("pairs-5", lambda: pairs(sheets[5]["images"], sheets[5]["outputs"], None))
    experiment.figure("samples", lambda: _sample_sheet(sheets))
    walk = _walks(experiment, trials[5])
    experiment.figure("interpolation", lambda: sheet(walk, Margins(left=0.1))[0])
    table = np.array(judgements[3]["confusion"])
    share = np.trace(table) / table.sum()
    title = f"reconstructions at latent 3 through the classifier: {100 * share:.1f} % keep their class"
    experiment.figure("confusion-3", lambda: confusion(table, classes, title))
    legible = Series(list(SWEEP), [100 * judgements[d]["legible"] for d in SWEEP])
    score = Series(list(SWEEP), [judgements[d]["score"][0] for d in SWEEP])
    panels = [
        Panel("legible samples", {"decoder means": legible}, "latent dimension", "share (%)", log_x=True),
        Panel("inception score", {"decoder means": score}, "latent dimension", "score (1 to 10)", log_x=True),
    ]
    experiment.figure("legible", lambda: lines(panels))


def loss_panels(trials: dict[str, TrainedModel], framed: bool) -> list[Panel]:
    """Losses by step; ``framed`` leaves the first steps above the frame."""
    parts = {"loss": "squared error + KL", "reconstruction": "squared error", "kl": "KL"}
    return [
        Panel(
            title,
            {
                name: Series(steps, [v - (0.0 if part == "kl" else CONSTANT) for v in values])
                for name, trial in trials.items()
                for steps, values in [trial.by_step(part)]
            },
            "step",
            "per image",
            limits=None if part == "kl" or not framed else (10 if part == "reconstruction" else 24, 60),
        )
        for part, title in parts.items()
    ]


def _walks(experiment: PaperExperiment, trial: TrainedModel) -> np.ndarray:
    def measure() -> Arrays:
        test: Tensor = trial.features.test.mean[spread_over_classes(trial.data.test, 16)]
        return {"walks": interpolations(trial.vae, test.to(trial.vae.zero.device))}

    return experiment.arrays("walks", {"trial": trial.key}, measure)["walks"]


def _sample_sheet(sheets: dict[int, Arrays]) -> Figure:
    """8x8 samples of each dimension."""
    blocks = {f"latent {latent}": in_rows(sheets[latent]["samples"], 8) for latent in SWEEP}
    return grids(blocks, columns=3, width=1500)
