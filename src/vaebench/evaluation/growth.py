"""Growth: decoded images of fixed prior codes, recorded during training."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vaebench.core.files import read_arrays, write_arrays
from vaebench.evaluation.panels import Arrays, decoded, prior_samples
from vaebench.models.vae import VAE

RECORDINGS, CODES = 8, 6


def recorded_epochs(epochs: int) -> list[int]:
    """The first epoch, the last, and up to six between them, spaced geometrically."""
    return sorted({int(epoch) for epoch in np.geomspace(1, epochs, RECORDINGS).round()})


class Growth:
    """Recorder of the images of six prior codes after some epochs, in a file that survives a restart."""

    def __init__(self, path: Path, epochs: int, seed: int) -> None:
        self.path, self.epochs, self.seed = path, recorded_epochs(epochs), seed

    def record(self, vae: VAE, epoch: int) -> None:
        """Decode and store the images if ``epoch`` is a recorded one; a repeated epoch replaces its images."""
        if epoch not in self.epochs:
            return
        training = vae.training
        vae.eval()
        images = decoded(vae, prior_samples(vae, self.seed, CODES))
        vae.train(training)
        write_arrays(self.path, {**self._read(), str(epoch): images})

    def panels(self) -> Arrays:
        """Epochs (L,) and images (L, codes, C, H, W); empty before the first recording."""
        images = self._read()
        epochs = sorted(map(int, images))
        if not epochs:
            return {}
        return {
            "growth_epochs": np.array(epochs),
            "growth_samples": np.stack([images[str(epoch)] for epoch in epochs]),
        }

    def _read(self) -> Arrays:
        return read_arrays(self.path) if self.path.exists() else {}
