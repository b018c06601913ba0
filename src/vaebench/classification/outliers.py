"""OutlierDetector: outlier scores from the distance to other latent codes and from the VAE's reconstruction loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from vaebench.core.errors import VaebenchError
from vaebench.data.images import Images
from vaebench.deprecated import OLD_OUTLIERS_FILE
from vaebench.models.folding import fold_batch_norm
from vaebench.models.loss import log_likelihood
from vaebench.models.vae import VAE
from vaebench.semi_supervised.graphs import nearest
from vaebench.training.checkpoint import join_groups, read_tensors, select_prefix, write_tensors

FILE = "outliers.safetensors"
NEIGHBOURS = 10
THRESHOLD = 6.0
"""Outlier score above which an image is an outlier, in robust standard deviations: 1 in 10^9 of a Gaussian."""
MAX_CODES = 100_000
"""Codes that new images are compared with."""
SELF_DISTANCE = 1e-3
"""Fraction of the farthest neighbour's distance below which the nearest neighbour is the image itself."""
BATCH = 250


@dataclass(frozen=True)
class OutlierDetector:
    """Robust z-scores of two statistics of an image, relative to a reference collection.

    The statistics are the logarithms of the mean distance to the ten nearest reference codes, and of the
    reconstruction loss -log p(x|z) of the VAE. ``medians`` and ``spreads`` are those of the reference images.
    """

    vae: VAE
    codes: Float[np.ndarray, "K D"]
    medians: Float[np.ndarray, " S"]
    spreads: Float[np.ndarray, " S"]

    @classmethod
    def fit(
        cls,
        vae: VAE,
        images: Images,
        means: Float[np.ndarray, "N D"],
        seed: int = 0,
        compute_statistics: Callable[[OutlierDetector], np.ndarray] | None = None,
    ) -> tuple[OutlierDetector, Float[np.ndarray, " N"]]:
        """Return a detector with these reference images, and the outlier scores of the images.

        Args:
            vae: trained on ``images``.
            images: the reference images.
            means: their latent means.
            seed: of the draw of at most ``MAX_CODES`` codes.
            compute_statistics: replaces :meth:`statistics`, to reuse statistics that were stored earlier.
        """
        rows = np.sort(np.random.default_rng(seed).permutation(len(means))[:MAX_CODES])
        unscaled = cls(vae, means[rows], np.zeros(2), np.ones(2))
        statistics = unscaled.statistics(images) if compute_statistics is None else compute_statistics(unscaled)
        medians = np.median(statistics, axis=0)
        spreads = np.maximum(1.4826 * np.median(np.abs(statistics - medians), axis=0), 1e-6)
        detector = cls(vae, means[rows], medians, spreads)
        return detector, detector._scores(statistics)

    @torch.no_grad()
    def statistics(
        self, images: Images, callback: Callable[[float], None] = lambda fraction: None
    ) -> Float[np.ndarray, "N S"]:
        """Both logarithms for each image; a reference image is not its own neighbour.

        Args:
            images: any images of the VAE's shape.
            callback: receives the completed fraction.
        """
        vae, statistics = fold_batch_norm(self.vae), []
        for rows in torch.arange(len(images)).split(BATCH):
            batch = images.batch(rows)
            means = vae.posterior(batch.x).base_dist.loc
            distances, _ = nearest(self.codes, means.numpy(), min(NEIGHBOURS + 1, len(self.codes)))
            is_self = distances[:, :1] <= SELF_DISTANCE * distances[:, -1:]
            others = np.where(is_self, distances[:, 1:], distances[:, :-1])
            loss = -log_likelihood(vae.decode(means), batch)
            log_loss = torch.asinh(loss)  # a logarithm that also takes the negative losses of densities above 1
            statistics.append(np.stack([np.log(others.mean(1) + 1e-9), log_loss.numpy()], 1))
            callback(sum(map(len, statistics)) / max(1, len(images)))
        return np.concatenate(statistics).astype(np.float64)

    def scores(self, images: Images) -> Float[np.ndarray, " N"]:
        """Outlier scores: the larger of the two robust z-scores. Outliers are above ``THRESHOLD``."""
        return self._scores(self.statistics(images))

    def _scores(self, statistics: Float[np.ndarray, "N S"]) -> Float[np.ndarray, " N"]:
        scores: np.ndarray = ((statistics - self.medians) / self.spreads).max(1)
        return scores

    def save(self, folder: Path) -> None:
        """Write the VAE, codes, medians and spreads to ``outliers.safetensors``."""
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {"codes": self.codes, "medians": self.medians, "spreads": self.spreads}
        tensors = {name: torch.from_numpy(value) for name, value in arrays.items()}
        write_tensors(folder / FILE, join_groups({"vae": self.vae.state_dict()}) | tensors, {})
        (folder / OLD_OUTLIERS_FILE).unlink(missing_ok=True)


def load_outlier_detector(vae: VAE, folder: Path) -> OutlierDetector:
    """Load the detector that :meth:`OutlierDetector.save` wrote; its weights are loaded into ``vae``.

    Raises:
        VaebenchError: the file is missing, damaged, or of another model.
    """
    path, old = folder / FILE, folder / OLD_OUTLIERS_FILE
    path = old if old.exists() and not path.exists() else path
    if not path.exists():
        raise VaebenchError(f"{folder} has no {FILE}, as the classification did not finish; repeat its command")
    tensors = read_tensors(path)[0]
    try:
        vae.load_state_dict(select_prefix("vae", tensors))
        arrays = [tensors[name].numpy() for name in ("codes", "medians", "spreads")]
    except (RuntimeError, KeyError) as error:
        raise VaebenchError(f"{path} does not match model.json; copy both from the same model folder") from error
    return OutlierDetector(vae.eval(), *arrays)
