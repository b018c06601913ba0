"""A run on five float channels, some pixels of which are unknown, from training to report and explorer."""

import numpy as np
import pytest
import torch

from vaebench.data import datasets
from vaebench.data.datasets import Data
from vaebench.data.images import Images, Loaded
from vaebench.data.official import digits
from vaebench.models.networks import MLP
from vaebench.models.vae import Model
from vaebench.runs.pipeline import run
from vaebench.runs.recipe import Recipe
from vaebench.runs.report.report import write_report
from vaebench.training.compute import Compute
from vaebench.training.loop import Training

NAMES = ("ink", "mirrored", "<upside down>", "negative", "$faint$")


def five_channels():
    """Digits, and four copies of them that are transformed; 20 % of the pixels of each image are unknown."""
    own = digits().train
    x = own.pixels[:, 0].float() / 255
    pixels = torch.stack([x, x.flip(2), x.flip(1), 1 - x, x / 3], 1)
    pixels[torch.rand(pixels.shape, generator=torch.Generator().manual_seed(0)) < 0.2] = torch.nan
    return Loaded("five channels", Images(pixels, own.labels, own.classes, channel_names=NAMES))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    recipe = Recipe(
        data=Data(source="five channels", per_class=40),
        model=Model(latent=4, network=MLP(hidden=(32,))),
        training=Training(epochs=3, batch=64),
        compute=Compute(device="cpu", precision="fp32", threads=1),
    )
    evaluation = recipe.evaluation.model_copy(
        update={"labels_per_class": (3,), "draws": 2, "samples": 50, "importance_samples": 5}
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(datasets.DATASETS, "five channels", lambda data, progress: five_channels())
        return run(recipe.model_copy(update={"evaluation": evaluation}), tmp_path_factory.mktemp("five") / "run")


def test_the_run_is_finished_and_its_scores_are_finite(finished):
    assert finished.results["image_shape"] == [5, 8, 8]
    assert finished.results["pixel_type"] == "float32"
    assert finished.results["channel_names"] == list(NAMES)
    assert np.isfinite([row["mean"] for row in finished.rows]).all()
    metrics = {row["metric"] for row in finished.rows}
    assert {"accuracy", "elbo", "log_px", "frechet"} <= metrics
    assert all(np.isfinite(epoch["loss"]) for epoch in finished.history)


def test_report_and_explorer_are_made(finished):
    page = write_report(finished).read_text()
    for name in ("reconstructions", "channels", "samples", "traversals", "interpolations", "map-images"):
        assert (finished.path / "figures" / f"{name}.png").exists()
    assert "5-channel images of 8 x 8 pixels" in page
    assert "In the composite red is ink, green mirrored, blue &lt;upside down&gt;." in page
    assert "<upside down>" not in page
    assert page.count("Unknown pixels are black.") == 5
    assert (finished.path / "explorer.html").exists()


def test_codes_of_new_images_do_not_depend_on_unknown_pixels_and_keep_their_precision(finished):
    x = np.random.default_rng(0).random((3, 5, 8, 8), np.float32)
    finer = finished.encode(np.float32(np.rint(x * 255) / 255)).mean
    assert not torch.equal(finished.encode(x).mean, finer)
    x[:, 2, 3, 3] = np.nan
    with_zero = np.nan_to_num(x)
    assert torch.equal(finished.encode(x).mean, finished.encode(with_zero).mean)
