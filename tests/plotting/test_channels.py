"""Composites of several channels, and their names."""

import numpy as np
import pytest

from vaebench.plotting.channels import channel_titles, composite, composite_description, is_composite


def images(channels):
    return np.random.default_rng(0).integers(0, 256, (2, 3, channels, 4, 5), dtype=np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_and_colour_images_stay_as_they_are(channels):
    x = images(channels)
    assert np.array_equal(composite(x), x)
    assert not is_composite(channels)


def test_two_channels_are_red_and_green():
    x = images(2)
    assert np.array_equal(composite(x)[:, :, :2], x)
    assert not composite(x)[:, :, 2].any()
    assert is_composite(2)


@pytest.mark.parametrize("channels", [4, 5, 16])
def test_the_first_three_of_more_channels_are_red_green_and_blue(channels):
    x = images(channels)
    assert np.array_equal(composite(x), x[:, :, :3])
    assert is_composite(channels)


def test_three_channels_with_other_names_are_a_composite():
    assert not is_composite(3, ("Red", "Green", "Blue"))
    assert is_composite(3, ("nir", "red", "green"))


def test_names_of_channels():
    assert channel_titles(3) == ["channel 1", "channel 2", "channel 3"]
    assert channel_titles(2, ("near\ninfrared", "\u202e ")) == ["near infrared", "channel 2"]
    assert channel_titles(1, ("x" * 60,)) == ["x" * 23 + "…"]
    assert channel_titles(2, ("one",)) == ["channel 1", "channel 2"]
    assert composite_description(5) == "red is channel 1, green channel 2, blue channel 3"
    assert composite_description(2, ("B4", "B3")) == "red is B4, green B3"
