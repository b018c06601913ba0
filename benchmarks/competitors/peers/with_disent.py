"""disent: its Vae with the default loss, in lightning's Trainer.

torchvision, which the package imports for its transforms, is replaced where it does not load, as that of PyPI beside
a CPU build of torch.
"""

import logging
import sys
from pathlib import Path
from unittest.mock import MagicMock

import torch
from ask import BATCH, Network
from torch import nn
from torch.utils.data import DataLoader, Dataset

try:
    import torchvision  # noqa: F401

    IMPORTED = "yes"
except Exception as error:  # the import fails in several ways
    IMPORTED = f"with torchvision replaced; import torchvision: {str(error).splitlines()[0][:100]}"
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    for name in ("", ".datasets", ".models", ".transforms", ".transforms.functional"):
        sys.modules["torchvision" + name] = MagicMock()

import lightning
from disent.frameworks.vae import Vae
from disent.model import AutoEncoder, DisentDecoder, DisentEncoder
from disent.model.ae import DecoderFC, EncoderFC

logging.disable(logging.CRITICAL)
KINDS = {
    "mse": "line",
    "mae": "line",
    "normal": "line",
    "bce": "binary",
    "bernoulli": "binary",
    "c_bernoulli": "interval",
}


class Encoder(DisentEncoder):
    def __init__(self, latents, width):
        super().__init__((1, 28, 28), latents, 2)
        self.layers = nn.Sequential(nn.Flatten(), Network(784, width, 2 * latents))

    def encode(self, x):
        return self.layers(x)


class Decoder(DisentDecoder):
    def __init__(self, latents, width):
        super().__init__((1, 28, 28), latents)
        self.layers = nn.Sequential(Network(latents, width, 784), nn.Unflatten(1, (1, 28, 28)))

    def decode(self, z):
        return self.layers(z)


class Digits(Dataset):
    """Batches in the form of disent's data sets."""

    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return {"x_targ": (self.images[index],)}


def vae(latents, width):
    """Vae with the default configuration and the network of the comparison."""
    return Vae(AutoEncoder(Encoder(latents, width), Decoder(latents, width)))


def trainer(folder, epochs):
    """Lightning's trainer without log files."""
    return lightning.Trainer(
        max_epochs=epochs,
        default_root_dir=folder,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def loader(images):
    """Shuffled batches."""
    return DataLoader(Digits(images), BATCH, shuffle=True)


def train(model, images, epochs, folder):
    """Train with lightning's Trainer; disent's default learning rate is 1e-3."""
    trainer(folder, epochs).fit(model, loader(images))
    return model


def encode(model, x):
    """Mean and log-variance of q(z|x)."""
    posterior, _ = model.encode_dists(x)
    return posterior.mean, 2 * posterior.stddev.log()


def decode(model, z):
    """Mean of p(x|z)."""
    return model.decode(z)


class FixedEncoder(DisentEncoder):
    def __init__(self, shape, mean, log_variance):
        super().__init__(shape, mean.shape[1], 2)
        self.output = torch.cat([mean, log_variance], 1)

    def encode(self, x):
        return self.output


class FixedDecoder(DisentDecoder):
    def __init__(self, shape, latents, output):
        super().__init__(shape, latents)
        self.output = output

    def decode(self, z):
        return self.output


class Fixed:
    """Vae with a given posterior and decoder output."""

    def __init__(self, mean, log_variance, output, kind=None):
        shape = (1, 1, output.shape[1])
        self.output = output.reshape(-1, *shape)
        parts = FixedEncoder(shape, mean, log_variance), FixedDecoder(shape, mean.shape[1], self.output)
        chosen = {} if kind is None else {"recon_loss": kind}
        self.model = Vae(AutoEncoder(*parts), Vae.cfg(**chosen))

    def loss(self, x):
        posterior, prior = self.model.encode_dists(x.reshape(self.output.shape))
        kl, _ = self.model.compute_ave_reg_loss([posterior], [prior], [posterior.rsample()])
        reconstruction, _ = self.model.compute_ave_recon_loss([self.output], [x.reshape(self.output.shape)])
        return float(reconstruction + kl)

    def log_density(self, x):
        return -float(self.model.compute_ave_recon_loss([self.output], [x.reshape(self.output.shape)])[0])


evidence = None


def fully_connected():
    """Vae of the library's own layers."""
    shape = (1, 28, 28)
    return Vae(AutoEncoder(EncoderFC(shape, 10, 2), DecoderFC(shape, 10)))


def resumed(images, folder):
    """Train four epochs, twice; train two, save, and train to four from the checkpoint.

    A checkpoint of disent holds the model as a Python object, so lightning reads it with ``weights_only=False`` only.
    """
    weights = []
    for stops in ((4,), (4,), (2, 4)):
        torch.manual_seed(0)
        model, checkpoint = fully_connected(), None
        for epochs in stops:
            one = trainer(folder, epochs)
            one.fit(model, loader(images), ckpt_path=checkpoint, weights_only=False)
            checkpoint = Path(folder) / "checkpoint.ckpt"
            one.save_checkpoint(checkpoint)
            torch.manual_seed(epochs)
        weights.append(list(model.parameters()))
    return weights


def save(model, folder):
    """Save by lightning, as disent's models are lightning modules."""
    one = trainer(folder, 1)
    one.fit(fully_connected(), loader(torch.zeros(4, 1, 28, 28)))
    one.save_checkpoint(Path(folder) / "checkpoint.ckpt")
