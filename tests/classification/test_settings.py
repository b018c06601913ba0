"""What is trained for how many images."""

import pytest

from vaebench.classification.settings import EPOCHS, MOST_PAIRS, PAIRS, epochs_for, settings_for


@pytest.mark.parametrize(
    ("images", "epochs"),
    [(50, 400), (1000, 150), (15_000, 10), (60_000, 10), (150_000, 10), (500_000, 3), (1_000_000, 2), (5_000_000, 1)],
)
def test_few_images_are_seen_often_and_a_million_not_for_hours(images, epochs):
    assert epochs_for(images) == epochs
    assert settings_for((1, 28, 28), images, 100).training.epochs == epochs


def test_more_images_never_mean_more_epochs_and_many_are_seen_often_enough():
    counts = [int(10 ** (exponent / 8)) for exponent in range(14, 60)]
    epochs = [epochs_for(count) for count in counts]
    assert epochs == sorted(epochs, reverse=True)
    for count, each in zip(counts, epochs, strict=True):
        assert each == 400 or count * each >= (PAIRS if count < MOST_PAIRS / EPOCHS else MOST_PAIRS)
