"""Networks and latent dimensions of paper E."""

from __future__ import annotations

import math

from vaebench.models.likelihoods import GaussianSigmoidMean
from vaebench.models.networks import MLP, Conv, Network
from vaebench.models.vae import Model

NETWORK = Conv(
    filters=(32, 64, 64, 64), kernel=(3,), stride=(1, 2, 2, 1), activation="leaky-relu", batch_norm="none"
)  # fmt: skip
OTHER_NETWORKS: dict[str, Network] = {
    "conv 32-64-64, kernel 4, batch norm": Conv(),
    "MLP 500-500": MLP(hidden=(500, 500)),
}
LATENTS = (2, 3, 4, 5, 10, 30)
CONSTANT = 0.5 * math.log(math.pi) * 28 * 28
"""-log N(x; m, 1/2) is the squared error plus this."""


def make_model(latent: int, network: Network = NETWORK) -> Model:
    """The paper's VAE: squared error + KL is a Gaussian likelihood of variance 1/2 around a sigmoid."""
    return Model(latent=latent, network=network, likelihood=GaussianSigmoidMean())
