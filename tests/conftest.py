"""Seeds for every test, and float64 where an oracle asks for it."""

import os
from pathlib import Path

import hypothesis
import pytest
import torch

hypothesis.settings.register_profile("test", max_examples=60, deadline=None)
hypothesis.settings.register_profile("soak", max_examples=5000, deadline=None)
hypothesis.settings.load_profile(os.environ.get("VAEBENCH_FUZZ", "test"))
REAL_DATA = os.environ.get("VAEBENCH_DATA")


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)
    torch.set_num_threads(1)


@pytest.fixture
def float64():
    """Default dtype float64 within one test."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def real_data() -> Path:
    """The folder of real data sets; skips where there is none."""
    if not REAL_DATA:
        pytest.skip("VAEBENCH_DATA is not set: no real data sets here")
    return Path(REAL_DATA)
