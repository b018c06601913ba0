"""pythae 0.1.2 on one task, in an environment of its own: `python run_pythae.py TASK` prints JSON."""

import itertools
import json
import logging
import statistics
import sys
import tempfile
import time

import numpy as np
import torch
from memory import peak_megabytes
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from pythae.trainers.training_callbacks import TrainingCallback
from torch import nn

logging.disable(logging.CRITICAL)


def conv_layers():
    """Encoder and decoder layers of 32-64-64 convolutions with batch normalisation."""
    down = [(1, 32, 2), (32, 64, 2), (64, 64, 1)]
    encoder, decoder = [], []
    for channels, filters, stride in down:
        encoder += [nn.Conv2d(channels, filters, 4, stride, 1), nn.BatchNorm2d(filters), nn.ReLU()]
    for index, (channels, filters, stride) in reversed(list(enumerate(down))):
        decoder.append(nn.ConvTranspose2d(filters, channels, 4, stride, 1))
        decoder += [nn.BatchNorm2d(channels), nn.ReLU()] if index else []
    flat = 64 * 6 * 6
    return nn.Sequential(*encoder, nn.Flatten()), flat, (nn.Unflatten(1, (64, 6, 6)), *decoder)


def dense_layers(hidden):
    """Fully connected encoder and decoder layers."""
    widths = [784, *hidden]
    encoder = [nn.Flatten()]
    for one, other in itertools.pairwise(widths):
        encoder += [nn.Linear(one, other), nn.ReLU()]
    back = [nn.ReLU()]
    for one, other in zip(widths[:0:-1], widths[-2::-1], strict=True):
        back += [nn.Linear(one, other), nn.ReLU()]
    return nn.Sequential(*encoder), widths[-1], (*back[:-1], nn.Unflatten(1, (1, 28, 28)))


class Encoder(BaseEncoder):
    def __init__(self, layers, flat, latent):
        super().__init__()
        self.layers, self.out = layers, nn.Linear(flat, 2 * latent)

    def forward(self, x):
        mean, log_variance = self.out(self.layers(x)).chunk(2, -1)
        return ModelOutput(embedding=mean, log_covariance=log_variance)


class Decoder(BaseDecoder):
    def __init__(self, layers, flat, latent):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(latent, flat), *layers, nn.Sigmoid())

    def forward(self, z):
        return ModelOutput(reconstruction=self.layers(z))


def model_of(task):
    """VAE of the task."""
    torch.manual_seed(task["seed"])
    layers, flat, back = conv_layers() if task["network"] == "conv" else dense_layers(task["hidden"])
    latent = task["latent"]
    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=latent, reconstruction_loss="bce")
    return VAE(config, encoder=Encoder(layers, flat, latent), decoder=Decoder(back, flat, latent))


class Epochs(TrainingCallback):
    """Seconds of each epoch's steps."""

    def __init__(self):
        self.seconds = []

    def on_train_step_begin(self, training_config, **kwargs):
        self.start = time.perf_counter()

    def on_epoch_end(self, training_config, **kwargs):
        self.seconds.append(time.perf_counter() - self.start)


def train(task, model=None):
    """Images per second in the median epoch, in the fastest configuration: tensors in memory, no worker processes,
    fused Adam."""
    pixels = torch.from_numpy(np.load(task["data"])[: task["images"]]).float() / 255
    epochs = Epochs()
    with tempfile.TemporaryDirectory() as folder:
        config = BaseTrainerConfig(
            output_dir=folder,
            per_device_train_batch_size=task["batch"],
            num_epochs=task["epochs"],
            learning_rate=1e-3,
            optimizer_cls="Adam",
            optimizer_params={"fused": True},
            no_cuda=not task.get("cuda", False),
        )
        trainer = BaseTrainer(
            model or model_of(task), BaseDataset(pixels, torch.zeros(len(pixels))), None, config, [epochs]
        )
        trainer.train()
    epoch = statistics.median(epochs.seconds[1:])  # the first warms up
    return {"rate": len(pixels) / epoch, "seconds": epochs.seconds}


def quality(task):
    """Seconds of all epochs, and the final validation loss in nats per image."""
    trained = train(task, model := model_of(task))
    pixels = torch.from_numpy(np.load(task["validation"])).float() / 255
    torch.manual_seed(0)
    with torch.no_grad():
        losses = [model.eval()({"data": part}).loss.item() * len(part) for part in pixels.split(500)]
    return {"seconds": sum(trained["seconds"]), "loss": sum(losses) / len(pixels)}


def evidence(task):
    """Images per second of log p(x), and its mean in nats."""
    model = model_of(task).eval()
    pixels = torch.from_numpy(np.load(task["data"])[: task["images"]]).float() / 255
    start = time.perf_counter()
    with torch.no_grad():
        log_px = model.get_nll((pixels > 0.5).float(), n_samples=task["samples"], batch_size=task["chunk"])
    return {"rate": len(pixels) / (time.perf_counter() - start), "log_px": float(log_px)}


if __name__ == "__main__":
    task = json.loads(sys.argv[1])
    torch.set_num_threads(task["threads"])
    result = {"train": train, "evidence": evidence, "quality": quality}[task["task"]](task)
    print(json.dumps({**result, "megabytes": peak_megabytes()}))
