"""Seeds for every test, and float64 where an oracle asks for it."""

import itertools
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import torch
from PIL import Image

hypothesis.settings.register_profile("test", max_examples=60, deadline=None)
hypothesis.settings.register_profile("soak", max_examples=5000, deadline=None)
hypothesis.settings.load_profile(os.environ.get("VAEBENCH_FUZZ", "test"))
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
REAL_DATA = os.environ.get("VAEBENCH_DATA")


def pytest_configure():
    """A core for each worker: what it starts asks for as many threads as it has cores, and threads of two workers that
    wait for one another by spinning take many times as long."""
    number = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
    if number and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(number) % len(cores)]})


LONGEST = ("test_benchmark", "test_notebook", "test_papers", "test_kill", "test_sweep")
"""Files whose tests take longest."""


def pytest_collection_modifyitems(items):
    """The longest first, so that no worker is left with one of them when the other has finished."""
    items.sort(key=lambda item: item.path.stem not in LONGEST)


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


@pytest.fixture(scope="module")
def chromium():
    """A browser; skips where none is installed."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture
def real_data() -> Path:
    """The folder of real data sets; skips where there is none."""
    if not REAL_DATA:
        pytest.skip("VAEBENCH_DATA is not set: no real data sets here")
    return Path(REAL_DATA)


@pytest.fixture(scope="session")
def _small_copy(tmp_path_factory) -> Path:
    """The folder of real data sets with the first 40 images of each class of CIFAR-10: reading all 60,000 JPEG files
    takes 20 seconds, and the quick budgets use 30 of each class."""
    if not REAL_DATA:
        pytest.skip("VAEBENCH_DATA is not set: no real data sets here")
    folder, real = tmp_path_factory.mktemp("data"), Path(REAL_DATA).resolve()
    for path in real.iterdir():
        if path.name != "cifar-10":
            (folder / path.name).symlink_to(path)
    source, target = (root / "cifar-10" / "cifar-10-jpeg.zip" for root in (real, folder))
    if source.exists():
        target.parent.mkdir()
        with zipfile.ZipFile(source) as whole, zipfile.ZipFile(target, "w") as part:
            names = sorted(name for name in whole.namelist() if not name.endswith("/"))
            for _, group in itertools.groupby(names, key=os.path.dirname):
                for name in itertools.islice(group, 40):
                    part.writestr(name, whole.read(name))
    return folder


@pytest.fixture
def small_data(_small_copy, monkeypatch) -> Path:
    """The folder in which quick budgets find the same images as in the real one, sooner."""
    monkeypatch.setenv("VAEBENCH_DATA", str(_small_copy))
    return _small_copy


@pytest.fixture
def draw() -> Callable[..., Path]:
    """Writes an image of random pixels."""

    def write(path: Path, size: tuple[int, int] = (8, 8), mode: str = "L", seed: int = 0) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        bands = {"L": (), "RGB": (3,), "RGBA": (4,), "LA": (2,)}[mode]
        pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], *bands), np.uint8)
        Image.fromarray(pixels).save(path)
        return path

    return write
