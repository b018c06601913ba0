"""Auto is resolved to what is then recorded."""

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
    assert resolved.threads >= 1
    assert resolved.resolve() == resolved


def test_choices_are_kept():
    chosen = Compute(device="cpu", precision="fp32", threads=1)
    assert chosen.resolve() == chosen


def test_tf32_is_for_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(VaebenchError, match="'tf32', which only a GPU has"):
        Compute(precision="tf32").resolve()


def rounded():
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


@pytest.fixture
def torchs_own_rounding():
    before = rounded()
    torch.backends.cudnn.allow_tf32 = True
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@pytest.mark.usefixtures("torchs_own_rounding")
def test_a_gpu_rounds_products_only_in_a_training_that_asked_for_it(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    for precision, expected in (("tf32", (True, True)), ("fp32", (False, False)), ("bf16", (False, False))):
        compute = Compute(device="cuda", precision=precision).resolve()
        assert rounded() == (False, False)
        with compute.matmul_precision():
            assert rounded() == expected
        assert rounded() == (False, False)


@pytest.mark.usefixtures("torchs_own_rounding")
def test_a_training_on_a_processor_leaves_the_gpus_flags_alone():
    before = rounded()
    with Compute(device="cpu", precision="fp32", threads=1).resolve().matmul_precision():
        assert rounded() == before
    assert rounded() == before


MATMUL = torch.backends.mkldnn.matmul


def error_of_products():
    x, w = torch.randn(300, 1000), torch.randn(1000, 200)
    exact = x.double() @ w.double()
    return ((x @ w - exact).abs().max() / exact.abs().max()).item()


def test_products_in_a_training_are_those_of_fp32_on_whatever_processor():
    with Compute(device="cpu", precision="fp32", threads=1).matmul_precision():
        assert error_of_products() < 1e-5
    with torch.autocast("cpu", torch.bfloat16):
        assert error_of_products() > 1e-4  # so coarse is what must not be


@pytest.mark.parametrize(
    ("processor", "vector", "error", "expected"),
    [
        ("AMD EPYC 9654", True, 1e-6, True),
        ("AMD EPYC 9654", True, 1e-3, False),
        ("AMD EPYC 7763", False, 1e-6, False),
        ("Intel(R) Xeon(R) Processor", True, 1e-6, False),
    ],
)
def test_onednn_computes_products_where_it_is_quicker_and_exact(monkeypatch, processor, vector, error, expected):
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


def test_the_probe_sees_rounded_factors():
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


def test_the_probe_finds_the_same_within_whatever_its_caller_has_set():
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


def test_bf16_autocast_runs_layers_in_bf16_and_fp32_leaves_them():
    layer = nn.Linear(3, 3)
    for precision, dtype in (("bf16", torch.bfloat16), ("fp32", torch.float32)):
        with Compute(device="cpu", precision=precision, threads=1).autocast():
            assert layer(torch.rand(2, 3)).dtype == dtype


def compiled(backend, *names):
    command = [sys.executable, "-W", "ignore", Path(__file__).with_name("compiling.py"), backend, *names]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_every_objective_is_compiled_once_for_all_of_training_and_computes_the_same():
    found = compiled("aot_eager", *OBJECTIVES)
    assert list(found) == list(OBJECTIVES)
    for name, one in found.items():
        np.testing.assert_allclose(one["losses"], one["eager"], rtol=1e-5, atol=1e-6, err_msg=name)
        assert 1 <= one["graphs"] == one["graphs_later"], name
        assert one["names"], name


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++: torch.compile has no compiler here")
def test_what_the_compiler_makes_computes_the_same():
    found = compiled("inductor", "elbo")["elbo"]
    np.testing.assert_allclose(found["losses"], found["eager"], rtol=1e-4)


def test_an_objective_is_left_alone_where_compiling_is_not_asked_for():
    objective = OBJECTIVES["elbo"]()
    assert Compute(device="cpu").compile_objective(objective) is objective


def test_the_record_names_processor_and_versions():
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
def test_auto_takes_bf16_where_the_processor_is_faster_in_it(monkeypatch, vector, tiles, processor, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: vector)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: tiles)
    monkeypatch.setattr(compute, "_processor", lambda: processor)
    assert Compute().resolve().precision == expected
