"""PUBLISHED: what others printed for a rung, and WHY ours may differ: another protocol, another budget."""

from __future__ import annotations

Figures = dict[tuple[str, int], tuple[float, str]]
_KINGMA, _MAALOE = "Kingma et al. 2014, table 1", "Maaloe et al. 2016, table 1"
_CALDER = "Calder et al. 2020, tables 1 and 2"

PUBLISHED: dict[str, Figures] = {
    "elbo-poisson": {
        ("mnist", 1): (0.902, _CALDER),
        ("mnist", 3): (0.945, _CALDER),
        ("fashion-mnist", 1): (0.608, _CALDER),
        ("fashion-mnist", 3): (0.696, _CALDER),
    },
    "m2": {("mnist", 10): (0.8803, _KINGMA)},
    "m1+m2": {("mnist", 10): (0.9667, _KINGMA)},
    "auxiliary": {("mnist", 10): (0.9904, _MAALOE)},
}
"""Accuracy by data set and labels a class, with its source."""

WHY: dict[str, str] = {
    "elbo-line": "paper C prints a chart without numbers; its own protocol is in [papers.md](papers.md).",
    "elbo-poisson": "printed with 20 or 30 latents of a dense VAE, transductive: every image is in the graph and is "
    "scored there. Ours scores test images that no graph has seen.",
    "elbo-clusters": "VaDE's printed 94.5 % on MNIST gives each cluster its best class by all labels; here a few "
    "labels name 100 clusters.",
    "m2": "printed after far longer training than the images seen here.",
    "m1+m2": "printed on an M1 and an M2 that were trained far longer than the images seen here.",
    "auxiliary": "printed after far longer training of a deeper network than the images seen here.",
    "consistent-3-line": "its authors print likelihoods and accuracies with all labels, none with few.",
    "contrastive-30-line": "contrastive methods print accuracies on larger data for far larger networks.",
    "local-line": "its authors print likelihoods and out-of-distribution scores, no accuracies with few labels.",
    "mixture-line": "VaDE's printed 94.5 % on MNIST is clustering with one component a class; ours has 100 components.",
    "whole": "the nearest printed figures at 100 labels of MNIST: ladder network 98.9, GAN with feature matching 99.1, "
    "SDGM 98.7, ADGM 99.0, all after far longer training.",
}
"""By rung, what a reader must know before holding ours against what is printed, or why nothing is printed."""
