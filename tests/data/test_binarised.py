"""Binarised images: pixels sampled by their grey values, anew in training and once for evaluation."""

import pytest
import torch

from vaebench.data.datasets import Data
from vaebench.data.draws import epoch_batches
from vaebench.data.images import Images, ResampledBinary
from vaebench.models.networks import MLP
from vaebench.models.objectives import Elbo
from vaebench.models.vae import Model
from vaebench.runs.pipeline import run
from vaebench.runs.recipe import Recipe
from vaebench.training.compute import Compute
from vaebench.training.loop import Training, train

ALONE = Compute(device="cpu", precision="fp32", threads=1)


def ramp(count=4000):
    """Images of four pixels, white with probability 0, 51/255, 204/255 and 1."""
    return Images(
        torch.tensor([0, 51, 204, 255], dtype=torch.uint8).expand(count, 4).reshape(-1, 1, 2, 2), torch.arange(count)
    )


def test_pixels_are_sampled_with_their_grey_values_as_probabilities():
    sampled = ramp().binarised(torch.Generator().manual_seed(0))
    assert set(sampled.pixels.unique().tolist()) == {0, 255}
    fraction = (sampled.pixels == 255).double().mean(0).flatten()
    torch.testing.assert_close(fraction, torch.tensor([0, 0.2, 0.8, 1], dtype=torch.float64), atol=0.03, rtol=0)
    assert torch.equal(sampled.white_probability, ramp().pixels)


def test_training_resamples_at_each_visit_and_evaluation_does_not():
    sampled = ramp().binarised(torch.Generator().manual_seed(0))
    source, rows = sampled.training_source, torch.arange(4000)
    assert isinstance(source, ResampledBinary)
    torch.manual_seed(0)
    first, second = source.batch(rows), source.batch(rows)
    assert not torch.equal(first.x, second.x)
    assert set(first.x.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(first.x.mean(0).flatten(), torch.tensor([0, 0.2, 0.8, 1]), atol=0.03, rtol=0)
    assert torch.equal(sampled.batch(rows).x, sampled.batch(rows).x)
    assert torch.equal(first.labels, sampled.labels)
    assert ramp().training_source.pixels.max() == 255  # grey images are not resampled
    assert not isinstance(ramp().training_source, ResampledBinary)


def test_probabilities_are_selected_with_their_images():
    pixels = torch.arange(10, dtype=torch.uint8).mul(25).reshape(10, 1, 1, 1)
    sampled = Images(pixels, torch.arange(10)).binarised(torch.Generator().manual_seed(0))
    some = sampled.take(torch.tensor([3, 9])).without_labels().to("cpu")
    assert some.white_probability.flatten().tolist() == [75, 225]
    assert some.training_source.batch(torch.arange(2)).labels.tolist() == [-1, -1]


def test_each_split_is_sampled_by_the_seed():
    first, again, other = (Data(source="digits", binarised=True, seed=seed).load() for seed in (0, 0, 1))
    for part in ("train", "validation", "test"):
        assert torch.equal(getattr(first, part).pixels, getattr(again, part).pixels)
        assert set(getattr(first, part).pixels.unique().tolist()) == {0, 255}
    grey = Data(source="digits").load()
    assert torch.equal(first.test.white_probability, grey.test.pixels)
    assert torch.equal(first.test.labels, grey.test.labels)
    assert first.name == "binarised digits"
    assert "sampled as black or white" in first.note
    assert first.train.fingerprint() != other.train.fingerprint() != grey.train.fingerprint()


def test_the_cross_entropy_of_the_true_probabilities_is_their_entropy():
    data = Data(source="digits", binarised=True).load()
    p, sampled = data.test.white_probability.double() / 255, data.test.batch(torch.arange(len(data.test))).x.double()

    def cross_entropy(x):
        return -(torch.special.xlogy(x, p) + torch.special.xlogy(1 - x, 1 - p)).sum((1, 2, 3))

    difference = cross_entropy(sampled) - cross_entropy(p)
    assert float(difference.mean()) == pytest.approx(0, abs=4.5 * float(difference.std() / len(p) ** 0.5))


def test_a_run_trains_on_new_samples_and_is_reproducible(tmp_path, monkeypatch):
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


def test_resampling_is_reproducible():
    """Samples come from the generator saved in checkpoints: trainings with the same seed agree bit for bit."""
    data = Data(source="digits", per_class=30, binarised=True).load()

    def trained():
        torch.manual_seed(0)
        vae = Model(latent=2, network=MLP(hidden=(8,))).build(data.train.shape)
        return train(vae, Elbo(), data.train.training_source, Training(epochs=2, batch=64), compute=ALONE, seed=5).model

    first, second = trained().state_dict(), trained().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
