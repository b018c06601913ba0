"""Rarity: how unlike the rest an image is, by its code's distance from others and by what the VAE fails to redraw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from vaebench.core.errors import VaebenchError
from vaebench.data.images import Images
from vaebench.models.folding import fold_batch_norm
from vaebench.models.vae import VAE
from vaebench.training.checkpoint import read_tensors, select_prefix, write_tensors

NEIGHBOURS = 10
LIMIT = 6.0
"""Robust standard deviations above the median: 1 in 10^9 of a Gaussian."""
KEPT = 100_000
"""Codes that new images are compared with."""
SAME = 1e-3
"""Share of the farthest neighbour's distance at which a neighbour is the image itself."""
BATCH = 250


@dataclass(frozen=True)
class OutlierDetector:
    """What is usual for a collection: codes, and median and spread of T = 2 logarithms, of the mean distance to the
    nearest ten codes and of the VAE's negative log-likelihood."""

    vae: VAE
    codes: Float[np.ndarray, "K D"]
    medians: Float[np.ndarray, " T"]
    spreads: Float[np.ndarray, " T"]

    @classmethod
    def of(
        cls,
        vae: VAE,
        images: Images,
        means: Float[np.ndarray, "N D"],
        seed: int = 0,
        measured: Callable[[OutlierDetector], np.ndarray] | None = None,
    ) -> tuple[OutlierDetector, Float[np.ndarray, " N"]]:
        """Of these images, whose codes are known, and the scores of them all; ``measured`` may have kept what
        :meth:`measures` says of them."""
        rows = np.sort(np.random.default_rng(seed).permutation(len(means))[:KEPT])
        bare = cls(vae, means[rows], np.zeros(2), np.ones(2))
        found = bare.measures(images) if measured is None else measured(bare)
        medians = np.median(found, axis=0)
        spreads = np.maximum(1.4826 * np.median(np.abs(found - medians), axis=0), 1e-6)
        rarity = cls(vae, means[rows], medians, spreads)
        return rarity, rarity._scores(found)

    @cached_property
    def search(self) -> NearestNeighbors:
        """Finds the nearest codes."""
        return NearestNeighbors(n_neighbors=min(NEIGHBOURS + 1, len(self.codes))).fit(self.codes)

    @torch.no_grad()
    def measures(
        self, images: Images, callback: Callable[[float], None] = lambda share: None
    ) -> Float[np.ndarray, "N T"]:
        """Both logarithms; an image that is among the codes is not its own neighbour. ``watch`` hears the share that
        is done."""
        quick, found = fold_batch_norm(self.vae), []
        for rows in torch.arange(len(images)).split(BATCH):
            x = images.batch(rows).x
            means = quick.posterior(x).base_dist.loc
            distances = self.search.kneighbors(means.numpy())[0]
            itself = distances[:, :1] <= SAME * distances[:, -1:]
            near = np.where(itself, distances[:, 1:], distances[:, :-1])
            loss = -quick.decode(means).log_prob(x)
            found.append(np.stack([np.log(near.mean(1) + 1e-9), _log(loss).numpy()], 1))
            callback(sum(map(len, found)) / max(1, len(images)))
        return np.concatenate(found).astype(np.float64)

    def scores(self, images: Images) -> Float[np.ndarray, " N"]:
        """Robust standard deviations above the usual, the greater of the two; above ``LIMIT`` an image is unlike the
        rest."""
        return self._scores(self.measures(images))

    def _scores(self, measures: Float[np.ndarray, "N T"]) -> Float[np.ndarray, " N"]:
        found: np.ndarray = ((measures - self.medians) / self.spreads).max(1)
        return found

    def save(self, folder: Path) -> None:
        """Write the VAE, codes, medians and spreads as ``usual.safetensors``."""
        tensors = {f"vae/{name}": value for name, value in self.vae.state_dict().items()}
        parts = {"codes": self.codes, "medians": self.medians, "spreads": self.spreads}
        tensors |= {name: torch.from_numpy(value) for name, value in parts.items()}
        write_tensors(folder / "usual.safetensors", tensors, {})


def load_outlier_detector(vae: VAE, folder: Path) -> OutlierDetector:
    """What :meth:`Rarity.save` wrote; its weights are put into ``vae``.

    Raises:
        VaebenchError: the file is missing, damaged, or of another model.
    """
    path = folder / "usual.safetensors"
    tensors = read_tensors(path)[0]
    try:
        vae.load_state_dict(select_prefix("vae", tensors))
        parts = [tensors[name].numpy() for name in ("codes", "medians", "spreads")]
    except (RuntimeError, KeyError) as error:
        raise VaebenchError(f"{path} does not fit model.json; copy both from the same model folder") from error
    return OutlierDetector(vae.eval(), *parts)


def _log(loss: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
    """A logarithm for losses that densities above 1 make negative, too."""
    return torch.asinh(loss)
