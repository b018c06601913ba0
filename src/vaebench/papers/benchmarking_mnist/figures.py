"""Figures of paper E."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from vaebench.evaluation.panels import Arrays, interpolations, spread_over_classes
from vaebench.experiments.measurements import image_grids_step, latent_map
from vaebench.experiments.trained import TrainedModel
from vaebench.papers.benchmarking_mnist.claims import Classified
from vaebench.papers.benchmarking_mnist.settings import CONSTANT, LATENTS
from vaebench.papers.experiment import PaperExperiment
from vaebench.plotting.plots import Cloud, Panel, Series, confusion, lines, scatter_2d, scatter_3d
from vaebench.runs.report.pictures import Margins, grids, in_rows, pairs, sheet


def draw(experiment: PaperExperiment, vaes: dict[int, TrainedModel], classified: Classified) -> None:
    """Draw every figure."""
    images = {latent: image_grids_step(experiment, f"latent-{latent}", vae) for latent, vae in vaes.items()}
    maps = {latent: latent_map(experiment, f"latent-{latent}", vaes[latent]) for latent in (2, 3)}
    clip = experiment.budget != "quick"
    experiment.figure("first-attempt", lambda: lines(_loss_panels({"latent 2": vaes[2]}, clip)))
    by_latent = {f"latent {latent}": vae for latent, vae in vaes.items()}
    experiment.figure("sweep", lambda: lines(_loss_panels(by_latent, clip)))
    classes = vaes[2].data.classes
    cloud = Cloud("latent 2", maps[2]["codes"], maps[2]["labels"])
    experiment.figure("map-2d", lambda: scatter_2d([cloud], classes))
    experiment.figure("map-3d", lambda: scatter_3d(maps[3]["codes"], maps[3]["labels"], classes, ("z0", "z1", "z2")))
    experiment.figure("pairs-3", lambda: pairs(images[3]["images"], images[3]["outputs"], None))
    experiment.figure("pairs-5", lambda: pairs(images[5]["images"], images[5]["outputs"], None))
    experiment.figure("samples", lambda: _sample_grids(images))
    rows = _interpolate(experiment, vaes[5])
    experiment.figure("interpolation", lambda: sheet(rows, Margins(left=0.1))[0])
    counts = np.array(classified[3]["confusion"])
    correct = np.trace(counts) / counts.sum()
    title = f"classified reconstructions at latent 3: {100 * correct:.1f} % keep their class"
    experiment.figure("confusion-3", lambda: confusion(counts, classes, title))
    legible = Series(list(LATENTS), [100 * classified[latent]["legible"] for latent in LATENTS])
    score = Series(list(LATENTS), [classified[latent]["score"][0] for latent in LATENTS])
    panels = [
        Panel("legible samples", {"decoder means": legible}, "latent dimension", "fraction (%)", log_x=True),
        Panel("inception score", {"decoder means": score}, "latent dimension", "score (1 to 10)", log_x=True),
    ]
    experiment.figure("legible", lambda: lines(panels))


def _loss_panels(vaes: dict[str, TrainedModel], clip: bool) -> list[Panel]:
    """Losses by step; ``clip`` cuts off the high losses of the first steps."""
    titles = {"loss": "squared error + KL", "reconstruction": "squared error", "kl": "KL"}
    return [
        Panel(
            title,
            {
                name: Series(steps, [value - (0.0 if part == "kl" else CONSTANT) for value in values])
                for name, vae in vaes.items()
                for steps, values in [vae.by_step(part)]
            },
            "step",
            "per image",
            limits=None if part == "kl" or not clip else (10 if part == "reconstruction" else 24, 60),
        )
        for part, title in titles.items()
    ]


def _interpolate(experiment: PaperExperiment, vae: TrainedModel) -> np.ndarray:
    def measure() -> Arrays:
        mean: Tensor = vae.features.test.mean[spread_over_classes(vae.data.test, 16)]
        return {"walks": interpolations(vae.vae, mean.to(vae.vae.zero.device))}

    return experiment.arrays("walks", {"trial": vae.key}, measure)["walks"]


def _sample_grids(images: dict[int, Arrays]) -> Figure:
    """8x8 samples of each latent dimension."""
    blocks = {f"latent {latent}": in_rows(images[latent]["samples"], 8) for latent in LATENTS}
    return grids(blocks, columns=3, width=1500)
