"""PAPERS by their short names. To add a paper, write its module and its file in ``reported/``, and list it here."""

from __future__ import annotations

from vaebench.papers import (
    benchmarking_mnist,
    cifar10_latent_space,
    disentangling,
    generation_and_classification,
    vae_classifiers,
)
from vaebench.papers.paper import Paper

PAPERS: dict[str, Paper] = {
    "A": vae_classifiers.PAPER,
    "B": generation_and_classification.PAPER,
    "C": disentangling.PAPER,
    "D": cifar10_latent_space.PAPER,
    "E": benchmarking_mnist.PAPER,
}
