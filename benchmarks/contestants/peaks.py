"""What the processor can do at most, and what a training step asks of it."""

import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from vaebench.data.images import HIDDEN, Batch
from vaebench.models.objectives import Elbo
from vaebench.models.vae import VAE

SIDE, TIMES, BATCH = 2048, 12, 128
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def rates() -> dict[str, dict[str, float]]:
    """Operations a second by precision: the faster of a matrix product and a convolution, the best of 12 times."""
    return {"operations": {name: max(_product(kind), _convolution(kind)) for name, kind in PRECISIONS.items()}}


def _product(kind: torch.dtype) -> float:
    a, b = (torch.rand(SIDE, SIDE).to(kind) for _ in range(2))
    return 2 * SIDE**3 / _best(lambda: a @ b)


def _convolution(kind: torch.dtype) -> float:
    x = torch.rand(BATCH, 64, 16, 16).to(kind).contiguous(memory_format=torch.channels_last)
    filters = torch.rand(64, 64, 3, 3).to(kind).contiguous(memory_format=torch.channels_last)
    return 2 * x.numel() * 64 * 9 / _best(lambda: F.conv2d(x, filters, padding=1))


def _best(action: Callable[[], Tensor]) -> float:
    seconds = []
    for _ in range(TIMES):
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def work(model: VAE) -> dict[str, float]:
    """Operations of products and convolutions in one training step, there and back, an image."""
    x, counted = torch.rand(BATCH, 1, 28, 28), FlopCounterMode(display=False)
    with counted:
        Elbo()(model, Batch(x, torch.full((BATCH,), HIDDEN)), 1.0).loss.backward()
    return {"operations": counted.get_total_flops() / BATCH}
