"""Settings by the number of images."""

import pytest

from vaebench.classification.settings import (
    EPOCHS,
    MAX_PAIRS,
    MIN_PAIRS,
    epochs_for,
    pair_augmentation,
    settings_for,
)
from vaebench.data.augment import PRESETS


@pytest.mark.parametrize(
    ("images", "epochs"),
    [
        (50, 400),
        (1000, 150),
        (15_000, 10),
        (20_000, 8),
        (60_000, 6),
        (250_000, 6),
        (500_000, 3),
        (1_000_000, 2),
        (5_000_000, 1),
    ],
)
def test_few_images_have_many_epochs_and_a_million_few(images, epochs):
    assert epochs_for(images) == epochs
    assert settings_for((1, 28, 28), images, 100).training.epochs == epochs


def test_epochs_never_increase_with_images_and_pairs_stay_above_the_bound():
    counts = [int(10 ** (exponent / 8)) for exponent in range(14, 60)]
    epochs = [epochs_for(count) for count in counts]
    assert epochs == sorted(epochs, reverse=True)
    for count, each in zip(counts, epochs, strict=True):
        assert each == 400 or count * each >= (MIN_PAIRS if count < MAX_PAIRS / EPOCHS else MAX_PAIRS)


@pytest.mark.parametrize("name", PRESETS)
def test_lengths_of_an_augmentation_grow_with_the_image_and_angles_do_not(name):
    small, large = (settings_for((3, side, side), 1000, 100, name).supervised.strong for side in (28, 56))
    assert small == PRESETS[name]
    assert (large.shift, large.elastic, large.cutout) == (2 * small.shift, 2 * small.elastic, 2 * small.cutout)
    assert (large.rotation, large.scale, large.gamma) == (small.rotation, small.scale, small.gamma)


def test_pairs_are_augmented_more_than_labelled_images_but_for_gentle_and_small_ones():
    assert pair_augmentation("strokes", 28).cutout > PRESETS["strokes"].cutout
    assert pair_augmentation("gentle", 28) == PRESETS["gentle"]
    assert pair_augmentation("strokes", 8) == PRESETS["strokes"].scaled(8)
