"""Float pixels, known and unknown: batches, sources, augmentation, binarisation and fingerprints."""

import math
import pickle

import numpy as np
import pytest
import torch

from vaebench.data import draws
from vaebench.data import images as module
from vaebench.data.augment import Augmentation, rotate
from vaebench.data.draws import split
from vaebench.data.images import Batch, Dataset, Images, MixedSource, UnlabelledSource, join
from vaebench.data.pixels import has_unknown, to_8_bits

NAN = math.nan


def floats(count=12, shape=(5, 4, 6), holes=True):
    pixels = torch.rand(count, *shape)
    if holes:
        pixels[torch.rand(count, *shape) < 0.3] = NAN
    return Images(pixels, torch.arange(count) % 3, ("a", "b", "c"), channel_names=("r", "g", "b", "nir", "depth"))


def test_unknown_pixels_are_0_and_not_known():
    images, rows = floats(), torch.tensor([7, 0, 3])
    batch = images.batch(rows)
    expected = images.pixels[rows]
    assert torch.equal(batch.known, ~expected.isnan())
    assert torch.equal(batch.x, expected.nan_to_num(0.0))
    assert images.pixels.isnan().any()  # as before
    assert torch.equal(batch.take(batch.labels == 1).known, batch.known[batch.labels == 1])
    assert batch.to("cpu").known is not None


def test_complete_floats_have_no_mask():
    images = floats(holes=False)
    assert images.batch(torch.arange(4)).known is None
    assert torch.equal(images.batch(torch.arange(4)).x, images.pixels[:4])
    assert not images.incomplete
    assert "12 of 5x4x6 floats" in repr(images)
    assert not Images(torch.zeros(2, 1, 2, 2, dtype=torch.uint8), torch.zeros(2, dtype=torch.long)).incomplete


def test_pixels_are_searched_once_for_all_that_is_derived_from_them(monkeypatch):
    searched = []
    monkeypatch.setattr(module, "has_unknown", lambda pixels: searched.append(len(pixels)) or has_unknown(pixels))
    images = floats(holes=False)
    first, second = split(images, 0.5, 0)
    for part in (
        images,
        first,
        second.without_labels(),
        first.to("cpu").take(slice(2)),
        images.with_labels(images.labels),
    ):
        assert part.batch(torch.arange(2)).known is None
    assert pickle.loads(pickle.dumps(images)).incomplete is False
    assert searched == [12]


def test_the_search_ends_at_the_first_chunk_with_an_unknown_pixel(monkeypatch):
    monkeypatch.setattr("vaebench.data.pixels.CHUNK", 4)
    for row in (0, 5, 11):
        images = floats(holes=False)
        assert not has_unknown(images.pixels)
        images.pixels[row, 4, 3, 5] = NAN
        assert has_unknown(images.pixels)


def test_sources_keep_the_mask():
    incomplete, complete, rows = floats(), floats(holes=False), torch.arange(6)
    assert torch.equal(UnlabelledSource(incomplete).batch(rows).known, incomplete.batch(rows).known)
    mixed = MixedSource(complete, UnlabelledSource(incomplete), 2).batch(rows)
    assert mixed.known[:2].all()
    assert torch.equal(mixed.known[2:], incomplete.batch(rows[2:]).known)
    assert MixedSource(complete, complete, 2).batch(rows).known is None
    assert join(complete.batch(rows), complete.batch(rows)).known is None


def test_the_fingerprint_depends_on_pixels_and_holes_and_not_on_the_kind_of_nan():
    images = floats()
    other = images.pixels.clone()
    other[images.pixels.isnan()] = torch.from_numpy(np.array([0xFFC00001], np.uint32).view(np.float32))
    assert Images(other, images.labels, images.classes).fingerprint() == images.fingerprint()
    known = Images(images.pixels.nan_to_num(0.5), images.labels, images.classes)
    assert known.fingerprint() != images.fingerprint()
    moved = known.pixels.clone()
    moved[0, 0, 0, 0] += 1e-3
    assert Images(moved, images.labels, images.classes).fingerprint() != known.fingerprint()


def test_channel_names_stay_with_the_images():
    first, second = split(floats(), 0.5, 0)
    assert Dataset("made up", first, first, second).channel_names == ("r", "g", "b", "nir", "depth")


def test_float_pixels_are_sampled_with_their_values_and_unknown_ones_stay_unknown():
    pixels = torch.tensor([0, 0.2, 1, NAN]).expand(4000, 4).reshape(-1, 1, 2, 2).clone()
    sampled = Images(pixels, torch.arange(4000)).binarised(torch.Generator().manual_seed(0))
    values = sampled.pixels.flatten(1)
    assert values[:, 3].isnan().all()
    assert set(values[:, :3].unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(values[:, :3].mean(0), torch.tensor([0, 0.2, 1]), atol=0.03, rtol=0)
    again = [sampled.training_source.batch(torch.arange(4000)) for _ in range(2)]
    assert not torch.equal(again[0].x, again[1].x)
    torch.testing.assert_close(again[0].x.mean(0).flatten(), torch.tensor([0, 0.2, 1, 0]), atol=0.03, rtol=0)
    assert torch.equal(again[0].known, ~sampled.pixels.isnan())


AUGMENTATIONS = [
    Augmentation(rotation=20, shift=2, scale=0.1, shear=0.1),
    Augmentation(elastic=1.0, gamma=0.5, cutout=3),
    Augmentation(mirror=True),
    Augmentation(gamma=0.3),
]


@pytest.mark.parametrize("augmentation", AUGMENTATIONS, ids=["warp", "elastic", "mirror", "gamma"])
def test_a_pixel_interpolated_from_an_unknown_one_is_unknown(augmentation):
    """The known pixels of an augmented batch do not depend on what the unknown pixels are."""
    x, known = torch.rand(20, 3, 12, 10, dtype=torch.float64), torch.rand(20, 3, 12, 10) < 0.9
    labels = torch.zeros(20, dtype=torch.long)
    torch.manual_seed(5)
    found = augmentation.augment(Batch(x.where(known, 0.0), labels, known))
    assert not found.x[~found.known].any()
    outcomes = []
    for value in (0.0, 1.0):
        torch.manual_seed(5)
        outcomes.append(augmentation(x.where(known, value))[found.known])
    torch.testing.assert_close(found.x[found.known], outcomes[0], atol=1e-12, rtol=0)
    rounding = 0.02 if augmentation.gamma else 2e-3  # of pixels that unknown ones enter with a negligible weight
    torch.testing.assert_close(found.x[found.known], outcomes[1], atol=rounding, rtol=0)
    assert 0.3 < found.known.double().mean() < 0.97


def test_without_a_transformation_the_mask_stays():
    batch = floats().batch(torch.arange(12))
    found = Augmentation().augment(batch)
    assert torch.equal(found.known, batch.known)
    for degrees in (0.0, 360.0):
        turned = rotate(floats().pixels, torch.full((12,), degrees))
        assert turned.isnan().any()


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_quarter_turns_move_unknown_pixels_exactly(turns):
    pixels = floats(shape=(2, 9, 9)).pixels
    turned = rotate(pixels, torch.full((12,), 90.0 * turns))
    torch.testing.assert_close(turned, torch.rot90(pixels, turns, (2, 3)), atol=1e-2, rtol=0, equal_nan=True)


def test_8_bits_for_display():
    shown = to_8_bits(torch.tensor([0, 0.5, 1, NAN, 1.2, -0.1]))
    assert shown.dtype == np.uint8
    assert shown.tolist() == [0, 128, 255, 0, 255, 0]
    assert to_8_bits(torch.tensor([0, 7, 255], dtype=torch.uint8)).tolist() == [0, 7, 255]


@pytest.mark.parametrize("name", ["balanced_draw", "epoch_batches", "split"])
def test_functions_that_moved_are_found_where_they_were_and_warn(name):
    with pytest.warns(FutureWarning, match=rf"vaebench\.data\.images\.{name} is now vaebench\.data\.draws\.{name}"):
        assert getattr(module, name) is getattr(draws, name)
    with pytest.raises(AttributeError, match="has no attribute 'gone'"):
        _ = module.gone
