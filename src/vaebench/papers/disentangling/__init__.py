"""Paper C: "Disentangling Variational Autoencoders for Image Classification": few labels on the latents of beta-VAEs."""

from __future__ import annotations

from vaebench.data.datasets import Data
from vaebench.papers.disentangling.architecture_claims import record_architecture
from vaebench.papers.disentangling.claims import (
    analyse_errors,
    compare_architectures,
    compare_optimisers,
    run_rotated_cifar,
    run_semi_supervised,
)
from vaebench.papers.disentangling.comparison import Comparison
from vaebench.papers.disentangling.figures import draw
from vaebench.papers.disentangling.settings import ARCHITECTURES, FURTHER_ARCHITECTURES
from vaebench.papers.experiment import PaperExperiment
from vaebench.papers.paper import load_paper


def run(experiment: PaperExperiment) -> None:
    """Run Figure 4 for both architectures, the paper's claims and its future work; record and draw everything."""
    data = experiment.data(Data(source="mnist"))
    comparisons = {name: Comparison(experiment, architecture, data) for name, architecture in ARCHITECTURES.items()}
    correlated = {name: record_architecture(comparison) for name, comparison in comparisons.items()}
    compare_architectures(experiment, comparisons)
    compare_optimisers(experiment, comparisons["mlp"])
    analyse_errors(experiment, comparisons["cnn"])
    rotated = experiment.data(Data(source="mnist", rotation=45))
    further = {
        name: Comparison(experiment, architecture, rotated if name == "rotated" else data, counts=(1, 10, 100))
        for name, architecture in FURTHER_ARCHITECTURES.items()
    }
    for name, comparison in further.items():
        experiment.record(f"future-{name}", comparison.gap(1), comparison.summary())
    run_rotated_cifar(experiment)
    run_semi_supervised(experiment, comparisons["mlp"])
    experiment.record("future-imagenet", None, "out of scope: this project is for images of up to 64 pixels a side")
    draw(experiment, comparisons, further, correlated)


PAPER = load_paper("disentangling", run)
