"""The representations that a run compares."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from vaebench.evaluation.features import Features, latent_features, pca_features, pixel_features
from vaebench.models.vae import VAE
from vaebench.runs.context import RunContext
from vaebench.runs.kept import kept_features
from vaebench.runs.training import AUTOENCODER, load_trained, trains_autoencoder

KEPT = {"autoencoder", "random", "pca"}
"""Representations that take longer to make than to read."""


def encode_images(run: RunContext, vae: VAE) -> Features:
    """The latents of the run's VAE."""
    return kept_features(run, "vae", lambda: latent_features("vae", vae, run.data))


def represent(run: RunContext, latents: Features) -> dict[str, Features]:
    """The representations that the recipe compares."""
    recipe, data = run.recipe, run.data
    names = recipe.evaluation.features
    factories: dict[str, Callable[[], Features]] = {
        "vae": lambda: latents,
        "vae-sampled": lambda: latents.sampled("vae-sampled"),
        "random": lambda: _random_features(run),
        "pixels": lambda: pixel_features(data),
        "pca": lambda: pca_features(pixel_features(data), recipe.model.latent, recipe.seed),
    }
    if trains_autoencoder(recipe):
        autoencoder = load_trained(run, recipe.model.plain, AUTOENCODER, run.folder / "autoencoder")
        factories["autoencoder"] = lambda: latent_features("autoencoder", autoencoder, data)
    for name in KEPT & factories.keys():
        factories[name] = partial(kept_features, run, name, factories[name])
    features: dict[str, Features] = {}
    for index, name in enumerate(names):
        features[name] = factories[name]()
        run.progress("encoding")((index + 1) / len(names))
    return features


def _random_features(run: RunContext) -> Features:
    """Codes of the same network with its initial weights."""
    torch.manual_seed(run.recipe.seed)
    return latent_features("random", run.recipe.model.build(run.data.train.shape).eval(), run.data)
