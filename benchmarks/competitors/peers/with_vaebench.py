"""vaebench: its VAE with a Gaussian likelihood of standard deviation 1, as in the other libraries."""

import os
import signal
from pathlib import Path

import torch
from ask import BATCH, RATE
from torch import nn

from vaebench.core.files import write_json
from vaebench.data.images import HIDDEN, Batch, Images
from vaebench.models.likelihoods import BernoulliPixels, ContinuousBernoulliPixels, GaussianPixels
from vaebench.models.networks import MLP
from vaebench.models.objectives import Elbo, ImportanceWeighted
from vaebench.models.posteriors import LogVariance
from vaebench.models.vae import VAE, Model
from vaebench.training.checkpoint import Checkpoint, write_tensors
from vaebench.training.compute import Compute
from vaebench.training.loop import Training
from vaebench.training.loop import train as train_model
from vaebench.training.schedules import Adam, Constant

IMPORTED = "yes"
COMPUTE = Compute(device="cpu", precision="fp32", threads=1)
LIKELIHOODS = {
    "gaussian": GaussianPixels(scale=1.0),
    "bernoulli": BernoulliPixels(),
    "continuous-bernoulli": ContinuousBernoulliPixels(),
}
KINDS = {"gaussian": "line", "bernoulli": "binary", "continuous-bernoulli": "interval"}


def images_of(x):
    """Unlabelled 8-bit images."""
    return Images((255 * x).round().to(torch.uint8), torch.full((len(x),), HIDDEN))


def model(latents, width):
    """Configuration of the VAE."""
    return Model(latent=latents, network=MLP(hidden=(width,)), likelihood=LIKELIHOODS["gaussian"])


def vae(latents, width):
    """VAE with the network of the comparison."""
    return model(latents, width).build((1, 28, 28))


def train(vae, x, epochs, folder, **more):
    """Train with the default objective at a constant learning rate."""
    rule = Training(epochs=epochs, batch=BATCH, optimiser=Adam(rate=RATE), schedule=Constant())
    return train_model(vae, Elbo(), images_of(x), rule, compute=COMPUTE, **more).model


def encode(vae, x):
    """Mean and log-variance of q(z|x)."""
    posterior = vae.posterior(x)
    return posterior.mean, 2 * posterior.stddev.log()


def decode(vae, z):
    """Mean of p(x|z)."""
    return vae.decode(z).mean


class Given(nn.Module):
    """The same output for every input."""

    def __init__(self, output):
        super().__init__()
        self.output = output

    def forward(self, x):
        return self.output


class Fixed:
    """VAE with a given posterior and decoder output."""

    def __init__(self, mean, log_variance, output, kind="gaussian"):
        self.shape = (-1, 1, 1, output.shape[1])
        networks = Given(torch.cat([mean, log_variance], 1)), Given(output.reshape(self.shape))
        self.vae = VAE(*networks, mean.shape[1], LogVariance(), LIKELIHOODS[kind])
        self.latents = mean.shape[1]

    def loss(self, x):
        batch = Batch(x.reshape(self.shape), torch.full((len(x),), HIDDEN))
        return float(Elbo()(self.vae, batch, 1.0).loss)

    def log_density(self, x):
        return float(self.vae.decode(torch.zeros(1, self.latents)).log_prob(x.reshape(self.shape)))


class Linear(nn.Module):
    """x @ matrix on flattened images, with constant columns appended."""

    def __init__(self, matrix, constant=None):
        super().__init__()
        self.matrix, self.constant = matrix, constant

    def forward(self, x):
        product = x.flatten(1) @ self.matrix
        if self.constant is None:
            return product.reshape(len(x), 1, 1, -1)
        return torch.cat([product, self.constant.expand(len(x), -1)], 1)


def evidence(weights, images, mean, log_variance):
    """The importance-weighted bound, which is log p(x) where the posterior is exact."""
    encoder = Linear(weights * log_variance[0].exp(), log_variance[:1])
    vae = VAE(encoder, Linear(weights.T), 2, LogVariance(), LIKELIHOODS["gaussian"])
    batch = Batch(images.reshape(3, 1, 1, 4), torch.full((3,), HIDDEN))
    with torch.no_grad():
        value = -float(ImportanceWeighted(samples=100)(vae, batch, 1.0).loss)
    return {"name": "ImportanceWeighted", "value": value}


def resumed(x, folder):
    """Train four epochs, twice; train two, interrupt by Ctrl-C, and train to four from the checkpoint."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    weights = []
    for name in ("one", "other"):
        weights.append(from_checkpoint(x, Path(folder) / name))
    try:
        from_checkpoint(x, Path(folder) / "interrupted", interrupt)
    except KeyboardInterrupt:
        weights.append(from_checkpoint(x, Path(folder) / "interrupted"))
    return weights


def from_checkpoint(x, path, callback=None):
    """Weights after four epochs, from a checkpoint if there is one."""
    torch.manual_seed(0)
    checkpoint = Checkpoint(path.with_suffix(".safetensors"), {})
    return list(train(vae(10, 256), x, 4, None, checkpoint=checkpoint, callback=callback).parameters())


def interrupt(at):
    """Callback that sends Ctrl-C after two epochs."""
    if at.epoch is not None and at.epoch["epoch"] == 2:
        os.kill(os.getpid(), signal.SIGINT)


def save(vae, folder):
    """The two files of a run that hold its model."""
    write_tensors(Path(folder) / "weights.safetensors", vae.state_dict(), {})
    write_json(Path(folder) / "recipe.json", model(10, 256).model_dump(mode="json"))
