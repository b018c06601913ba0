"""Titles of the benchmark's methods, as tables and figures show them."""

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


def row_title(row: Mapping[str, Any]) -> str:
    """Title of a row's method; files of vaebench 0.1 hold other titles under the same keys."""
    return METHOD_TITLES.get(row["method"]) or str(row["title"])
