"""Settings by the number of images."""

import pytest

from vaebench.classification.settings import EPOCHS, MAX_PAIRS, MIN_PAIRS, epochs_for, settings_for


@pytest.mark.parametrize(
    ("images", "epochs"),
    [(50, 400), (1000, 150), (15_000, 10), (60_000, 10), (150_000, 10), (500_000, 3), (1_000_000, 2), (5_000_000, 1)],
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
