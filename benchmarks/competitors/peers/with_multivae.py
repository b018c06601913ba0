"""multivae: its MVAE of one modality, which is a VAE whose posterior is a product with the prior.

torchvision, which the package imports for its data sets, is replaced where it does not load, as that of PyPI beside a
CPU build of torch.
"""

import logging
import sys
from pathlib import Path
from unittest.mock import MagicMock

import torch
from ask import BATCH, RATE, Network
from torch import nn

try:
    import torchvision  # noqa: F401

    IMPORTED = "yes"
except Exception as error:  # the import fails in several ways
    IMPORTED = f"with torchvision replaced; import torchvision: {str(error).splitlines()[0][:100]}"
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    for name in ("", ".datasets", ".datasets.utils", ".transforms", ".utils"):
        sys.modules["torchvision" + name] = MagicMock()

from multivae.data.datasets.base import MultimodalBaseDataset
from multivae.models import MVAE, MVAEConfig
from multivae.trainers import BaseTrainer, BaseTrainerConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder

logging.disable(logging.CRITICAL)
KINDS = {"normal": "line", "laplace": "line", "bernoulli": "binary"}


class Encoder(BaseEncoder):
    def __init__(self, latents, width):
        super().__init__()
        self.latent_dim = latents
        self.layers = nn.Sequential(nn.Flatten(), Network(784, width), nn.ReLU())
        self.mean, self.log_variance = nn.Linear(width, latents), nn.Linear(width, latents)

    def forward(self, x):
        hidden = self.layers(x)
        return ModelOutput(embedding=self.mean(hidden), log_covariance=self.log_variance(hidden))


class Decoder(BaseDecoder):
    def __init__(self, latents, width):
        super().__init__()
        self.latent_dim = latents
        self.layers = nn.Sequential(Network(latents, width, 784), nn.Unflatten(1, (1, 28, 28)))

    def forward(self, z):
        return ModelOutput(reconstruction=self.layers(z))


def configuration(shape, latents, **more):
    """One modality; subsets of modalities and the warm-up of beta are switched off."""
    chosen = {"use_subsampling": False, "warmup": 0, **more}
    return MVAEConfig(n_modalities=1, latent_dim=latents, input_dims={"image": tuple(shape)}, **chosen)


def vae(latents, width):
    """MVAE with the network of the comparison."""
    encoders, decoders = {"image": Encoder(latents, width)}, {"image": Decoder(latents, width)}
    return MVAE(configuration((1, 28, 28), latents), encoders, decoders)


def settings(folder, epochs, **more):
    """Configuration of BaseTrainer."""
    chosen = {"keep_best_on_train": True, "no_cuda": True, **more}
    return BaseTrainerConfig(
        output_dir=str(folder),
        num_epochs=epochs,
        per_device_train_batch_size=BATCH,
        learning_rate=RATE,
        **chosen,
    )


def train(model, images, epochs, folder):
    """Train with BaseTrainer."""
    trainer = BaseTrainer(model, MultimodalBaseDataset({"image": images}), training_config=settings(folder, epochs))
    trainer.train()
    return trainer.model


def encode(model, x):
    """Mean and log-variance of q(z|x)."""
    return model.compute_mu_log_var_subset(MultimodalBaseDataset({"image": x}), ["image"])


def decode(model, z):
    """Mean of p(x|z)."""
    return model.decoders["image"](z).reconstruction


class FixedEncoder(BaseEncoder):
    """Expert whose product with the prior is the given posterior."""

    def __init__(self, matrix, mean, log_variance):
        super().__init__()
        precision = (-log_variance).exp()
        self.latent_dim, self.factor = log_variance.shape[1], precision / (precision - 1)
        self.matrix, self.mean, self.log_variance = matrix, mean, -(precision - 1).log()

    def forward(self, x):
        mean = self.mean if self.matrix is None else x @ self.matrix
        return ModelOutput(embedding=mean * self.factor, log_covariance=self.log_variance.expand(len(x), -1))


class FixedDecoder(BaseDecoder):
    def __init__(self, latents, output=None, weights=None):
        super().__init__()
        self.latent_dim, self.output, self.weights = latents, output, weights

    def forward(self, z):
        return ModelOutput(reconstruction=self.output if self.weights is None else z @ self.weights.T)


class Fixed:
    """VAE with a given posterior and decoder output."""

    def __init__(self, mean, log_variance, output, kind=None):
        chosen = {} if kind is None else {"decoders_dist": {"image": kind}}
        config = configuration(output.shape[1:], mean.shape[1], **chosen)
        decoders = {"image": FixedDecoder(mean.shape[1], output)}
        self.model, self.output = MVAE(config, {"image": FixedEncoder(None, mean, log_variance)}, decoders), output

    def loss(self, x):
        return float(self.model(MultimodalBaseDataset({"image": x})).loss)

    def log_density(self, x):
        return float(self.model.recon_log_probs["image"](self.output, x).sum())


def evidence(weights, images, mean, log_variance):
    """``compute_joint_nll``, which is summed over images."""
    encoders = {"image": FixedEncoder(weights * log_variance[0].exp(), None, log_variance[:1])}
    model = MVAE(configuration((4,), 2), encoders, {"image": FixedDecoder(2, weights=weights)})
    total = float(model.compute_joint_nll(MultimodalBaseDataset({"image": images}), K=100))
    return {"name": "compute_joint_nll, divided by the images", "value": total / len(images)}


def resumed(images, folder):
    """Train four epochs, twice; train again from a checkpoint after two of them."""
    data, weights = MultimodalBaseDataset({"image": images}), []
    for name in ("one", "other"):
        torch.manual_seed(0)
        start, out = MVAE(configuration((1, 28, 28), 10)), Path(folder) / name
        trainer = BaseTrainer(start, data, training_config=settings(out, 4, steps_saving=2))
        trainer.train()
        weights.append(list(trainer.model.parameters()))
    checkpoint = next(Path(folder).rglob("checkpoint_epoch_2"))
    trainer = BaseTrainer(MVAE(configuration((1, 28, 28), 10)), data, checkpoint=str(checkpoint))
    trainer.train()
    return [*weights, list(trainer.model.parameters())]


def save(model, folder):
    """Save an MVAE of the default networks."""
    MVAE(configuration((1, 28, 28), 10)).save(folder)
