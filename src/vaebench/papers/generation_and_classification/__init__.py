"""Paper B: "VAE for Image Generation and Classification": Normal and continuous Bernoulli VAEs on Fashion-MNIST."""

from __future__ import annotations

from functools import partial
from itertools import product

from matplotlib.figure import Figure

from vaebench.data.datasets import Data
from vaebench.data.images import Dataset
from vaebench.experiments.measurements import image_grids_step
from vaebench.experiments.trained import TrainedModel
from vaebench.models.objectives import Elbo
from vaebench.papers.experiment import PaperExperiment
from vaebench.papers.generation_and_classification import claims, networks
from vaebench.papers.generation_and_classification.claims import Table
from vaebench.papers.generation_and_classification.networks import CLASSIFIERS, INPUTS, REGIMES, SHORT_EPOCHS
from vaebench.papers.paper import load_paper
from vaebench.papers.text import format_epochs
from vaebench.plotting.plots import Panel, Series, lines
from vaebench.plotting.sheets import grids, in_rows, pairs


def run(experiment: PaperExperiment) -> None:
    """Train both VAEs and every classifier, record every result and draw every figure."""
    data, seeds = experiment.data(Data(source="fashion-mnist")), experiment.seeds(3)
    vaes = {}
    for name, model in networks.VAES.items():
        training = networks.make_training(experiment, name)
        vaes[name] = [experiment.vae(f"{name}-{seed}", data, model, Elbo(), training, seed) for seed in seeds]
    own, scales = networks.train_our_vae(experiment, data), networks.train_scales(experiment, data)
    for name, epochs in product(networks.VAES, SHORT_EPOCHS):
        networks.train_short(experiment, data, name, epochs)
    results = claims.record_table(experiment, data, vaes)
    claims.record_our_vae(experiment, own)
    claims.record_variants(experiment, vaes)
    claims.vary_scale(experiment, scales)
    claims.record_elbos(experiment, vaes)
    claims.record_claims(experiment, results, vaes)
    claims.record_sharpness(experiment, vaes)
    _draw_vaes(experiment, data, vaes)
    for regime in REGIMES:
        experiment.figure(f"curves-{regime}", partial(_curves, results, regime))


def _draw_vaes(experiment: PaperExperiment, data: Dataset, vaes: dict[str, list[TrainedModel]]) -> None:
    panels, blocks = [], {"test images": in_rows(data.test.pixels[:32].numpy(), 16)}
    for name, (vae, *_) in vaes.items():
        elbo = Series([r["epoch"] for r in vae.history], [r["validation_elbo"] for r in vae.history])
        panels.append(Panel(INPUTS[name], {"validation ELBO": elbo}, "epoch", "nats per image"))
        images = image_grids_step(experiment, f"{name}-0", vae)
        experiment.figure(f"reconstructions-{name}", partial(pairs, images["images"], images["outputs"], None))
        rows = {}
        for epochs in SHORT_EPOCHS:
            short = networks.train_short(experiment, data, name, epochs)
            samples = image_grids_step(experiment, f"short-{name}-{epochs}", short)["samples"]
            rows[f"after {format_epochs(epochs)}"] = in_rows(samples[:32], 16)
        samples = in_rows(images["samples"][:32], 16)
        rows[f"after all {format_epochs(len(vae.history))}"] = blocks[f"samples of the {INPUTS[name]}"] = samples
        experiment.figure(f"samples-{name}", partial(grids, rows))
        fitted = claims.fitted_to_latents(experiment, name, vae)
        blocks[f"{INPUTS[name]}, from a Gaussian fitted to its latents"] = in_rows(fitted[:32], 16)
    experiment.figure("elbos", lambda: lines(panels))
    experiment.figure("real-beside-generated", lambda: grids(blocks))


def _curves(results: Table, regime: str) -> Figure:
    """Accuracy (top) and loss (bottom), one column per classifier: training and test curves of each input."""
    panels = []
    for score, unit, scale in (("accuracy", "accuracy (%)", 100), ("loss", "nats per image", 1)):
        for classifier, title in CLASSIFIERS.items():
            curves = {}
            for source, name in INPUTS.items():
                records = results[source, regime, classifier][0]["epochs"]
                epochs = [record["epoch"] for record in records]
                for part, prefix in (("train", ""), ("test", "test_")):
                    values = [scale * record[f"{prefix}{score}"] for record in records]
                    curves[f"{name}, {part}"] = Series(epochs, values)
            panels.append(Panel(title, curves, "epoch", unit))
    return lines(panels)


PAPER = load_paper("generation-and-classification", run)
