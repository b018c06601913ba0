"""Paper E: "Benchmarking Variational Autoencoder with MNIST Dataset": one network, six latent dimensions."""

from __future__ import annotations

from vaebench.data.datasets import Data
from vaebench.experiments.measurements import train_evaluation_classifier
from vaebench.models.objectives import Elbo
from vaebench.papers.benchmarking_mnist.claims import (
    classify_outputs,
    make_training,
    measure_losses,
    record_claims,
    record_further_work,
    record_table,
)
from vaebench.papers.benchmarking_mnist.figures import draw
from vaebench.papers.benchmarking_mnist.settings import LATENTS, make_model
from vaebench.papers.experiment import PaperExperiment
from vaebench.papers.paper import load_paper


def run(experiment: PaperExperiment) -> None:
    """Train the VAEs, classify their samples and reconstructions, record every result and draw every figure."""
    data = experiment.data(Data(source="mnist"))
    vaes = {
        latent: experiment.vae(f"latent-{latent}", data, make_model(latent), Elbo(), make_training(experiment))
        for latent in LATENTS
    }
    losses = {latent: measure_losses(experiment, f"latent-{latent}", vae) for latent, vae in vaes.items()}
    classifier = train_evaluation_classifier(experiment, data)
    classified = {latent: classify_outputs(experiment, latent, vae, classifier) for latent, vae in vaes.items()}
    record_table(experiment, vaes, losses)
    record_claims(experiment, vaes, losses, classified)
    record_further_work(experiment, data, losses, classified)
    draw(experiment, vaes, classified)


PAPER = load_paper("benchmarking-mnist", run)
