"""Where and how precisely to compute, chosen for the machine and said in the record."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from typing import Any, Literal

import torch
import torch.distributed as dist
from pydantic import Field
from torch import nn

from vaebench.core.errors import VaebenchError
from vaebench.core.frozen import Frozen
from vaebench.data.images import Batch
from vaebench.models.loss import LossOutput, Objective

MATMUL: Any = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
"""oneDNN's products. That they may be rounded to bf16 is what makes torch take it for those of fp32."""


class Compute(Frozen):
    """Device, precision, compilation and threads; "auto" is resolved by :meth:`resolve` before use."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "fp32", "tf32", "bf16"] = "auto"
    """bf16 and tf32 (GPUs only: products of 10 bits) are for training only; scores and kept latents are always fp32.
    Auto takes bf16 where it is faster."""
    compile: bool = False
    """torch.compile the objective with its networks: pays for long trainings only, and needs a C++ compiler."""
    threads: int | None = Field(None, ge=1)
    """CPU threads; none means every core that this process may use."""

    def resolve(self) -> Compute:
        """The same with every "auto" replaced by what this machine offers.

        On a GPU, torch's own default of rounding convolutions to TF32 ends here.

        Raises:
            VaebenchError: CUDA was asked for and there is none, or tf32 on a processor.
        """
        cuda = torch.cuda.is_available()
        if self.device == "cuda" and not cuda:
            raise VaebenchError("compute.device is 'cuda', but torch finds no GPU; use 'cpu' or 'auto'")
        device = ("cuda" if cuda else "cpu") if self.device == "auto" else self.device
        if self.precision == "tf32" and device != "cuda":
            raise VaebenchError("compute.precision is 'tf32', which only a GPU has; use 'fp32', 'bf16' or 'auto'")
        if device == "cuda":
            _round_to_tf32(False)
        fast = torch.cuda.is_bf16_supported() if device == "cuda" else _cpu_is_faster_in_bf16()
        precision = ("bf16" if fast else "fp32") if self.precision == "auto" else self.precision
        beside = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # processes of one training that torchrun started here
        threads = self.threads or max(1, len(os.sched_getaffinity(0)) // beside)
        return Compute(device=device, precision=precision, compile=self.compile, threads=threads)

    def place(self, model: nn.Module) -> nn.Module:
        """The model on the device, channels last; sets the number of threads."""
        torch.set_num_threads(self.threads or 1)
        return model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def compiled(self, objective: Objective) -> Objective:
        """The same objective, compiled with the networks it calls where that is asked for; they stay as they are."""
        if not self.compile:
            return objective

        def call(model: nn.Module, batch: Batch, progress: float) -> LossOutput:
            return objective(model, batch, progress)

        compiled: Objective = torch.compile(call, options={"fallback_random": True})  # noise as without compiling
        return compiled

    @contextmanager
    def products(self) -> Iterator[None]:
        """The context of a training: where tf32 was chosen, a GPU rounds products to it, and never after; a processor
        computes those of fp32 by oneDNN where that is as exact as MKL, and quicker."""
        cuda, before = self.device == "cuda", MATMUL.fp32_precision
        if cuda:  # flags of the whole process, and none of a processor's business
            _round_to_tf32(self.precision == "tf32")
        elif products_by_onednn():
            MATMUL.fp32_precision = "bf16"  # lets oneDNN round where it gains by it, which the probe has ruled out
        try:
            yield
        finally:
            MATMUL.fp32_precision = before
            if cuda:
                _round_to_tf32(False)

    def autocast(self) -> torch.autocast:
        """The context in which networks run at the training precision."""
        return torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bf16")


def _round_to_tf32(rounded: bool) -> None:
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = rounded


def _cpu_is_faster_in_bf16() -> bool:
    """AMX tiles are; AVX-512's instruction is on AMD's processors, and on Intel's no faster than fp32 (LOG.md,
    2026-11-22)."""
    vector = torch.cpu._is_avx512_bf16_supported() and "AMD" in _processor()
    return bool(vector or torch.cpu._is_amx_tile_supported())


def products_by_onednn() -> bool:
    """Whether trainings on this processor compute fp32 products by oneDNN: on AMD's with AVX-512 it takes half of MKL's
    time (LOG.md, 2026-11-28), unless it rounds factors to bf16."""
    return "AMD" in _processor() and torch.cpu._is_avx512_supported() and _onednn_error() < 1e-5


@cache
def _onednn_error() -> float:
    """The largest error of a layer's products by oneDNN, relative to the largest of them: about 1e-6 in fp32, 1e-3
    where factors are rounded to bf16. Whatever the caller's autocast, default type and default device."""
    numbers = torch.Generator().manual_seed(0)
    x, w = (
        torch.randn(*sides, generator=numbers, dtype=torch.float32, device="cpu") for sides in ((128, 784), (784, 500))
    )
    before, MATMUL.fp32_precision = MATMUL.fp32_precision, "bf16"
    try:
        with torch.autocast("cpu", enabled=False):
            found = x @ w
    finally:
        MATMUL.fp32_precision = before
    exact = x.double() @ w.double()
    return float((found - exact).abs().max() / exact.abs().max())


def machine() -> dict[str, Any]:
    """What the numbers were measured on: processor, cores, system, versions."""
    packages = ("vaebench", "numpy", "scikit-learn", "scipy")
    together = {"processes": dist.get_world_size()} if dist.is_available() and dist.is_initialized() else {}
    products = {"fp32_products": "oneDNN"} if products_by_onednn() else {}
    return {
        **together,
        **products,
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {"python": platform.python_version(), "torch": str(torch.__version__)}
        | {name: metadata.version(name) for name in packages},
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"


def worker_count(compute: Compute, most: int) -> int:
    """How many processes of one thread share a study: on two cores, two get more done than one of two threads."""
    return min(compute.threads or 1, most) if compute.device == "cpu" else 1
