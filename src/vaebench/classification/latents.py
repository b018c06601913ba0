"""Latents: the codes of all images and the graph of those that methods are fitted with, each computed once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import sparse

from vaebench.core.steps import content_key
from vaebench.data.images import Images
from vaebench.evaluation.features import encode_means
from vaebench.experiments.experiment import Experiment
from vaebench.models.vae import VAE
from vaebench.semi_supervised.graphs import Graph


@dataclass
class Latents:
    """Latent means of all images, and the graph of the pool: the images that methods are fitted with."""

    experiment: Experiment
    """Keeps the arrays."""
    images: Images
    vae: VAE
    key: str
    """Key of the VAE."""
    pool: Int[np.ndarray, " P"] | None
    """Rows of the images that methods are fitted with; None for all."""

    @cached_property
    def means(self) -> Float[np.ndarray, "N D"]:
        """Means of q(z|x) of all images."""
        callback = self.experiment.progress_callback("encoding all images")
        return self.experiment.arrays(
            "all/codes", {"vae": self.key}, lambda: {"values": encode_means(self.vae, self.images, callback).numpy()}
        )["values"]

    @property
    def pool_images(self) -> Images:
        """The images that methods are fitted with."""
        return self.images if self.pool is None else self.images.take(torch.from_numpy(self.pool))

    @cached_property
    def pool_means(self) -> Float[np.ndarray, "P D"]:
        """Their latent means, kept apart so that a worker need not read those of all images."""
        if self.pool is None:
            return self.means
        arrays = self.experiment.arrays("all/pool", self._pool_identity, lambda: {"values": self.means[self.pool]})
        return arrays["values"]

    @property
    def _pool_identity(self) -> dict[str, Any]:
        return {"vae": self.key, "pool": None if self.pool is None else content_key(self.pool.tolist())}

    @cached_property
    def graph(self) -> Graph:
        """Neighbour graph of the pool."""
        arrays = self.experiment.arrays("all/graph", self._pool_identity, self._graph_arrays)
        weights = sparse.csr_array(
            (arrays["data"], arrays["indices"], arrays["indptr"]), shape=(self._size, self._size)
        )
        return Graph(weights, self.pool_means, int(arrays["neighbours"]))

    @property
    def _size(self) -> int:
        return len(self.pool_means)

    def _graph_arrays(self) -> dict[str, np.ndarray]:
        graph = Graph.from_codes(self.pool_means)
        weights = graph.weights
        return {
            "data": weights.data,
            "indices": weights.indices,
            "indptr": weights.indptr,
            "neighbours": np.array(graph.neighbours),
        }
