"""Architectures, models and label counts of paper C."""

from __future__ import annotations

from dataclasses import dataclass

from vaebench.models.networks import MLP, Conv, Network

COUNTS = (1, 3, 5, 10, 100, 1000, "all")
"""Labels per class."""
FEW = (1, 3, 5)
MODELS = ("disentangled", "standard", "supervised")
ENCODER = Conv(filters=(32, 64), kernel=(5,), stride=(1,), padding=(0,), pool=(2,), hidden=(1024,), batch_norm="none")
DECODER = Conv(filters=(64, 128), stride=(2,), hidden=(1024,), batch_norm="after")


@dataclass(frozen=True)
class Architecture:
    """Network of both VAEs and of the supervised baseline, and how long the VAEs train."""

    name: str
    title: str
    network: Network
    decoder: Network | None
    """None mirrors ``network``."""
    beta: float
    """Beta of the disentangled VAE."""
    full_epochs: int
    cpu_epochs: int
    cpu_rate: float


ARCHITECTURES = {
    "mlp": Architecture("mlp", "MLP", MLP(hidden=(500, 500)), None, 4.0, 50, 25, 3e-3),
    "cnn": Architecture("cnn", "CNN", ENCODER, DECODER, 6.0, 75, 8, 3e-3),
}
FURTHER_ARCHITECTURES = {
    "rotated": Architecture("rotated", "MLP on rotated MNIST", MLP(hidden=(500, 500)), None, 4.0, 50, 15, 3e-3),
    "other": Architecture("other", "another CNN (32-64-64, kernel 4, batch norm)", Conv(), None, 6.0, 75, 4, 2e-2),
}
CIFAR = Architecture("cifar", "rotated CIFAR-10", Conv(), None, 6.0, 75, 2, 1e-2)
