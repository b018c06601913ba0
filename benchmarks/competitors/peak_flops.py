"""Peak floating-point operations per second of the processor, and operations of a training step."""

import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from vaebench.data.images import HIDDEN, Batch
from vaebench.models.objectives import Elbo
from vaebench.models.vae import VAE

SIDE, RUNS, BATCH = 2048, 12, 128
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def measure_peak() -> dict[str, dict[str, float]]:
    """Operations per second by precision: the faster of a matrix product and a convolution, the best of 12 runs."""
    return {
        "operations": {name: max(_matrix_product(dtype), _convolution(dtype)) for name, dtype in PRECISIONS.items()}
    }


def _matrix_product(dtype: torch.dtype) -> float:
    a, b = (torch.rand(SIDE, SIDE).to(dtype) for _ in range(2))
    return 2 * SIDE**3 / _best_seconds(lambda: a @ b)


def _convolution(dtype: torch.dtype) -> float:
    x = torch.rand(BATCH, 64, 16, 16).to(dtype).contiguous(memory_format=torch.channels_last)
    filters = torch.rand(64, 64, 3, 3).to(dtype).contiguous(memory_format=torch.channels_last)
    return 2 * x.numel() * 64 * 9 / _best_seconds(lambda: F.conv2d(x, filters, padding=1))


def _best_seconds(action: Callable[[], Tensor]) -> float:
    seconds = []
    for _ in range(RUNS):
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def count_step(model: VAE) -> dict[str, float]:
    """Operations per image of the matrix products and convolutions in one training step, forward and backward."""
    x, counter = torch.rand(BATCH, 1, 28, 28), FlopCounterMode(display=False)
    with counter:
        Elbo()(model, Batch(x, torch.full((BATCH,), HIDDEN)), 1.0).loss.backward()
    return {"operations": counter.get_total_flops() / BATCH}
