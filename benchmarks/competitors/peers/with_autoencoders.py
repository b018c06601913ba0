"""autoencoders: its VariationalAutoencoderModel with the default loss, and its VAETrainer."""

import inspect
import io
import warnings
from contextlib import redirect_stdout

import torch
from ask import BATCH, RATE, Network
from torch import nn
from torch.utils.data import DataLoader

warnings.simplefilter("ignore")
from autoencoders import (  # noqa: E402
    TrainingConfig,
    VAETrainer,
    VariationalAutoencoderConfig,
    VariationalAutoencoderModel,
)
from autoencoders.data.base import DatasetLoaders, TensorSpec  # noqa: E402
from autoencoders.modules.base import BaseAutoencoderModule, BaseAutoencoderModuleConfig  # noqa: E402

IMPORTED = "yes"
KINDS = {"mse": "line", "l1": "line"}


class Module(BaseAutoencoderModule):
    """A network as the library's backbone, from vectors to vectors."""

    def __init__(self, network, inputs, outputs):
        super().__init__(BaseAutoencoderModuleConfig(), TensorSpec(shape=(inputs,)))
        self.network, self.output_spec = network, TensorSpec(shape=(outputs,))

    def forward(self, inputs):
        return self.network(inputs)


def vae(latents, width):
    """VAE with the default configuration and the network of the comparison."""
    decoder = Network(latents, width, 784)
    model = VariationalAutoencoderModel(
        config=VariationalAutoencoderConfig(latent_dim=latents),
        sample_spec=TensorSpec(shape=(784,)),
        encoder=Module(nn.Sequential(Network(784, width), nn.ReLU()), 784, width),
        decoder=Module(decoder, latents, 784),
    )
    return model


def train(model, images, epochs, folder):
    """Train with VAETrainer, which wants validation and test images: those of training."""
    loader = DataLoader(images.flatten(1), BATCH, shuffle=True)
    config = TrainingConfig(output_dir=folder, epochs=epochs, batch_size=BATCH, learning_rate=RATE, device="cpu")
    with redirect_stdout(io.StringIO()):
        VAETrainer(model, config).fit(DatasetLoaders(loader, loader, loader))
    return model


def encode(model, x):
    """Mean and log-variance of q(z|x)."""
    return model.encode(x.flatten(1))


def decode(model, z):
    """Reconstruction."""
    return model.decode(model.prepare_decoder_inputs(z))


class FixedModel(VariationalAutoencoderModel):
    def encode(self, inputs):
        return self.given[0], self.given[1]

    def decode(self, latents):
        return self.given[2]


class Fixed:
    """VAE with a given posterior and decoder output."""

    def __init__(self, mean, log_variance, output, kind=None):
        chosen = {} if kind is None else {"reconstruction_loss": kind}
        config = VariationalAutoencoderConfig(latent_dim=mean.shape[1], **chosen)
        self.model = FixedModel(config=config, sample_spec=TensorSpec(shape=(output.shape[1],)))
        self.model.given = mean, log_variance, output

    def loss(self, x):
        return float(self.model(x).loss)

    def log_density(self, x):
        return -float(self.model(x).reconstruction_loss)


evidence = None
if any("resume" in name or "checkpoint" in name for name in inspect.signature(VAETrainer.fit).parameters):
    raise RuntimeError("VAETrainer.fit takes a checkpoint now: measure resuming")
resumed = None


def save(model, folder):
    """Save a model of the library's own layers."""
    layers = {"hidden_dims": [256]}
    model = VariationalAutoencoderModel(
        config=VariationalAutoencoderConfig(latent_dim=10),
        sample_spec=TensorSpec(shape=(784,)),
        encoder="mlp",
        encoder_config=layers,
        decoder="mlp",
        decoder_config={"hidden_dims": [256, 784]},
    )
    torch.manual_seed(0)
    model.save_pretrained(folder)
