"""Slant, thickness and sharpness of bars with known values."""

import math

import pytest
import torch

from vaebench.evaluation.image_statistics import binary_fraction, ink, sharpness, slant, thickness, total_variation


def bar(lean, width=3, size=29):
    """A bar through the middle whose column moves by ``lean`` pixels a row upwards."""
    x = torch.zeros(1, 1, size, size)
    for row in range(4, size - 4):
        left = round(size // 2 + lean * (size // 2 - row)) - width // 2
        x[0, 0, row, left : left + width] = 1
    return x


@pytest.mark.parametrize("lean", [-0.5, -0.2, 0.0, 0.2, 0.5])
def test_slant_is_the_angle_that_was_drawn(lean):
    assert slant(bar(lean)).item() == pytest.approx(math.degrees(math.atan(lean)), abs=1.0)


def test_slant_changes_sign_in_a_mirror_image_and_does_not_depend_on_intensity():
    x = bar(0.4)
    assert slant(x.flip(-1)).item() == pytest.approx(-slant(x).item(), abs=1e-9)
    assert slant(0.3 * x).item() == pytest.approx(slant(x).item(), abs=1e-5)
    assert slant(torch.zeros(1, 1, 9, 9)).item() == 0


@pytest.mark.parametrize("width", [1, 3, 5])
def test_thickness_of_a_bar_is_its_width(width):
    x = torch.zeros(1, 1, 100, 40)
    x[..., 20 : 20 + width] = 1  # no ends within the image
    assert thickness(x).item() == pytest.approx(width)


def test_ink_is_the_mean_and_total_variation_the_outline():
    x = torch.zeros(2, 1, 10, 10)
    x[1, 0, 3:5, 4:7] = 1
    assert ink(x).tolist() == pytest.approx([0.0, 0.06])
    assert total_variation(x).tolist() == [0.0, 10.0]


def test_blur_lowers_sharpness_and_leaves_black_and_white():
    x = bar(0.0)
    blurred = torch.nn.functional.avg_pool2d(x, 3, stride=1, padding=1)
    assert sharpness(blurred) < sharpness(x)
    assert binary_fraction(x) == 1.0
    assert binary_fraction(blurred) < 1.0
    assert binary_fraction(torch.tensor([[[[0.05, 0.5, 0.95, 0.2]]]])) == 0.5
