"""Paper E: "Benchmarking Variational Autoencoder with MNIST Dataset": one network, six latent dimensions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from vaebench.data.datasets import Data
from vaebench.evaluation.panels import Arrays, interpolations, spread_over_classes
from vaebench.experiments.measurements import image_grids_step, latent_map, train_evaluation_classifier
from vaebench.experiments.trained import TrainedModel
from vaebench.papers.benchmarking_mnist import claims
from vaebench.papers.benchmarking_mnist.claims import CONSTANT, LATENTS, Classified
from vaebench.papers.experiment import PaperExperiment
from vaebench.papers.paper import load_paper
from vaebench.plotting.plots import Cloud, Panel, Series, confusion, lines, scatter_2d, scatter_3d
from vaebench.plotting.sheets import Margins, grids, in_rows, pairs, sheet


def run(experiment: PaperExperiment) -> None:
    """Train the VAEs, classify their samples and reconstructions, record every result and draw every figure."""
    data = experiment.data(Data(source="mnist"))
    vaes = {n: claims.train_vae(experiment, f"latent-{n}", data, claims.make_model(n)) for n in LATENTS}
    classifier, further = train_evaluation_classifier(experiment, data), claims.train_further(experiment, data)
    measures: dict[str, Callable[[], object]]
    measures = {f"latent-{n}": partial(_measure, experiment, n, vae, classifier) for n, vae in vaes.items()}
    measures |= {name: partial(claims.measure_losses, experiment, name, vae) for name, vae in further.items()}
    experiment.run_tasks(measures)
    losses = {latent: claims.measure_losses(experiment, f"latent-{latent}", vae) for latent, vae in vaes.items()}
    classified = {latent: claims.classify_outputs(experiment, latent, vae, classifier) for latent, vae in vaes.items()}
    claims.record_table(experiment, vaes, losses)
    claims.record_claims(experiment, vaes, losses, classified)
    claims.record_further_work(experiment, classifier, losses, classified, further)
    _draw_vaes(experiment, vaes)
    _draw_classified(experiment, classified, data.classes)


def _measure(experiment: PaperExperiment, latent: int, vae: TrainedModel, classifier: TrainedModel) -> None:
    """Take the measurements of one VAE that :func:`run` reads."""
    claims.measure_losses(experiment, f"latent-{latent}", vae)
    claims.classify_outputs(experiment, latent, vae, classifier)
    image_grids_step(experiment, f"latent-{latent}", vae)


def _draw_vaes(experiment: PaperExperiment, vaes: dict[int, TrainedModel]) -> None:
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
    samples = {f"latent {latent}": in_rows(images[latent]["samples"], 8) for latent in LATENTS}
    experiment.figure("samples", lambda: grids(samples, columns=3, width=1500))
    rows = _interpolate(experiment, vaes[5])
    experiment.figure("interpolation", lambda: sheet(rows, Margins(left=0.1))[0])


def _loss_panels(vaes: dict[str, TrainedModel], clip: bool) -> list[Panel]:
    """Losses by step; ``clip`` cuts off the high losses of the first steps."""
    panels = []
    for part, title, constant, limits in (
        ("loss", "squared error + KL", CONSTANT, (24, 60)),
        ("reconstruction", "squared error", CONSTANT, (10, 60)),
        ("kl", "KL", 0.0, None),
    ):
        curves = {}
        for name, vae in vaes.items():
            steps, values = vae.by_step(part)
            curves[name] = Series(steps, [value - constant for value in values])
        panels.append(Panel(title, curves, "step", "per image", limits=limits if clip else None))
    return panels


def _interpolate(experiment: PaperExperiment, vae: TrainedModel) -> np.ndarray:
    def measure() -> Arrays:
        rows = spread_over_classes(vae.data.test, 16)
        return {"walks": interpolations(vae.vae, vae.features.test.mean[rows])}

    return experiment.arrays("walks", {"trial": vae.key}, measure)["walks"]


def _draw_classified(experiment: PaperExperiment, classified: Classified, classes: tuple[str, ...]) -> None:
    counts = np.array(classified[3]["confusion"])
    title = f"classified reconstructions at latent 3: {100 * np.trace(counts) / counts.sum():.1f} % keep their class"
    experiment.figure("confusion-3", lambda: confusion(counts, classes, title))
    legible = Series(list(LATENTS), [100 * classified[latent]["legible"] for latent in LATENTS])
    score = Series(list(LATENTS), [classified[latent]["score"][0] for latent in LATENTS])
    panels = [
        Panel("legible samples", {"decoder means": legible}, "latent dimension", "fraction (%)", log_x=True),
        Panel("inception score", {"decoder means": score}, "latent dimension", "score (1 to 10)", log_x=True),
    ]
    experiment.figure("legible", lambda: lines(panels))


PAPER = load_paper("benchmarking-mnist", run)
