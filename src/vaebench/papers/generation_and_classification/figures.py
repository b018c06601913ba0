"""Figures of paper B."""

from __future__ import annotations

from matplotlib.figure import Figure

from vaebench.data.images import Dataset
from vaebench.experiments.measurements import image_grids_step
from vaebench.experiments.trained import TrainedModel
from vaebench.papers.experiment import PaperExperiment
from vaebench.papers.generation_and_classification.claims import fitted_to_codes
from vaebench.papers.generation_and_classification.reported import CLASSIFIERS, REGIMES, WORDS
from vaebench.papers.generation_and_classification.table import SHORT, Cells, short_trial
from vaebench.papers.paper import in_epochs
from vaebench.plotting.plots import Panel, Series, lines
from vaebench.runs.report.pictures import grids, in_rows, pairs


def draw(experiment: PaperExperiment, data: Dataset, trials: dict[str, list[TrainedModel]], cells: Cells) -> None:
    """Every figure."""
    panels = [
        Panel(WORDS[name], {"validation ELBO": _elbo_curve(several[0])}, "epoch", "nats per image")
        for name, several in trials.items()
    ]
    experiment.figure("elbos", lambda: lines(panels))
    for name, several in trials.items():
        shown = image_grids_step(experiment, f"{name}-0", several[0])
        experiment.figure(f"reconstructions-{name}", lambda s=shown: pairs(s["images"], s["outputs"], None))  # type: ignore[misc]
        short = {epochs: short_trial(experiment, data, name, epochs) for epochs in SHORT}
        found = {
            f"after {in_epochs(n)}": image_grids_step(experiment, f"short-{name}-{n}", trial)
            for n, trial in short.items()
        }
        found[f"after all {in_epochs(len(several[0].history))}"] = shown
        blocks = {words: in_rows(sheets["samples"][:32], 16) for words, sheets in found.items()}
        experiment.figure(f"samples-{name}", lambda b=blocks: grids(b))  # type: ignore[misc]
    beside = {"test images": in_rows(data.test.pixels[:32].numpy(), 16)}
    for name, several in trials.items():
        samples = image_grids_step(experiment, f"{name}-0", several[0])["samples"]
        beside[f"samples of the {WORDS[name]}"] = in_rows(samples[:32], 16)
        fitted = fitted_to_codes(experiment, name, several[0])
        beside[f"{WORDS[name]}, from a Gaussian fitted to its codes"] = in_rows(fitted[:32], 16)
    experiment.figure("real-beside-generated", lambda: grids(beside))
    for regime in REGIMES:
        experiment.figure(f"curves-{regime}", lambda regime=regime: _curves(cells, regime))  # type: ignore[misc]


def _elbo_curve(trial: TrainedModel) -> Series:
    return Series([r["epoch"] for r in trial.history], [r["validation_elbo"] for r in trial.history])


def _curves(cells: Cells, regime: str) -> Figure:
    """Accuracy above, loss below, one column a classifier; training, validation and test of each input."""
    panels = []
    for what, words in (("accuracy", "accuracy (%)"), ("loss", "nats per image")):
        for classifier, name in CLASSIFIERS.items():
            found = {}
            for source, source_words in WORDS.items():
                epochs = cells[source, regime, classifier][0]["epochs"]
                for part, key in (("train", ""), ("test", "test_")):
                    scale = 100 if what == "accuracy" else 1
                    values = [scale * record[f"{key}{what}"] for record in epochs]
                    found[f"{source_words}, {part}"] = Series([record["epoch"] for record in epochs], values)
            panels.append(Panel(name, found, "epoch", words))
    return lines(panels)
