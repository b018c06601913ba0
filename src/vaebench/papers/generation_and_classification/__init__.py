"""Paper B: "VAE for Image Generation and Classification": Normal and continuous Bernoulli VAEs on Fashion-MNIST."""

from __future__ import annotations

from vaebench.data.datasets import Data
from vaebench.models.objectives import Elbo
from vaebench.papers.experiment import PaperExperiment
from vaebench.papers.generation_and_classification.claims import (
    record_claims,
    record_elbos,
    record_sharpness,
    vary_scale,
)
from vaebench.papers.generation_and_classification.figures import draw
from vaebench.papers.generation_and_classification.settings import VAES
from vaebench.papers.generation_and_classification.table import (
    make_training,
    record_our_vae,
    record_table,
    record_variants,
)
from vaebench.papers.paper import load_paper


def run(experiment: PaperExperiment) -> None:
    """Train both VAEs and every classifier, record every result and draw every figure."""
    data = experiment.data(Data(source="fashion-mnist"))
    vaes = {
        name: [
            experiment.vae(f"{name}-{seed}", data, model, Elbo(), make_training(experiment, name), seed)
            for seed in experiment.seeds(3)
        ]
        for name, model in VAES.items()
    }
    table = record_table(experiment, data, vaes)
    record_our_vae(experiment, data)
    record_variants(experiment, vaes)
    vary_scale(experiment, data)
    record_elbos(experiment, vaes)
    record_claims(experiment, table, vaes)
    record_sharpness(experiment, vaes)
    draw(experiment, data, vaes, table)


PAPER = load_paper("generation-and-classification", run)
