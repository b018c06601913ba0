"""pythae: its VAE with the default loss, and its BaseTrainer."""

import inspect
import logging

import torch
from ask import BATCH, RATE, Network
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from torch import nn

logging.disable(logging.CRITICAL)
IMPORTED = "yes"
KINDS = {"mse": "line", "bce": "binary"}


class Encoder(BaseEncoder):
    def __init__(self, latents, width):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), Network(784, width), nn.ReLU())
        self.mean, self.log_variance = nn.Linear(width, latents), nn.Linear(width, latents)

    def forward(self, x):
        hidden = self.layers(x)
        return ModelOutput(embedding=self.mean(hidden), log_covariance=self.log_variance(hidden))


class Decoder(BaseDecoder):
    def __init__(self, latents, width):
        super().__init__()
        self.layers = nn.Sequential(Network(latents, width, 784), nn.Unflatten(1, (1, 28, 28)))

    def forward(self, z):
        return ModelOutput(reconstruction=self.layers(z))


def vae(latents, width):
    """VAE with the default configuration and the network of the comparison."""
    return VAE(VAEConfig(input_dim=(1, 28, 28), latent_dim=latents), Encoder(latents, width), Decoder(latents, width))


def train(model, images, epochs, folder):
    """Train with BaseTrainer."""
    config = BaseTrainerConfig(
        output_dir=folder,
        num_epochs=epochs,
        per_device_train_batch_size=BATCH,
        learning_rate=RATE,
        keep_best_on_train=True,
        no_cuda=True,
    )
    BaseTrainer(model, BaseDataset(images, torch.zeros(len(images))), training_config=config).train()
    return model


def encode(model, x):
    """Mean and log-variance of q(z|x)."""
    output = model.encoder(x)
    return output.embedding, output.log_covariance


def decode(model, z):
    """Mean of p(x|z)."""
    return model.decoder(z).reconstruction


class FixedEncoder(BaseEncoder):
    def __init__(self, mean, log_variance):
        super().__init__()
        self.output = ModelOutput(embedding=mean, log_covariance=log_variance)

    def forward(self, x):
        return self.output


class FixedDecoder(BaseDecoder):
    def __init__(self, output):
        super().__init__()
        self.output = ModelOutput(reconstruction=output)

    def forward(self, z):
        return self.output


class Fixed:
    """VAE with a given posterior and decoder output."""

    def __init__(self, mean, log_variance, output, kind=None):
        chosen = {} if kind is None else {"reconstruction_loss": kind}
        config = VAEConfig(input_dim=output.shape[1:], latent_dim=mean.shape[1], **chosen)
        self.model = VAE(config, FixedEncoder(mean, log_variance), FixedDecoder(output))

    def loss(self, x):
        return float(self.model({"data": x}).loss)

    def log_density(self, x):
        return -float(self.model({"data": x}).recon_loss)


class LinearEncoder(FixedEncoder):
    """Posterior of the linear-Gaussian model for repeated images."""

    def __init__(self, matrix, log_variance):
        super().__init__(None, None)
        self.matrix, self.log_variance = matrix, log_variance

    def forward(self, x):
        return ModelOutput(embedding=x @ self.matrix, log_covariance=self.log_variance.expand(len(x), -1))


class LinearDecoder(FixedDecoder):
    def __init__(self, weights):
        super().__init__(None)
        self.weights = weights

    def forward(self, z):
        return ModelOutput(reconstruction=z @ self.weights.T)


def evidence(weights, images, mean, log_variance):
    """``get_nll``."""
    encoder = LinearEncoder(weights * log_variance[0].exp(), log_variance[:1])
    model = VAE(VAEConfig(input_dim=(4,), latent_dim=2), encoder, LinearDecoder(weights))
    with torch.no_grad():
        return {"name": "get_nll", "value": float(model.get_nll(images, n_samples=100, batch_size=10))}


if "checkpoint" in inspect.signature(BaseTrainer.__init__).parameters:
    raise RuntimeError("BaseTrainer takes a checkpoint now: measure resuming")
resumed = None


def save(model, folder):
    """Save a VAE of the default networks."""
    VAE(VAEConfig(input_dim=(1, 28, 28), latent_dim=10)).save(folder)
