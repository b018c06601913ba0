"""The fits of a cross-validation as shared work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int

from vaebench.classification.cross_validation import CrossValidation, Fit
from vaebench.classification.encoder_methods import without_encoder
from vaebench.classification.latents import Latents
from vaebench.classification.methods import MethodContext
from vaebench.classification.settings import Settings
from vaebench.data.blocks import read_pixels
from vaebench.data.images import HIDDEN, Images
from vaebench.experiments.experiment import Experiment
from vaebench.models.vae import VAE
from vaebench.training.checkpoint import read_tensors
from vaebench.training.compute import Compute


def fold_identity(fit: Fit, identity: dict[str, Any]) -> dict[str, Any]:
    """Identity of the step that keeps the held-out probabilities of a fit."""
    identity = {**without_encoder(fit.method, identity), "method": fit.method, "fold": fit.fold}
    return identity | ({"half": True} if fit.half else {})


def weights_identity(method: str, identity: dict[str, Any]) -> dict[str, Any]:
    """Identity of the step that keeps the weights of a method fitted to all labels."""
    return {**without_encoder(method, identity), "method": method}


@dataclass(frozen=True)
class FoldFits:
    """What a worker needs to make fits of a cross-validation."""

    fits: tuple[Fit, ...]
    final: tuple[str, ...]
    """Methods that are fitted to all labels."""
    folder: Path
    """Folder of the steps, which also holds the weights of the VAE."""
    pixels: Path
    """Pixels (N, C, H, W) of all images."""
    pool: Int[np.ndarray, " P"] | None
    """Rows of the images that methods are fitted with; None for all."""
    rows: Int[np.ndarray, " M"]
    """Rows of the labelled images among these."""
    labels: Int[np.ndarray, " M"]
    classes: int
    settings: Settings
    compute: Compute
    """That of a worker."""
    identity: dict[str, Any]
    """Everything that decides a fit except its method and fold."""

    def tasks(self, experiment: Experiment) -> dict[str, Callable[[], object]]:
        """One task for each fit."""
        validation = self._validation(experiment)

        def run(fit: Fit) -> None:
            identity = fold_identity(fit, self.identity)
            experiment.arrays(fit.name, identity, lambda: {"values": validation.probabilities(fit)})

        def run_final(method: str) -> None:
            identity = weights_identity(method, self.identity)
            experiment.arrays(f"chosen/{method}", identity, lambda: validation.weights(method))

        tasks: dict[str, Callable[[], object]] = {fit.name.replace("/", "-"): partial(run, fit) for fit in self.fits}
        return tasks | {f"chosen-{method}": partial(run_final, method) for method in self.final}

    def _validation(self, experiment: Experiment) -> CrossValidation:
        """Read the images, the VAE and its latents, and return the cross-validation."""
        pixels, settings = torch.from_numpy(read_pixels(self.pixels)), self.settings
        images = Images(pixels, torch.full((len(pixels),), HIDDEN))
        vae = load_vae(settings, self.folder, images.shape)
        latents = Latents(experiment, images, vae, str(self.identity["vae"]), self.pool)
        context = MethodContext(
            latents.pool_images, self.classes, vae, latents.pool_means, latents.graph, settings, self.compute
        )
        return CrossValidation(context, torch.from_numpy(self.rows), torch.from_numpy(self.labels), settings.seed)


def load_vae(settings: Settings, folder: Path, shape: tuple[int, int, int]) -> VAE:
    """Load the trained VAE of a classification."""
    vae = settings.model.build(shape)
    vae.load_state_dict(read_tensors(folder / "networks" / "vae.safetensors")[0])
    return vae.eval()
