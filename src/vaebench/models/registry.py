"""MODELS: kinds of VAE that a recipe can train."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from vaebench.core.frozen import one_of
from vaebench.models.local_decoder import LocalDecoderModel
from vaebench.models.loss import Objective
from vaebench.models.quantised import FSQModel, VQModel
from vaebench.models.vade import VaDEModel
from vaebench.models.vae import VAE, Model, VAEModel


@runtime_checkable
class PretrainedModel(Protocol):
    """Configuration of a model that starts from a VAE, which is trained first with the recipe's objective."""

    pretraining_epochs: int

    @property
    def pretrained(self) -> Model:
        """Configuration of the VAE that is trained first."""
        ...

    def check_images(self, images: int) -> None:
        """Raise `VaebenchError` if the model needs more training images than there are."""
        ...

    @property
    def objective(self) -> Objective:
        """Objective of the second training."""
        ...

    def start(self, vae: VAE, means: Float[np.ndarray, "N D"], variances: Float[np.ndarray, "N D"], seed: int) -> VAE:
        """The initial model of the second training, from the VAE and its posteriors of the training images."""
        ...


MODELS: dict[str, type[Any]] = {
    "vae": Model,
    "local-decoder": LocalDecoderModel,
    "vade": VaDEModel,
    "vq": VQModel,
    "fsq": FSQModel,
}

if TYPE_CHECKING:
    AnyModel = VAEModel
else:
    AnyModel = one_of(MODELS, default="vae")
