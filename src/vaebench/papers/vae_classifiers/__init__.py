"""Paper A: "Variational Autoencoder Classifiers": a head on the latents of a frozen beta-VAE."""

from __future__ import annotations

from vaebench.papers.experiment import PaperExperiment
from vaebench.papers.paper import load_paper
from vaebench.papers.vae_classifiers.claims import (
    record_fashion_claims,
    record_quickdraw_claims,
    record_small_quickdraw,
    record_times,
)
from vaebench.papers.vae_classifiers.dataset import DatasetExperiment
from vaebench.papers.vae_classifiers.figures import draw
from vaebench.papers.vae_classifiers.networks import run_fully_connected, run_information_bottleneck
from vaebench.papers.vae_classifiers.search import compare_betas, search_architectures
from vaebench.papers.vae_classifiers.settings import SETTINGS


def run(experiment: PaperExperiment) -> None:
    """Run the protocol on every data set, the claims and the other networks; record and draw everything."""
    datasets = {name: DatasetExperiment(experiment, settings) for name, settings in SETTINGS.items()}
    for dataset in datasets.values():
        dataset.record_table()
        dataset.record_variants()
    record_quickdraw_claims(experiment, datasets["quickdraw"])
    record_times(experiment, datasets)
    record_fashion_claims(experiment, datasets["fashion"])
    compare_betas(experiment, datasets["mnist"])
    search_architectures(experiment, datasets["mnist"])
    run_fully_connected(experiment, datasets["mnist"])
    run_information_bottleneck(experiment, datasets["mnist"].data)
    record_small_quickdraw(experiment)
    draw(experiment, datasets)


PAPER = load_paper("vae-classifiers", run)
