"""Figures of paper B."""

from __future__ import annotations

from matplotlib.figure import Figure

from vaebench.data.images import Dataset
from vaebench.experiments.measurements import image_grids_step
from vaebench.experiments.trained import TrainedModel
from vaebench.papers.experiment import PaperExperiment
from vaebench.papers.generation_and_classification.claims import fitted_to_latents
from vaebench.papers.generation_and_classification.settings import CLASSIFIERS, INPUTS, REGIMES
from vaebench.papers.generation_and_classification.table import SHORT_EPOCHS, Table, train_short
from vaebench.papers.text import format_epochs
from vaebench.plotting.plots import Panel, Series, lines
from vaebench.runs.report.pictures import grids, in_rows, pairs


def draw(experiment: PaperExperiment, data: Dataset, vaes: dict[str, list[TrainedModel]], table: Table) -> None:
    """Draw every figure."""
    panels = [
        Panel(INPUTS[name], {"validation ELBO": _elbo_curve(seeds[0])}, "epoch", "nats per image")
        for name, seeds in vaes.items()
    ]
    experiment.figure("elbos", lambda: lines(panels))
    blocks = {"test images": in_rows(data.test.pixels[:32].numpy(), 16)}
    for name, seeds in vaes.items():
        images = image_grids_step(experiment, f"{name}-0", seeds[0])
        experiment.figure(f"reconstructions-{name}", lambda i=images: pairs(i["images"], i["outputs"], None))  # type: ignore[misc]
        by_epochs = {
            f"after {format_epochs(epochs)}": image_grids_step(
                experiment, f"short-{name}-{epochs}", train_short(experiment, data, name, epochs)
            )["samples"]
            for epochs in SHORT_EPOCHS
        }
        by_epochs[f"after all {format_epochs(len(seeds[0].history))}"] = images["samples"]
        rows = {title: in_rows(samples[:32], 16) for title, samples in by_epochs.items()}
        experiment.figure(f"samples-{name}", lambda r=rows: grids(r))  # type: ignore[misc]
        blocks[f"samples of the {INPUTS[name]}"] = in_rows(images["samples"][:32], 16)
        fitted = fitted_to_latents(experiment, name, seeds[0])
        blocks[f"{INPUTS[name]}, from a Gaussian fitted to its latents"] = in_rows(fitted[:32], 16)
    experiment.figure("real-beside-generated", lambda: grids(blocks))
    for regime in REGIMES:
        experiment.figure(f"curves-{regime}", lambda regime=regime: _curves(table, regime))  # type: ignore[misc]


def _elbo_curve(vae: TrainedModel) -> Series:
    return Series([r["epoch"] for r in vae.history], [r["validation_elbo"] for r in vae.history])


def _curves(table: Table, regime: str) -> Figure:
    """Accuracy (top) and loss (bottom), one column per classifier: training and test curves of each input."""
    panels = []
    for score, unit in (("accuracy", "accuracy (%)"), ("loss", "nats per image")):
        scale = 100 if score == "accuracy" else 1
        for classifier, title in CLASSIFIERS.items():
            curves = {}
            for source, name in INPUTS.items():
                records = table[source, regime, classifier][0]["epochs"]
                epochs = [record["epoch"] for record in records]
                for part, prefix in (("train", ""), ("test", "test_")):
                    values = [scale * record[f"{prefix}{score}"] for record in records]
                    curves[f"{name}, {part}"] = Series(epochs, values)
            panels.append(Panel(title, curves, "epoch", unit))
    return lines(panels)
