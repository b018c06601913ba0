"""Device, precision and threads of computations, and the description of the machine."""

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

from vaebench.core.cores import available_cores
from vaebench.core.errors import VaebenchError
from vaebench.core.frozen import Frozen
from vaebench.data.images import Batch
from vaebench.models.loss import LossOutput, Objective

MATMUL: Any = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
"""Settings of oneDNN's matrix products; torch uses oneDNN for fp32 products only if they may be rounded to bf16."""


class Compute(Frozen):
    """Configuration of device, precision, compilation and threads; :meth:`resolve` replaces "auto"."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "fp32", "tf32", "bf16"] = "auto"
    """Precision of training; bf16 and tf32 (GPUs only) round the factors of products. Scores and saved latents are
    always computed in fp32. Auto selects bf16 if it is faster."""
    compile: bool = False
    """Compile the objective with its networks by torch.compile: worthwhile for long trainings; needs a C++ compiler."""
    threads: int | None = Field(None, ge=1)
    """CPU threads; none lets each training measure as it goes whether one or all available cores are faster, and gives
    other computations one. Results are the same bits only with the same number."""

    def resolve(self) -> Compute:
        """The configuration with every "auto" replaced by the choice for this machine.

        On a GPU this also turns off torch's default of rounding convolutions to TF32.

        Raises:
            VaebenchError: the device is "cuda" and there is no GPU, or the precision is "tf32" on a CPU.
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
        processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # of one training, on this machine, set by torchrun
        threads = self.threads or (None if processes == 1 else max(1, available_cores() // processes))
        return Compute(device=device, precision=precision, compile=self.compile, threads=threads)

    @property
    def maximum_threads(self) -> int:
        """Most threads that a training may use: those that are given, or else one a core."""
        return self.threads or (available_cores() if self.device == "cpu" else 1)

    def set_threads(self) -> None:
        """Set torch's number of threads for everything but trainings that choose their own: one if none is given."""
        torch.set_num_threads(self.threads or 1)

    def place(self, model: nn.Module) -> nn.Module:
        """Move the model to the device in channels-last layout, and set the number of threads."""
        self.set_threads()
        return model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def compile_objective(self, objective: Objective) -> Objective:
        """The objective, compiled with the networks it calls if ``compile`` is set; the networks are not changed."""
        if not self.compile:
            return objective

        def call(model: nn.Module, batch: Batch, progress: float) -> LossOutput:
            return objective(model, batch, progress)

        compiled: Objective = torch.compile(call, options={"fallback_random": True})  # keeps torch's random numbers
        return compiled

    @contextmanager
    def matmul_precision(self) -> Iterator[None]:
        """Set torch's global flags for matrix products during a training: TF32 on GPUs if ``precision`` is "tf32"; on
        CPUs oneDNN for fp32 products if it is as exact as MKL and faster."""
        cuda, previous = self.device == "cuda", MATMUL.fp32_precision
        if cuda:
            _round_to_tf32(self.precision == "tf32")
        elif uses_onednn_matmul():
            MATMUL.fp32_precision = "bf16"  # permits oneDNN to round, which _onednn_error() has shown it does not do
        try:
            yield
        finally:
            MATMUL.fp32_precision = previous
            if cuda:
                _round_to_tf32(False)

    def autocast(self) -> torch.autocast:
        """The autocast context of the training precision."""
        return torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bf16")


def _round_to_tf32(rounded: bool) -> None:
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = rounded


def _cpu_is_faster_in_bf16() -> bool:
    """Whether bf16 is faster than fp32: with AMX tiles, and with AVX-512's instruction on AMD's processors, but not on
    Intel's (LOG.md, 2026-11-22)."""
    vector = torch.cpu._is_avx512_bf16_supported() and "AMD" in _processor()
    return bool(vector or torch.cpu._is_amx_tile_supported())


def uses_onednn_matmul() -> bool:
    """Whether trainings on this processor compute fp32 products by oneDNN: on AMD's processors with AVX-512 it takes
    half of MKL's time (LOG.md, 2026-11-28). Not if it rounds factors to bf16."""
    return "AMD" in _processor() and torch.cpu._is_avx512_supported() and _onednn_error() < 1e-5


@cache
def _onednn_error() -> float:
    """Largest error of a product by oneDNN, relative to the largest value: about 1e-6 in fp32, 1e-3 if factors are
    rounded to bf16. Independent of the caller's autocast, default dtype and default device."""
    generator = torch.Generator().manual_seed(0)
    x, w = (
        torch.randn(*shape, generator=generator, dtype=torch.float32, device="cpu")
        for shape in ((128, 784), (784, 500))
    )
    previous, MATMUL.fp32_precision = MATMUL.fp32_precision, "bf16"
    try:
        with torch.autocast("cpu", enabled=False):
            product = x @ w
    finally:
        MATMUL.fp32_precision = previous
    exact = x.double() @ w.double()
    return float((product - exact).abs().max() / exact.abs().max())


def machine() -> dict[str, Any]:
    """Description of this machine for records: processor, cores, system, versions."""
    packages = ("vaebench", "numpy", "scikit-learn", "scipy")
    processes = {"processes": dist.get_world_size()} if dist.is_available() and dist.is_initialized() else {}
    products = {"fp32_products": "oneDNN"} if uses_onednn_matmul() else {}
    return {
        **processes,
        **products,
        "processor": _processor(),
        "cores": available_cores(),
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


def worker_count(compute: Compute, maximum: int) -> int:
    """Number of single-threaded worker processes of an experiment, which do more per second than one process with as
    many threads; 1 on a GPU."""
    return min(compute.maximum_threads, maximum) if compute.device == "cpu" else 1
