"""Files of digits, one finished classification of them, and a bench for methods."""

import numpy as np
import pytest
import torch
from miniature import COMPUTE, MODEL, Written, tiny, write_digits
from sklearn.datasets import load_digits

from vaebench.classification.methods import MethodContext
from vaebench.classification.results import ClassificationResult
from vaebench.data.images import HIDDEN, Images
from vaebench.models.objectives import Elbo
from vaebench.training.loop import Training, train


@pytest.fixture
def written(tmp_path):
    """Fresh files."""
    return write_digits(tmp_path)


@pytest.fixture(scope="session")
def shared(tmp_path_factory) -> Written:
    """Files that no test changes."""
    return write_digits(tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="session")
def found(shared, tmp_path_factory) -> ClassificationResult:
    """A classification that no test changes."""
    torch.set_num_threads(1)
    return shared.classify(tmp_path_factory.mktemp("out") / "out")


@pytest.fixture(scope="session")
def bench() -> MethodContext:
    """400 digits and a small VAE of them."""
    digits = load_digits()
    pixels = torch.from_numpy((digits.images[:400] * 255 / 16).astype(np.uint8))[:, None]
    images = Images(pixels, torch.full((400,), HIDDEN))
    torch.manual_seed(0)
    vae = train(MODEL.build((1, 8, 8)), Elbo(), images, Training(epochs=10, batch=64), compute=COMPUTE).model
    settings = tiny(400)
    longer = settings.semi_supervised.model_copy(update={"rounds": (60, 60)})
    return MethodContext(images, 10, MODEL, vae, longer, settings.supervised, COMPUTE)


@pytest.fixture(scope="session")
def truth() -> torch.Tensor:
    """Labels of the bench's images."""
    return torch.from_numpy(load_digits().target[:400].astype(np.int64))
