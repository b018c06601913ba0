"""Define a likelihood, check that it is a density, and train a VAE with it.

    python examples/new_likelihood.py

docs/extend.md says how the same class becomes a part of vaebench: one entry in LIKELIHOODS.
"""

import torch
from torch import nn
from torch.distributions import Independent, Laplace

import vaebench as vb
from vaebench.data.datasets import Data
from vaebench.evaluation.bounds import bounds
from vaebench.models.networks import MLP
from vaebench.models.objectives import Elbo
from vaebench.models.posteriors import LogVariance
from vaebench.training.loop import Training


class LaplacePixels:
    """p(x|z) = prod_i Laplace(x_i; raw_i, scale): -log p is the absolute error over the scale, plus a constant."""

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def __call__(self, raw: torch.Tensor) -> Independent:
        """Return p(x|z), event shape (C, H, W), for raw values of shape (*batch, C, H, W)."""
        return Independent(Laplace(raw, self.scale, validate_args=False), 3)


likelihood = LaplacePixels(scale=0.1)
x = torch.linspace(-3, 3, 6001).view(-1, 1, 1, 1)
density = likelihood(torch.full((6001, 1, 1, 1), 0.4)).log_prob(x).exp()
print(f"integral of p(x|z) over one pixel: {torch.trapezoid(density, x.flatten()):.4f}")

data, network, latent = Data(source="digits").load(), MLP(hidden=(256,)), 8
torch.manual_seed(0)
vae = vb.VAE(
    encoder=network.encoder(data.train.shape, 2 * latent),
    decoder=nn.Sequential(network.decoder(latent, data.train.shape), nn.Identity()),
    latent=latent,
    posterior=LogVariance(),
    likelihood=likelihood,
)
compute = vb.Compute(device="cpu").resolve()
vb.train(vae, Elbo(), data.train, Training(epochs=10), compute=compute, seed=0, validation=data.validation)
print(f"ELBO of the test images: {bounds(vae, data.test).elbo:.1f} nats per image")
