"""Auto is resolved to what is then recorded."""

import shutil
import warnings

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from vaebench.errors import VaebenchError
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
        with compute.products():
            assert rounded() == expected
        assert rounded() == (False, False)


@pytest.mark.usefixtures("torchs_own_rounding")
def test_a_training_on_a_processor_leaves_the_gpus_flags_alone():
    before = rounded()
    with Compute(device="cpu", precision="fp32", threads=1).resolve().products():
        assert rounded() == before
    assert rounded() == before


def test_bf16_autocast_runs_layers_in_bf16_and_fp32_leaves_them():
    layer = nn.Linear(3, 3)
    for precision, dtype in (("bf16", torch.bfloat16), ("fp32", torch.float32)):
        with Compute(device="cpu", precision=precision, threads=1).autocast():
            assert layer(torch.rand(2, 3)).dtype == dtype


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++: torch.compile has no compiler here")
def test_compiling_really_compiles_and_keeps_the_names_of_weights():
    model = nn.ModuleDict({"part": nn.Sequential(nn.Linear(3, 4), nn.ReLU())})
    names, x = list(model.state_dict()), torch.rand(2, 3)
    expected = model["part"](x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own compiler uses what torch deprecates
        from torch._dynamo.utils import counters

        counters.clear()
        Compute(device="cpu", precision="fp32", compile=True, threads=1).speed_up(model)
        assert_close(model["part"](x), expected)
        assert counters["stats"]["unique_graphs"] == 1
    assert list(model.state_dict()) == names


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
