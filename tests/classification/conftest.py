"""Image files of digits, a finished classification of them, and a context for methods."""

import numpy as np
import pytest
import torch
from miniature import COMPUTE, MODEL, DigitFiles, tiny, write_digits
from sklearn.datasets import load_digits

from vaebench.classification.methods import MethodContext
from vaebench.classification.results import ClassificationResult
from vaebench.data.images import HIDDEN, Images
from vaebench.models.objectives import Elbo
from vaebench.training.loop import Training, train


@pytest.fixture
def files(tmp_path):
    """Image files that a test may change."""
    return write_digits(tmp_path)


@pytest.fixture(scope="session")
def shared(tmp_path_factory) -> DigitFiles:
    """Image files that no test changes."""
    return write_digits(tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="session")
def result(shared, tmp_path_factory) -> ClassificationResult:
    """A classification that no test changes."""
    torch.set_num_threads(1)
    return shared.classify(tmp_path_factory.mktemp("out") / "out")


@pytest.fixture(scope="session")
def context() -> MethodContext:
    """400 digits and a small VAE trained on them."""
    digits = load_digits()
    pixels = torch.from_numpy((digits.images[:400] * 255 / 16).astype(np.uint8))[:, None]
    images = Images(pixels, torch.full((400,), HIDDEN))
    torch.manual_seed(0)
    vae = train(MODEL.build((1, 8, 8)), Elbo(), images, Training(epochs=10, batch=64), compute=COMPUTE).model
    settings = tiny(400)
    longer = settings.semi_supervised.model_copy(update={"rounds": (60, 60)})
    settings = settings.model_copy(update={"semi_supervised": longer})
    return MethodContext.from_vae(images, 10, vae, settings, COMPUTE)


@pytest.fixture(scope="session")
def truth() -> torch.Tensor:
    """Labels of the context's images."""
    return torch.from_numpy(load_digits().target[:400].astype(np.int64))
