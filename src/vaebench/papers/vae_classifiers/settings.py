"""Data sets of paper A, with their networks and training lengths."""

from __future__ import annotations

from dataclasses import dataclass

from vaebench.models.networks import MLP, Conv
from vaebench.models.vae import Model

PAPER_TEN = ("tree", "t-shirt", "ice cream", "fish", "face", "car", "bowtie", "apple", "flamingo", "sheep")
"""Quick Draw classes of the paper."""
NETWORK = Conv()
DEEPER_NETWORK = Conv(filters=(32, 64, 64, 64), kernel=(4, 4, 4, 3), stride=(2, 2, 1, 1))
SMALL_HEAD = MLP(hidden=(15,))
LARGE_HEAD = MLP(hidden=(40, 40, 30, 20), activation="selu")


@dataclass(frozen=True)
class Settings:
    """One data set: the paper's VAE and large head, and our VAE."""

    name: str
    title: str
    model: Model
    large_head: MLP
    head_epochs: int
    full_epochs: int
    cpu_epochs: int
    notebook_batch: int
    notebook_cpu_epochs: int
    our_model: Model
    our_beta: float
    our_cpu_epochs: int
    cnn_cpu_epochs: int


SETTINGS = {
    "mnist": Settings(
        name="mnist",
        title="MNIST",
        model=Model(network=NETWORK),
        large_head=LARGE_HEAD,
        head_epochs=8,
        full_epochs=80,
        cpu_epochs=4,
        notebook_batch=128,
        notebook_cpu_epochs=2,
        our_model=Model(network=NETWORK),
        our_beta=1.0,
        our_cpu_epochs=5,
        cnn_cpu_epochs=3,
    ),
    "fashion": Settings(
        name="fashion",
        title="Fashion-MNIST",
        model=Model(network=NETWORK),
        large_head=LARGE_HEAD,
        head_epochs=5,
        full_epochs=80,
        cpu_epochs=4,
        notebook_batch=32,
        notebook_cpu_epochs=1,
        our_model=Model(latent=40, network=NETWORK),
        our_beta=0.3,
        our_cpu_epochs=6,
        cnn_cpu_epochs=3,
    ),
    "quickdraw": Settings(
        name="quickdraw",
        title="Quick Draw",
        model=Model(latent=30, network=DEEPER_NETWORK),
        large_head=MLP(hidden=(50, 40, 30, 20), activation="selu", batch_norm="before"),
        head_epochs=9,
        full_epochs=456,
        cpu_epochs=12,
        notebook_batch=128,
        notebook_cpu_epochs=8,
        our_model=Model(latent=50, network=DEEPER_NETWORK),
        our_beta=0.3,
        our_cpu_epochs=15,
        cnn_cpu_epochs=8,
    ),
}
