"""Resolution of automatic choices, precision of products, and compilation."""

import json
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from vaebench.core.errors import VaebenchError
from vaebench.models.objectives import OBJECTIVES
from vaebench.training import compute
from vaebench.training.compute import Compute, machine


def test_auto_is_resolved_before_use_and_resolving_again_changes_nothing():
    resolved = Compute().resolve()
    assert resolved.device in ("cpu", "cuda")
    assert resolved.precision in ("fp32", "bf16")
    assert resolved.threads is None
    assert resolved.maximum_threads >= 1
    assert resolved.resolve() == resolved


def test_explicit_choices_are_not_changed():
    chosen = Compute(device="cpu", precision="fp32", threads=1)
    assert chosen.resolve() == chosen


def test_tf32_is_an_error_on_cpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(VaebenchError, match="'tf32', which only a GPU has"):
        Compute(precision="tf32").resolve()


def rounded():
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


@pytest.fixture
def torch_defaults():
    before = rounded()
    torch.backends.cudnn.allow_tf32 = True
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@pytest.mark.usefixtures("torch_defaults")
def test_tf32_is_on_only_within_a_tf32_training(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    for precision, expected in (("tf32", (True, True)), ("fp32", (False, False)), ("bf16", (False, False))):
        compute = Compute(device="cuda", precision=precision).resolve()
        assert rounded() == (False, False)
        with compute.matmul_precision():
            assert rounded() == expected
        assert rounded() == (False, False)


@pytest.mark.usefixtures("torch_defaults")
def test_a_cpu_training_does_not_change_gpu_flags():
    before = rounded()
    with Compute(device="cpu", precision="fp32", threads=1).resolve().matmul_precision():
        assert rounded() == before
    assert rounded() == before


MATMUL = torch.backends.mkldnn.matmul


def error_of_products():
    x, w = torch.randn(300, 1000), torch.randn(1000, 200)
    exact = x.double() @ w.double()
    return ((x @ w - exact).abs().max() / exact.abs().max()).item()


def test_fp32_products_are_exact_on_every_processor():
    with Compute(device="cpu", precision="fp32", threads=1).matmul_precision():
        assert error_of_products() < 1e-5
    with torch.autocast("cpu", torch.bfloat16):
        assert error_of_products() > 1e-4  # the error of bf16 products


@pytest.mark.parametrize(
    ("processor", "vector", "error", "expected"),
    [
        ("AMD EPYC 9654", True, 1e-6, True),
        ("AMD EPYC 9654", True, 1e-3, False),
        ("AMD EPYC 7763", False, 1e-6, False),
        ("Intel(R) Xeon(R) Processor", True, 1e-6, False),
    ],
)
def test_onednn_is_used_if_faster_and_exact(monkeypatch, processor, vector, error, expected):
    monkeypatch.setattr(torch.cpu, "_is_avx512_supported", lambda: vector)
    monkeypatch.setattr(compute, "_onednn_error", lambda: error)
    monkeypatch.setattr(compute, "_processor", lambda: processor)
    before = MATMUL.fp32_precision
    with suppress(KeyboardInterrupt), Compute(device="cpu", precision="fp32", threads=1).matmul_precision():
        within = MATMUL.fp32_precision
        raise KeyboardInterrupt
    assert within == ("bf16" if expected else before)
    assert MATMUL.fp32_precision == before != "bf16"
    assert machine().get("fp32_products") == ("oneDNN" if expected else None)


def test_the_onednn_error_detects_rounding():
    def rounded(one, other):
        return (one.bfloat16() @ other.bfloat16()).to(one.dtype)

    class Rounding(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            if function in (torch.Tensor.matmul, torch.Tensor.__matmul__) and args[0].dtype == torch.float32:
                return rounded(*args)
            return function(*args, **(kwargs or {}))

    assert compute._onednn_error.__wrapped__() < 1e-2
    with Rounding():
        assert compute._onednn_error.__wrapped__() > 1e-4


def test_the_onednn_error_ignores_the_callers_settings():
    alone = compute._onednn_error.__wrapped__()
    with torch.autocast("cpu", torch.bfloat16):
        assert compute._onednn_error.__wrapped__() == alone
    with torch.device("meta"):
        assert compute._onednn_error.__wrapped__() == alone
    torch.set_default_dtype(torch.float64)
    try:
        assert compute._onednn_error.__wrapped__() == alone > 0
    finally:
        torch.set_default_dtype(torch.float32)


def test_autocast_is_on_for_bf16_only():
    layer = nn.Linear(3, 3)
    for precision, dtype in (("bf16", torch.bfloat16), ("fp32", torch.float32)):
        with Compute(device="cpu", precision=precision, threads=1).autocast():
            assert layer(torch.rand(2, 3)).dtype == dtype


def compiled(backend, *names):
    command = [sys.executable, "-W", "ignore", Path(__file__).with_name("compiling.py"), backend, *names]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_every_objective_compiles_once_and_gives_equal_losses():
    found = compiled("aot_eager", *OBJECTIVES)
    assert list(found) == list(OBJECTIVES)
    for name, one in found.items():
        np.testing.assert_allclose(one["losses"], one["eager"], rtol=1e-5, atol=1e-6, err_msg=name)
        assert 1 <= one["graphs"] == one["graphs_later"], name
        assert one["names"], name


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++: torch.compile has no compiler here")
def test_inductor_gives_equal_losses():
    found = compiled("inductor", "elbo")["elbo"]
    np.testing.assert_allclose(found["losses"], found["eager"], rtol=1e-4)


def test_objectives_are_not_compiled_by_default():
    objective = OBJECTIVES["elbo"]()
    assert Compute(device="cpu").compile_objective(objective) is objective


def test_machine_has_processor_and_versions():
    record = machine()
    assert record["versions"]["torch"] == torch.__version__
    assert record["cores"] >= 1
    assert record["processor"] not in ("", None)


@pytest.mark.parametrize(
    ("vector", "tiles", "processor", "expected"),
    [
        (True, False, "AMD EPYC 9654", "bf16"),
        (True, False, "Intel(R) Xeon(R) Processor", "fp32"),
        (True, True, "Intel(R) Xeon(R) Processor", "bf16"),
        (False, False, "AMD EPYC 7763", "fp32"),
    ],
)
def test_auto_precision_by_processor(monkeypatch, vector, tiles, processor, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: vector)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: tiles)
    monkeypatch.setattr(compute, "_processor", lambda: processor)
    assert Compute().resolve().precision == expected
