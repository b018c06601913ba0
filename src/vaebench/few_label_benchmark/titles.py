"""Titles of the benchmark's methods, their published accuracies, and how the published protocols differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

REPRESENTATIONS = {
    "pixels": "pixels",
    "pca": "PCA",
    "random": "random encoder",
    "elbo": "VAE",
    "local": "VAE with a local decoder",
    "mixture": "VAE with a mixture prior (VaDE)",
    "consistent-3": "consistency-regularised VAE",
    "contrastive-30": "contrastive VAE",
    "contrastive-bold": "contrastive VAE, stronger augmentation",
    "contrastive-wide": "contrastive VAE, stronger augmentation, twice the filters",
}
CLASSIFIERS = {
    "line": "linear probe",
    "knn": "k nearest neighbours",
    "mlp": "MLP probe",
    "poisson": "Poisson learning",
    "spreading": "label spreading",
    "clusters": "Gaussian mixture",
}
ABLATIONS = {
    "without-vae": "pre-trained weights",
    "without-graph": "graph",
    "without-generative": "generative term",
    "without-augmentation": "augmentation, also of the VAE",
    "without-consistency": "consistency loss",
}
"""Component that each ablation of the full method leaves out."""
METHOD_TITLES = {
    **{
        f"{key}-{head}": f"{name}: {title}"
        for key, name in REPRESENTATIONS.items()
        for head, title in CLASSIFIERS.items()
    },
    "m2": "M2",
    "m1+m2": "M1+M2",
    "auxiliary": "ADGM",
    "frozen": "selected representation, frozen: label propagation",
    "whole": "self-training (full method)",
    "supervised": "CNN, labelled images only",
    "supervised-augmented": "CNN, labelled images only, augmented",
    "supervised-bold": "CNN with twice the filters, labelled images only, stronger augmentation",
    **{key: f"full method without {part}" for key, part in ABLATIONS.items()},
}
"""Title by method key."""

_KINGMA, _MAALOE = "Kingma et al. 2014, table 1", "Maaloe et al. 2016, table 1"
_CALDER = "Calder et al. 2020, tables 1 and 2"

PUBLISHED: dict[str, dict[tuple[str, int], tuple[float, str]]] = {
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
"""By method key: accuracy and source, by data set and labels per class."""

PROTOCOL_NOTES: dict[str, str] = {
    "elbo-line": "paper C shows a chart without numbers; its own protocol is reproduced in [papers.md](papers.md).",
    "elbo-poisson": "published with 20 or 30 latents of a dense VAE, and transductive: every image is in the graph and "
    "is scored there. Here the scored test images are not in the graph.",
    "elbo-clusters": "the 94.5 % published for VaDE on MNIST gives each cluster its best class by all labels; here a "
    "few labels name 100 clusters.",
    "m2": "published after far longer training than the images seen here.",
    "m1+m2": "published for an M1 and an M2 trained far longer than the images seen here.",
    "auxiliary": "published after far longer training of a deeper network than here.",
    "consistent-3-line": "its authors report likelihoods, and accuracies with all labels only.",
    "contrastive-30-line": "contrastive methods report accuracies on larger data sets with far larger networks.",
    "local-line": "its authors report likelihoods and out-of-distribution scores, no accuracies with few labels.",
    "mixture-line": "the 94.5 % published for VaDE on MNIST is clustering with one component per class; here there are "
    "100 components.",
    "whole": "the nearest published accuracies at 100 labels of MNIST: ladder network 98.9, GAN with feature matching "
    "99.1, SDGM 98.7, ADGM 99.0, all after far longer training.",
}
"""By method key: how the published protocol differs from this one, or why there is no published accuracy."""


def row_title(row: Mapping[str, Any]) -> str:
    """Title of a row's method; files of vaebench 0.1 hold other titles under the same keys."""
    return METHOD_TITLES.get(row["method"]) or str(row["title"])
