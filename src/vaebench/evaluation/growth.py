"""What the decoder draws for the same codes as training goes on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vaebench.core.files import read_arrays, write_arrays
from vaebench.evaluation.panels import Arrays, decoded, prior_samples
from vaebench.models.vae import VAE

LOOKS, CODES = 8, 6


def epochs_to_look_at(epochs: int) -> list[int]:
    """The first epoch, the last, and up to six between, closer together where more changes."""
    return sorted({int(epoch) for epoch in np.geomspace(1, epochs, LOOKS).round()})


class Growth:
    """Images of six codes from the prior after some epochs, kept in a file until the run's panels are written."""

    def __init__(self, path: Path, epochs: int, seed: int) -> None:
        self.path, self.epochs, self.seed = path, epochs_to_look_at(epochs), seed

    def look(self, vae: VAE, epoch: int) -> None:
        """Draw and keep, if this epoch is one of those; an epoch that is trained again is drawn again."""
        if epoch not in self.epochs:
            return
        training = vae.training
        vae.eval()
        images = decoded(vae, prior_samples(vae, self.seed, CODES))
        vae.train(training)
        write_arrays(self.path, {**self._kept(), str(epoch): images})

    def panels(self) -> Arrays:
        """Epochs (L,) and images (L, codes, C, H, W); nothing where none were drawn."""
        kept = self._kept()
        epochs = sorted(map(int, kept))
        if not epochs:
            return {}
        return {
            "growth_epochs": np.array(epochs),
            "growth_samples": np.stack([kept[str(epoch)] for epoch in epochs]),
        }

    def _kept(self) -> Arrays:
        return read_arrays(self.path) if self.path.exists() else {}
