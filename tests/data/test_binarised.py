"""Binarised images: pixels drawn by their grey values, anew in training and once for scores; nothing is thresholded."""

import pytest
import torch

from vaebench.data.datasets import Data
from vaebench.data.images import Images, ResampledBinary, epoch_batches
from vaebench.models.networks import MLP
from vaebench.models.objectives import Elbo
from vaebench.models.vae import Model
from vaebench.runs.pipeline import run
from vaebench.runs.recipe import Recipe
from vaebench.training.compute import Compute
from vaebench.training.loop import Training, train

ALONE = Compute(device="cpu", precision="fp32", threads=1)


def ramp(count=4000):
    """Images of four pixels with white_probability 0, 51/255, 204/255, 1."""
    return Images(
        torch.tensor([0, 51, 204, 255], dtype=torch.uint8).expand(count, 4).reshape(-1, 1, 2, 2), torch.arange(count)
    )


def test_pixels_are_drawn_with_their_grey_values_as_chances():
    drawn = ramp().binarised(torch.Generator().manual_seed(0))
    assert set(drawn.pixels.unique().tolist()) == {0, 255}
    share = (drawn.pixels == 255).double().mean(0).flatten()
    torch.testing.assert_close(share, torch.tensor([0, 0.2, 0.8, 1], dtype=torch.float64), atol=0.03, rtol=0)
    assert torch.equal(drawn.white_probability, ramp().pixels)


def test_training_draws_anew_at_each_visit_and_scores_do_not():
    drawn = ramp().binarised(torch.Generator().manual_seed(0))
    source, rows = drawn.training_source, torch.arange(4000)
    assert isinstance(source, ResampledBinary)
    torch.manual_seed(0)
    first, second = source.batch(rows), source.batch(rows)
    assert not torch.equal(first.x, second.x)
    assert set(first.x.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(first.x.mean(0).flatten(), torch.tensor([0, 0.2, 0.8, 1]), atol=0.03, rtol=0)
    assert torch.equal(drawn.batch(rows).x, drawn.batch(rows).x)
    assert torch.equal(first.labels, drawn.labels)
    assert ramp().training_source.pixels.max() == 255  # grey images are trained on as they are
    assert not isinstance(ramp().training_source, ResampledBinary)


def test_chances_go_with_their_images():
    pixels = torch.arange(10, dtype=torch.uint8).mul(25).reshape(10, 1, 1, 1)
    drawn = Images(pixels, torch.arange(10)).binarised(torch.Generator().manual_seed(0))
    some = drawn.take(torch.tensor([3, 9])).without_labels().to("cpu")
    assert some.white_probability.flatten().tolist() == [75, 225]
    assert some.training_source.batch(torch.arange(2)).labels.tolist() == [-1, -1]


def test_the_parts_are_drawn_by_the_seed_each_on_its_own():
    first, again, other = (Data(source="digits", binarised=True, seed=seed).load() for seed in (0, 0, 1))
    for part in ("train", "validation", "test"):
        assert torch.equal(getattr(first, part).pixels, getattr(again, part).pixels)
        assert set(getattr(first, part).pixels.unique().tolist()) == {0, 255}
    grey = Data(source="digits").load()
    assert torch.equal(first.test.white_probability, grey.test.pixels)
    assert torch.equal(first.test.labels, grey.test.labels)
    assert first.name == "binarised digits"
    assert "drawn as black or white" in first.note
    assert first.train.fingerprint() != other.train.fingerprint() != grey.train.fingerprint()


def test_a_decoder_that_knows_the_chances_pays_their_entropy():
    data = Data(source="digits", binarised=True).load()
    white_probability = data.test.white_probability.double() / 255
    drawn = data.test.batch(torch.arange(len(data.test))).x.double()
    paid = -(torch.special.xlogy(drawn, white_probability) + torch.special.xlogy(1 - drawn, 1 - white_probability)).sum(
        (1, 2, 3)
    )
    entropy = -(
        torch.special.xlogy(white_probability, white_probability)
        + torch.special.xlogy(1 - white_probability, 1 - white_probability)
    ).sum((1, 2, 3))
    error = float((paid - entropy).std() / len(paid) ** 0.5)
    assert float(paid.mean()) == pytest.approx(float(entropy.mean()), abs=4.5 * error)


def test_a_run_trains_on_fresh_draws_and_is_the_same_run_every_time(tmp_path, monkeypatch):
    seen = []
    batch = ResampledBinary.batch
    monkeypatch.setattr(ResampledBinary, "batch", lambda self, rows: seen.append(batch(self, rows)) or seen[-1])
    recipe = Recipe(
        data=Data(source="digits", per_class=30, binarised=True),
        model=Model(latent=2, network=MLP(hidden=(8,))),
        training=Training(epochs=2, batch=64),
        compute=ALONE,
    )
    rule = recipe.evaluation.model_copy(
        update={"labels_per_class": (), "supervised": None, "features": ("vae",), "samples": None}
    )
    recipe = recipe.model_copy(update={"evaluation": rule})
    one, two = (run(recipe, tmp_path / name) for name in ("one", "two"))
    assert one.rows == two.rows
    assert len(seen) == 2 * 2 * sum(1 for _ in epoch_batches(one.results["data"]["images"]["train"], 64, (0, 0)))
    assert not any(
        torch.equal(a.x, b.x)
        for a, b in zip(seen[: len(seen) // 4], seen[len(seen) // 4 : len(seen) // 2], strict=True)
    )


def test_fresh_draws_keep_a_training_exact_when_resumed():
    """The draws come from the generator that checkpoints keep: two trainings with one seed agree to the bit."""
    data = Data(source="digits", per_class=30, binarised=True).load()

    def trained():
        torch.manual_seed(0)
        vae = Model(latent=2, network=MLP(hidden=(8,))).build(data.train.shape)
        return train(vae, Elbo(), data.train.training_source, Training(epochs=2, batch=64), compute=ALONE, seed=5).model

    first, second = trained().state_dict(), trained().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
