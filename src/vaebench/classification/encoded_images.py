"""EncodedImages: the features of images under a user's encoder, and a VAE of these features."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vaebench.core.files import read_arrays
from vaebench.data.images import HIDDEN
from vaebench.evaluation.features import Codes, Grid
from vaebench.models.likelihoods import GaussianGlobalScale
from vaebench.models.networks import MLP
from vaebench.models.vae import VAE, Model
from vaebench.semi_supervised.graphs import Graph
from vaebench.training.checkpoint import read_tensors

MAX_LATENTS = 32
MAX_COMPONENTS = 64
"""Features of more dimensions are projected to as many principal components before a graph of them is built."""
PCA_SAMPLE = 20_000
"""Images that the principal components are fitted to."""
SMALLEST_SCALE = 0.01
"""Least deviation that a feature is divided by, as a fraction of the overall one: constant features stay constant."""
CHUNK = 1000


class Standardise(nn.Module):
    """Subtracts a mean from each feature and divides by a scale."""

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Float[Tensor, " F"], scale: Float[Tensor, " F"]) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)

    def forward(self, x: Float[Tensor, "B F"]) -> Float[Tensor, "B F"]:
        """Standardised features."""
        return (x - self.mean) / self.scale


def standardise_by(features: Float[Tensor, "N F"]) -> Standardise:
    """Return the layer by which these features have mean 0 and, where they vary, standard deviation 1."""
    deviation = features.std(0, correction=0)
    least = SMALLEST_SCALE * deviation.square().mean().sqrt().clamp(min=1e-6)
    return Standardise(features.mean(0), deviation.maximum(least))


def feature_model(features: int) -> Model:
    """The VAE of features: an MLP, with Gaussians of one learned scale for all standardised features."""
    return Model(latent=min(MAX_LATENTS, features), network=MLP(hidden=(256,)), likelihood=GaussianGlobalScale())


def build_feature_vae(features: int) -> VAE:
    """Build :func:`feature_model` for standardised features as images of one row."""
    return feature_model(features).build((1, 1, features))


def standardised_source(features: Float[Tensor, "N F"]) -> Grid:
    """Return the standardised features as images of one row without labels, to train the VAE with."""
    return Grid(Codes(standardise_by(features)(features), torch.full((len(features),), HIDDEN)), 1)


class EncodedFiles(NamedTuple):
    """Files from which a worker loads the encoded images."""

    features: Path
    """An npz with ``features`` (N, F)."""
    vae: Path
    """Weights of the VAE of them."""

    def load(self) -> EncodedImages:
        """Read both files."""
        features = torch.from_numpy(read_arrays(self.features)["features"])
        vae = build_feature_vae(features.shape[1])
        vae.load_state_dict(read_tensors(self.vae)[0])
        return encoded_images(features, vae)


@dataclass(frozen=True)
class EncodedImages:
    """Features of images without labels, and the encoder of a VAE that was trained on all of them."""

    codes: Codes
    """Features (N, F)."""
    network: nn.Module
    """Features (B, F) to latents, whose means are the first columns."""
    latent: int

    def take(self, rows: Int[Tensor, " M"]) -> EncodedImages:
        """Return the features of these rows, with the same VAE."""
        return replace(self, codes=self.codes.take(rows))

    @cached_property
    def latents(self) -> Float[np.ndarray, "N D"]:
        """Means of the VAE's latents."""
        with torch.no_grad():
            parts = [self.network(part)[:, : self.latent] for part in self.codes.mean.split(CHUNK)]
        return torch.cat(parts).numpy()

    @cached_property
    def latent_graph(self) -> Graph:
        """Neighbour graph of the latents."""
        return Graph.from_codes(self.latents)

    @cached_property
    def projection(self) -> nn.Linear | None:
        """Principal components of the features; None where there are few features."""
        features = self.codes.mean
        if features.shape[1] <= MAX_COMPONENTS:
            return None
        from sklearn.decomposition import PCA  # takes a second, which predictions should not cost

        rows = torch.linspace(0, len(features) - 1, min(PCA_SAMPLE, len(features))).long()
        sample = features[rows].numpy()
        pca = PCA(min(MAX_COMPONENTS, *sample.shape), random_state=0).fit(sample)
        components, mean = (torch.from_numpy(array).float() for array in (pca.components_, pca.mean_))
        projection = nn.Linear(features.shape[1], len(components))
        projection.load_state_dict({"weight": components, "bias": -components @ mean})
        return projection

    @cached_property
    def feature_graph(self) -> Graph:
        """Neighbour graph of the features, or of their principal components."""
        features = self.codes.mean
        with torch.no_grad():
            return Graph.from_codes((features if self.projection is None else self.projection(features)).numpy())


def encoded_images(features: Float[Tensor, "N F"], vae: VAE) -> EncodedImages:
    """Return the encoded images with the encoder of a VAE that was trained on all these features."""
    codes = Codes(features, torch.full((len(features),), HIDDEN))
    network = nn.Sequential(standardise_by(features), vae.encoder).eval()
    return EncodedImages(codes, network, len(vae.zero))


def build_feature_network(features: int) -> nn.Module:
    """Build the network of :func:`encoded_images` with other weights, which are to be loaded."""
    return nn.Sequential(Standardise(torch.zeros(features), torch.ones(features)), build_feature_vae(features).encoder)
